#!/usr/bin/env python3
"""tests/bench/hwpath/inside.py - runs inside the virtual Pi: petcam, GStreamer and ffmpeg on the same camera and codec.

Each makes HLS, 1 s segments, 6 s of them, at the same bit rate; petcam's in its memory, the others' on a tmpfs.
In each round they take turns (A B C D, A B C D ...), each twice: once as fast as it can, on a camera that gives more
than anybody takes (frames, page faults, peak memory), and once at 30 frames a second under strace with the shim that
counts copies (system calls, bytes). Frames are counted by the codec itself.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "virtual-pi"))
import guest  # noqa: E402

WIDTH, HEIGHT = 1280, 720
BIT_RATE = 4_000_000
WINDOW = 6
FAST, USUAL = 200, 30
TRANSFERS = frozenset((
    "read", "write", "pread64", "pwrite64", "readv", "writev", "preadv", "pwritev", "preadv2", "pwritev2", "sendto",
    "recvfrom", "sendmsg", "recvmsg", "sendfile", "splice", "copy_file_range", "vmsplice", "tee"))


class Copies:
    """The four words of tests/support/copy_count.c."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def read(self):
        data = self.path.read_bytes() if self.path.exists() else b""
        return struct.unpack("<4Q", data) if len(data) == 32 else (0, 0, 0, 0)


class Other:
    """A program of Debian's that writes HLS into a folder of its own."""

    def __init__(self, name, command):
        self.name, self.command = name, command

    @contextlib.contextmanager
    def running(self, fps, env):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="hls-", dir="/dev/shm"))
        with open("/tmp/other.log", "wb") as log:
            process = subprocess.Popen(self.command(fps), cwd=folder, env={**os.environ, **env},
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield process.pid, lambda: sum(file.stat().st_size for file in folder.iterdir())
            if process.poll() is not None:
                raise RuntimeError(f"{self.name} ended: {pathlib.Path('/tmp/other.log').read_text()[-2000:]}")
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            shutil.rmtree(folder)


class Petcam:
    """As it is shipped, or with as little looking at small pictures as can be set: the others don't look at all."""

    def __init__(self, name, looks):
        self.name, self.looks = name, looks

    @contextlib.contextmanager
    def running(self, fps, env):
        with guest.daemon({
                "cameras.[0].width": WIDTH, "cameras.[0].height": HEIGHT, "cameras.[0].fps": min(fps, 60),
                "cameras.[0].bitrate_kbps": BIT_RATE // 1000, "live.window_s": float(WINDOW),
                "live.segment_s": 1.0, "inference.rate": self.looks}, env=env) as petcam:
            # Nobody has set it up, so nothing is recorded: the others don't either. What is small is looked at.
            yield petcam.process.pid, lambda: 0  # its HLS is in its own memory
            if petcam.process.poll() is not None:
                raise RuntimeError(petcam.log()[-2000:])


def gstreamer(_):
    return ["gst-launch-1.0", "-e", "-q", "v4l2src", f"device={guest.CAMERA}", "io-mode=dmabuf", "!",
            f"video/x-raw,format=NV12,width={WIDTH},height={HEIGHT}", "!",
            "v4l2h264enc", "output-io-mode=dmabuf-import",
            f"extra-controls=controls,video_bitrate={BIT_RATE},h264_i_frame_period=60,repeat_sequence_header=1;", "!",
            "video/x-h264,level=(string)4", "!", "h264parse", "!",
            "hlssink2", "target-duration=1", f"max-files={WINDOW}", f"playlist-length={WINDOW}"]


def ffmpeg(_):
    return ["ffmpeg", "-v", "warning", "-nostdin", "-fflags", "nobuffer", "-probesize", "32", "-f", "v4l2",
            "-input_format", "nv12", "-video_size", f"{WIDTH}x{HEIGHT}", "-i", guest.CAMERA,
            "-fps_mode", "passthrough", "-c:v", "h264_v4l2m2m", "-b:v", str(BIT_RATE), "-g", "60",
            "-f", "hls", "-hls_time", "1", "-hls_list_size", str(WINDOW), "-hls_flags", "delete_segments", "hls.m3u8"]


def coded():
    return guest.codec_counts()["n_coded"]


def faults(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[7]) + int(fields[9])  # minor and major


def wait_for_frames(pid, n, name):
    begun, deadline = coded(), time.monotonic() + 60
    while coded() < begun + n:
        if time.monotonic() > deadline or not os.path.exists(f"/proc/{pid}"):
            raise RuntimeError(f"{name}: {coded() - begun} frames in 60 s")
        time.sleep(0.1)


def saturated(program, warm, seconds):
    guest.camera(WIDTH, HEIGHT, FAST, moving=True)
    with program.running(FAST, {}) as (pid, output):
        wait_for_frames(pid, 20, program.name)
        time.sleep(warm)
        frames, fault, begun = coded(), faults(pid), time.monotonic()
        time.sleep(seconds)
        frames, fault, lasted = coded() - frames, faults(pid) - fault, time.monotonic() - begun
        peak = guest.status(pid, "VmHWM")
        # Until then petcam's window has grown to its size.
        return {"fps": frames / lasted, "ms_per_frame": 1000 * lasted / frames, "faults_per_frame": fault / frames,
                "peak_kb": peak, "peak_with_output_kb": peak + output() // 1024}


def traced(path):
    """Calls, and bytes that they moved, of strace's output."""
    calls = moved = 0
    by_name = {}
    with open(path, errors="replace") as lines:
        for line in lines:
            done = re.match(r"\d+\s+(?:<\.\.\. )?(\w+)(?: resumed>|\()", line)
            if not done or "<unfinished" in line:
                continue
            calls += 1
            by_name[done[1]] = by_name.get(done[1], 0) + 1
            if done[1] in TRANSFERS:
                result = re.search(r"= (\d+)\s*$", line)
                moved += int(result[1]) if result else 0
    return calls, moved, by_name


def counted(program, shim, seconds):
    guest.camera(WIDTH, HEIGHT, USUAL, moving=True)
    copies = Copies("/dev/shm/copies")
    copies.path.unlink(missing_ok=True)
    trace = pathlib.Path("/dev/shm/trace")
    with program.running(USUAL, {"LD_PRELOAD": str(shim), "COPY_COUNT": str(copies.path)}) as (pid, _):
        wait_for_frames(pid, 40, program.name)
        frames, large = coded(), copies.read()
        time.sleep(seconds)
        frames, large = coded() - frames, [b - a for a, b in zip(large, copies.read())]
        trace.write_text("")
        strace = subprocess.Popen(["strace", "-f", "-qq", "-o", str(trace), "-p", str(pid)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while trace.stat().st_size == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)  # its threads are held one after another
        size, first = trace.stat().st_size, coded()
        time.sleep(seconds)
        seen = coded() - first
        strace.send_signal(signal.SIGINT)
        strace.wait(30)
    with open(trace, "rb") as file:
        file.seek(size)
        rest = file.read().split(b"\n", 1)[-1]
    trace.write_bytes(rest)
    calls, moved, by_name = traced(trace)
    trace.unlink()
    top = dict(sorted(((name, round(n / seen, 2)) for name, n in by_name.items()), key=lambda x: -x[1])[:12])
    return {"calls_per_frame": calls / seen, "call_bytes_per_frame": moved / seen,
            "copied_bytes_per_frame": large[0] / frames, "copies_per_frame": large[1] / frames,
            "small_copied_bytes_per_frame": large[2] / frames, "bytes_per_frame": moved / seen + large[0] / frames,
            "traced_fps": seen / seconds, "calls": top}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--warm", type=float, default=WINDOW + 2)
    parser.add_argument("--only", default="")
    parser.add_argument("--shim", required=True)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    args = parser.parse_args()
    guest.inside()
    guest.codec(rate_mode=1, sizeimage=2 << 20)
    programs = [Petcam("petcam", 10), Petcam("petcam, 1 look a second", 1), Other("GStreamer", gstreamer), Other("ffmpeg", ffmpeg)]
    programs = [p for p in programs if not args.only or p.name in args.only.split(",")]
    subprocess.run(["gst-inspect-1.0", "v4l2h264enc"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   check=False)  # its registry is built once
    results = []
    for number in range(1, args.rounds + 1):
        for program in programs:
            result = {"program": program.name, "round": number,
                      **saturated(program, args.warm, args.seconds),
                      **counted(program, args.shim, args.seconds)}
            results.append(result)
            print(json.dumps(result), flush=True)
            args.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
