#!/usr/bin/env python3
# vpi: timeout=120 codec=none camera="node_types=0x101 num_outputs=1 output_types=1 vid_out_nr=1"
"""tests/virtual-pi/test_module_feed.py - a clip comes through the camera node byte by byte (feed)."""

import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SHARED = pathlib.Path(os.environ.get("PETCAM_SHARED", HERE.parents[2] / "shared"))
SIZE, COUNT = 1280 * 720 * 3 // 2, 45


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def feed(*words, **more):
    done = subprocess.run([HERE / "feed", *map(str, words)], capture_output=True, text=True, check=False, **more)
    check(done.returncode == 0, f"feed {words}: {done.returncode}: {done.stderr}")
    return done.stdout


def through(clip, frames):
    """The clip has `frames` pictures; what the camera sees of it."""
    fed = feed("--hashes", frames, clip).split()
    check(len(fed) == frames, f"{clip}: {len(fed)} pictures, not {frames}")
    where = {}
    for i, value in enumerate(fed):
        where.setdefault(value, i)
    with tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=".nv12") as file:
        feed(clip, "--", "v4l2-ctl", "-d", "/dev/video0", "-v", "width=1280,height=720,pixelformat=NV12",
             "--stream-mmap=4", "--stream-poll", f"--stream-count={COUNT}", f"--stream-to={file.name}")
        seen = []
        while True:
            frame = file.read(SIZE)
            if len(frame) < SIZE:
                break
            seen.append(where.get(hashlib.md5(frame).hexdigest(), -1))
    # Before the first frame is there, the camera shows noise.
    while seen and seen[0] < 0:
        seen.pop(0)
    check(len(seen) >= COUNT // 2, f"{clip}: {len(seen)} of {COUNT} frames")
    check(-1 not in seen, f"{clip}: frames that were not fed: {seen}")
    check(len(set(seen)) >= 5, f"{clip}: the picture stands still: {seen}")
    print(f"ok   {clip}: {len(seen)} frames, {len(set(seen))} different: all as they were fed")


def main():
    vivid = subprocess.run(["v4l2-ctl", "-d", "/dev/video1", "--info"], capture_output=True, text=True, check=False)
    if "Video Output" not in vivid.stdout:
        print("skipped: needs vivid's output: tests/virtual-pi/vpi test " + sys.argv[0])
        sys.exit(77)
    through("lavfi:testsrc2=s=640x480:r=30", 240)
    clip = SHARED / "data/video/v01_kitten_play_sofa.mp4"
    if clip.exists():
        through(clip, 300)
    left = subprocess.run(["pgrep", "-x", "ffmpeg|v4l2-ctl"], capture_output=True, text=True, check=False).stdout
    check(not left, f"processes stay: {left}")


main()
