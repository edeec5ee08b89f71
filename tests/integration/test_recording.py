#!/usr/bin/env python3
"""tests/integration/test_recording.py - a recording is the stream: same bytes, pre-roll included.

A viewer keeps the media bytes of every live fragment. Each recording's fragments must then be a run of
them without a hole, from a key frame, 3 s (or what there was) before the event, and must decode without a
word from the decoder.
"""

import datetime
import hashlib
import pathlib
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.support.petcam import Petcam, shared
from tests.support.viewers import InstantViewer, boxes, watch

PRE_ROLL = 3.0
SEGMENT = 1.0


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def media_of(data):
    """The hash of each mdat in `data`."""
    return [hashlib.md5(body).hexdigest() for kind, body in boxes(data) if kind == b"mdat"]


class Keeper(InstantViewer):
    """Keeps the hash of every frame's media bytes, in order."""

    def __init__(self, *args):
        super().__init__(*args)
        self.media = []

    def account(self, data):
        super().account(data)
        self.media += media_of(data)


def utc(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def decode(path):
    out = subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v:0", "-f", "framemd5", "-"],
                         check=True, capture_output=True, text=True)
    check(out.stderr == "", f"{path}: {out.stderr}")
    return sum(1 for line in out.stdout.splitlines() if not line.startswith("#"))


def play(name, settings, seconds, quiet_start):
    with Petcam({"storage.pre_roll_s": PRE_ROLL, "storage.post_roll_s": 2.0,
                 "storage.max_clip_s": 8.0, **settings}) as petcam:
        petcam.setup()
        keeper = Keeper(petcam, 1)
        thread = threading.Thread(target=watch, args=([keeper], seconds))
        thread.start()
        thread.join()
        # Only what the viewer saw whole can be compared: the last recordings may be later.
        recordings = petcam.wait_for(
            lambda: [r for r in petcam.get("/recordings")[1]["items"] if not r["open"]], timeout=30)
        events = petcam.get("/events?limit=500")[1]["items"]
        live = {media: i for i, media in enumerate(keeper.media)}
        check(not keeper.errors and keeper.gaps == 0, f"{name}: the viewer lost frames: {keeper.errors} {keeper.gaps}")
        compared = 0
        for recording in recordings:
            _, _, data = petcam.request("GET", f"/recordings/{recording['recording_id']}/media.mp4")
            path = petcam.root / "recording.mp4"
            path.write_bytes(data)
            check(decode(path) == recording["frames"], f"{name}: {recording} does not decode whole")
            media = media_of(data)
            check(len(media) == recording["frames"], f"{name}: {len(media)} fragments, {recording}")
            seen = [live[m] for m in media if m in live]
            first = media.index(next(m for m in media if m in live)) if seen else 0
            check(len(seen) >= len(media) - first - 1 or not seen or seen[-1] == len(keeper.media) - 1,
                  f"{name}: frames in the recording that were never live")
            check(all(b == a + 1 for a, b in zip(seen, seen[1:])), f"{name}: a hole, or another order")
            compared += len(seen)
            print(f"{name}: recording {recording['recording_id']}: {len(media)} frames, {len(seen)} compared")
        first = min(recordings, key=lambda r: r["timestamp"])
        begun = min(utc(e["timestamp"]) for e in events if e["media"]
                    and e["media"]["recording_id"] == first["recording_id"])
        before = begun - utc(first["timestamp"])
        print(f"{name}: the first event begins {before:.2f} s into its recording")
        if quiet_start:
            check(PRE_ROLL - 0.1 <= before <= PRE_ROLL + SEGMENT + 0.2, f"{name}: {before:.2f} s of pre-roll")
        check(compared > 60, f"{name}: only {compared} frames could be compared")


def main():
    # The room is empty for some seconds, longer than the pre-roll; then the cat comes in.
    play("demo", {"cameras.[0].source": "demo:start=216,speed=4", "cameras.[0].width": 480,
                  "cameras.[0].height": 270}, 25, quiet_start=True)
    clip = shared("data/video/v03_cat_jumps_on_chair.mp4")
    if clip is None:
        print("no shared clips: the demo room only")
    else:
        play("v03", {"cameras.[0].source": f"file:{clip}"}, 20, quiet_start=False)


if __name__ == "__main__":
    main()
