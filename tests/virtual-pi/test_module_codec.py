#!/usr/bin/env python3
# vpi: timeout=400 camera=none
"""tests/virtual-pi/test_module_codec.py - the encoder node by itself.

What it codes decodes (by ffmpeg) to the very bytes that went in, whatever they are; each habit that the module can
be given is seen from outside, and counted.
"""

import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "probes"))
import m2m  # noqa: E402

SMALL = (96, 80)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def decoded(stream):
    """The pictures of an H.264 stream, I420; ffmpeg must not complain."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=".h264") as file:
        file.write(stream)
        file.flush()
        done = subprocess.run(["ffmpeg", "-v", "error", "-f", "h264", "-i", file.name, "-fps_mode", "passthrough",
                               "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"], capture_output=True, check=False)
    check(done.returncode == 0 and not done.stderr, f"ffmpeg: {done.stderr[:500]}")
    return done.stdout


def noise(generator, size, values=256):
    table = bytes(i % values for i in range(256))
    return generator.randbytes(size).translate(table)


def difficult(fourcc, size, n=8):
    """Frames with all that can go wrong: noise, zeros, ones, start codes, a part that stays."""
    generator = random.Random(f"{fourcc}{size}")
    length = m2m.frame_size(fourcc, *size)
    frames = [bytes(length), noise(generator, length), b"\0\0\1" * (length // 3) + bytes(length % 3),
              noise(generator, length, 2), bytes([255]) * length, noise(generator, length, 4)]
    while len(frames) < n:
        part = generator.randrange(length)
        frames.append(frames[-1][:part] + noise(generator, length - part, 256))
    return frames[:n]


def same(frames, fourcc, size, stream, what):
    wanted = b"".join(m2m.i420(frame, fourcc, *size) for frame in frames)
    got = decoded(stream)
    check(len(got) == len(wanted), f"{what}: {len(got)} bytes of pictures came out, {len(wanted)} went in")
    check(got == wanted, f"{what}: not the same pictures")


def test_bit_exact():
    for fourcc in "NV12", "YU12", "YUYV":
        for size in (SMALL, (32, 32), (34, 38), (130, 66), (642, 362)) if fourcc == "NV12" else ((130, 66), (34, 36)):
            frames = difficult(fourcc, size)
            with m2m.Pipe(m2m.ENCODER, fourcc, size, controls=[(m2m.GOP, 3)]) as pipe:
                pipe.stream()
                out = pipe.run(frames)
                check(out[-1].last and not out[-1].data, f"the last buffer: {out[-1]}")
                times = list(dict.fromkeys((o.us, o.key) for o in out[:-1]))  # zeros grow: two pieces
                check(times == [(40000 * (i + 1), i % 3 == 0) for i in range(len(frames))], f"times: {out}")
                check(pipe.returned == [40000 * (i + 1) for i in range(len(frames))], f"inputs: {pipe.returned}")
                same(frames, fourcc, size, pipe.stream_of(), f"{fourcc} {size}")


def test_large_and_fast():
    for size, fps in ((1280, 720), 60), ((1920, 1080), 30):
        room = m2m.frame_size("NV12", *size)
        for kind, frames in (("noise", [noise(random.Random(i), room) for i in range(3)]),
                             ("still", [noise(random.Random(0), room)] * 3)):
            with m2m.Pipe(m2m.ENCODER, "NV12", size) as pipe:
                pipe.stream()
                pipe.run(frames)
                same(frames, "NV12", size, pipe.stream_of(), f"{kind} {size}")
            # The module's own time: what the client does (Python's copies) is left out.
            with m2m.Pipe(m2m.ENCODER, "NV12", size) as pipe:
                for i in range(4):
                    pipe.inputs[i].map[:room] = frames[i % len(frames)]
                pipe.stream()
                began, count = time.monotonic(), 20
                while len(pipe.returned) < count:
                    while pipe.free and pipe.taken < count:
                        index = pipe.free.pop(0)
                        pipe.taken += 1
                        pipe._queue(m2m.OUTPUT, m2m.MMAP, index, room, room, pipe.taken * 1000)
                    buffer, _ = pipe._dequeue(m2m.OUTPUT, m2m.MMAP)
                    while buffer:
                        pipe.free.append(buffer.index)
                        pipe.returned.append(0)
                        buffer, _ = pipe._dequeue(m2m.OUTPUT, m2m.MMAP)
                    buffer, _ = pipe._dequeue(m2m.CAPTURE, m2m.MMAP)
                    while buffer:
                        pipe._queue(m2m.CAPTURE, m2m.MMAP, buffer.index, len(pipe.outputs[buffer.index].map))
                        buffer, _ = pipe._dequeue(m2m.CAPTURE, m2m.MMAP)
                spent = (time.monotonic() - began) / count * 1000
            print(f"     {size[0]}x{size[1]} {kind}: {spent:.2f} ms a frame; {fps} a second leave {1000 / fps:.1f}")


def test_imports_once():
    before = m2m.counters()
    frames = difficult("NV12", SMALL, 30)
    with m2m.Pipe(m2m.ENCODER, "NV12", SMALL, imported=True) as pipe:
        pipe.stream()
        pipe.run(frames)
        now = m2m.counters()
        check(now["n_imports"] - before["n_imports"] == 4, f"imports: {now}")
        check(now["live_imports"] == 4 and now["live_contexts"] == 1, f"live: {now}")
        text = pathlib.Path("/sys/bus/platform/devices/vpicodec/contexts").read_text()
        check(" 96x80 NV12 streaming 1 silent 0 frames 30 coded 30 aborted 0 imports 4 " in text, text)
        same(frames, "NV12", SMALL, pipe.stream_of(), "imported")
    check(m2m.counters()["live_buffers"] == 0, "buffers stay")


def test_line_alignment():
    with m2m.Pipe(m2m.ENCODER, "NV12", SMALL) as pipe:
        check(pipe.src.bpl == 96, f"bytes a line: {pipe.src.bpl}")
    with m2m.habits(stride_align=128), m2m.Pipe(m2m.ENCODER, "NV12", SMALL) as pipe:
        check(pipe.src.bpl == 128 and pipe.src.sizeimage == 128 * 80 * 3 // 2, f"bytes a line: {pipe.src.bpl}")
        frames = difficult("NV12", SMALL)
        pipe.stream()
        pipe.run(frames)
        same(frames, "NV12", SMALL, pipe.stream_of(), "padded lines")
    for fourcc, align in ("YU12", 64), ("NV12", 32), ("YUYV", 64):
        with m2m.Pipe(m2m.ENCODER, fourcc, (34, 34)) as pipe:
            least = 68 if fourcc == "YUYV" else 34
            check(pipe.src.bpl == (least + align - 1) // align * align, f"{fourcc}: {pipe.src.bpl}")


def test_too_small_is_refused():
    with m2m.Pipe(m2m.ENCODER, "NV12", SMALL, imported=True) as pipe:
        try:
            pipe._queue(m2m.OUTPUT, m2m.DMABUF, 0, pipe.src.sizeimage - 1)
        except OSError:
            return
    check(False, "a buffer smaller than sizeimage was taken")


def run(frames, n_out=4, silence=1.0, controls=(), drain=True):
    with m2m.Pipe(m2m.ENCODER, "NV12", SMALL, n_out=n_out, controls=controls) as pipe:
        pipe.stream()
        pipe.run(frames, drain, silence)
        return pipe


def counted(before, **wanted):
    now = m2m.counters()
    for name, value in wanted.items():
        check(now[name] - before[name] == value, f"{name}: {now[name] - before[name]}, not {value}")


def test_abort_every():
    frames, before = difficult("NV12", SMALL, 12), m2m.counters()
    with m2m.habits(abort_every=3):
        pipe = run(frames)
    check(len(pipe.returned) == 12, f"inputs back: {pipe.returned}")
    check([o.us // 40000 for o in pipe.out[:-1]] == [1, 2, 4, 5, 7, 8, 10, 11], f"outputs: {pipe.out}")
    kept = [frame for i, frame in enumerate(frames) if (i + 1) % 3]
    same(kept, "NV12", SMALL, pipe.stream_of(), "what was not aborted")
    counted(before, n_frames=12, n_coded=8, n_aborted=4)


def test_fail_every():
    before = m2m.counters()
    with m2m.habits(fail_every=4):
        pipe = run(difficult("NV12", SMALL, 12))
    check([o.error for o in pipe.out[:-1]] == [(i + 1) % 4 == 0 for i in range(12)], f"errors: {pipe.out}")
    check(len(pipe.returned) == 12, "inputs back")
    counted(before, n_coded=9, n_errors=3)


def test_stall():
    frames = difficult("NV12", SMALL, 12)
    with m2m.habits(stall_after=5):
        pipe = run(frames, silence=0.5)
        check(len(pipe.out) == 5 and len(pipe.returned) == 5 and pipe.taken == 9, f"stalled: {pipe.out}")
        check(len(run(frames, silence=0.5).out) == 5, "a new file works for as many frames")
    with m2m.Pipe(m2m.ENCODER, "NV12", SMALL) as pipe:
        pipe.stream()
        pipe.run(frames[:4], drain=False)
        check(len(pipe.out) == 4, f"before the stall: {pipe.out}")
        m2m.parameter("stall", 1)
        pipe.run(frames[4:8], silence=0.5)
        check(len(pipe.out) == 4 and len(pipe.returned) == 4, f"after it: {pipe.out}")
        pipe.stream(False)
        check(len(run(frames).out) == 13, "one that was opened later")
    m2m.parameter("stall_sticky", 2)
    check([len(run(frames[:3], silence=0.4).out) for _ in range(3)] == [0, 0, 4], "stall_sticky")


def test_junk_and_headers():
    frames = difficult("NV12", SMALL, 9)
    before = m2m.counters()
    with m2m.habits(junk_first=1):
        pipe = run(frames)
    check(pipe.out[0].us == 0 and len(pipe.out[0].data) == 61 and not pipe.out[0].key, f"junk: {pipe.out[0]}")
    same(frames, "NV12", SMALL, pipe.stream_of(), "after the junk")
    for alone in 1, 2:
        with m2m.habits(headers_alone=alone):
            pipe = run(frames, controls=[(m2m.GOP, 4), (m2m.REPEAT, 1)])
        sizes = [len(o.data) < 100 for o in pipe.out[:-1]]
        check(sizes == [i in (0, 5, 10) for i in range(12)], f"headers: {pipe.out}")
        check([o.us // 40000 for o in pipe.out[:3]] == [alone == 1, 1, 2], f"their time: {pipe.out[:3]}")
        check(not pipe.out[0].key and pipe.out[1].key, f"flags: {pipe.out[:2]}")
        same(frames, "NV12", SMALL, b"".join(o.data for o in pipe.out), "headers alone")
    counted(before, n_junk=1, n_headers=6)


def test_depth_and_late_output():
    frames = difficult("NV12", SMALL, 8)
    with m2m.habits(depth=3), m2m.Pipe(m2m.ENCODER, "NV12", SMALL, n_in=8, n_out=8) as pipe:
        pipe.stream()
        while True:  # frames that nothing pushes come out after 100 ms: too slow a machine tries again
            began = time.monotonic()
            done = len(pipe.out)
            for frame in frames[:6]:
                pipe.submit(frame)
            while len(pipe.out) < done + 4:
                check(pipe.collect(), "nothing comes")
            inside = pipe.taken - len(pipe.out)
            if time.monotonic() - began < 0.09:
                break
            pipe.run([], drain=False, silence=1.0)
        check(inside == 2, f"{inside} inside, not 2: {pipe.returned}, {pipe.out}")
        check(pipe.collect(2.0), "nothing pushes it out")
        pipe.run([], silence=2.0)
        check(len(pipe.out) == pipe.taken + 1 and len(pipe.returned) == pipe.taken, f"drained: {pipe.out}")
        same(frames[:6] * (pipe.taken // 6), "NV12", SMALL, pipe.stream_of(), "three deep")
    with m2m.habits(late_output=2), m2m.Pipe(m2m.ENCODER, "NV12", SMALL, n_in=8, n_out=8) as pipe:
        pipe.stream()
        pipe.run(frames[:6], drain=False, silence=0.4)
        check(len(pipe.returned) == 6 and len(pipe.out) == 4, f"late: {pipe.returned}, {pipe.out}")
        pipe.run(frames[6:])
        check([o.us // 40000 for o in pipe.out[:-1]] == list(range(1, 9)), f"drained: {pipe.out}")
    with m2m.habits(late_output=30):
        check(len(run(frames, n_out=2).out) == 9, "a client with two buffers goes on")
    with m2m.habits(late_us=400000), m2m.Pipe(m2m.ENCODER, "NV12", SMALL) as pipe:
        pipe.stream()
        pipe.submit(frames[0])
        while not pipe.returned:
            check(pipe.collect(), "no input")
        check(not pipe.out, "the output is there already")
        began = time.monotonic()
        check(pipe.collect(2.0) and len(pipe.out) == 1, "no output")
        check(time.monotonic() - began > 0.05, "not late")


def test_latency():
    with m2m.habits(latency_us=30000, jitter_us=5000):
        began = time.monotonic()
        run(difficult("NV12", SMALL, 5))
        check(time.monotonic() - began > 0.15, "too fast")
    with m2m.habits(latency_us=20000000):  # STREAMOFF does not wait for it
        began = time.monotonic()
        with m2m.Pipe(m2m.ENCODER, "NV12", SMALL) as pipe:
            pipe.stream()
            pipe.submit(bytes(m2m.frame_size("NV12", *SMALL)))
            time.sleep(0.05)
            pipe.stream(False)
        check(time.monotonic() - began < 5, "STREAMOFF waited")


def test_sizeimage():
    size = (320, 240)
    frames = [noise(random.Random(i), m2m.frame_size("NV12", *size)) for i in range(5)]
    before = m2m.counters()
    with m2m.habits(sizeimage=50000), m2m.Pipe(m2m.ENCODER, "NV12", size) as pipe:
        check(pipe.dst.sizeimage == 50000, f"sizeimage {pipe.dst.sizeimage}")
        pipe.stream()
        pipe.run(frames)
        check([o.us // 40000 for o in pipe.out[:-1]] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5],
              f"pieces: {pipe.out}")
        same(frames, "NV12", size, pipe.stream_of(), "in pieces")
    counted(before, n_fragments=10, n_coded=5)
    with m2m.habits(sizeimage=50000, oversize="error"), m2m.Pipe(m2m.ENCODER, "NV12", size) as pipe:
        pipe.stream()
        pipe.run(frames)
        check(len(pipe.out) == 6 and all(o.error and not o.data for o in pipe.out[:5]), f"errors: {pipe.out}")


def test_refuse():
    with m2m.habits(refuse="640x480"):
        with m2m.Pipe(m2m.ENCODER, "NV12", (640, 480)) as pipe:
            check((pipe.src.width, pipe.src.height) == (320, 240), "adjusted")
        with m2m.Pipe(m2m.ENCODER, "NV12", (640, 360)) as pipe:
            check((pipe.src.width, pipe.src.height) == (640, 360), "another size")
    with m2m.habits(refuse="640x480", refuse_how=1), m2m.Pipe(m2m.ENCODER, "NV12", (640, 480)) as pipe:
        check((pipe.src.width, pipe.src.height) == (640, 480), "S_FMT takes it")
        try:
            pipe.submit(bytes(640 * 480 * 3 // 2))
            pipe.stream()
        except OSError:
            return
        check(False, "STREAMON took it")


def test_drain_lost():
    frames, before = difficult("NV12", SMALL, 8), m2m.counters()
    with m2m.habits(drain_lost=1, late_output=3):
        pipe = run(frames, n_out=8)
    check(pipe.out[-1].last and len(pipe.out) < 9 and len(pipe.returned) == 8, f"lost: {pipe.out}")
    lost = 9 - len(pipe.out)
    check(lost >= 3, f"only {lost} lost")
    counted(before, n_lost=lost)
    with m2m.habits(drain_lost=2):
        pipe = run(frames, silence=0.5)
    check(not any(o.last for o in pipe.out) and len(pipe.returned) == 8, f"no end: {pipe.out}")


def test_sequence():
    check({o.sequence for o in run(difficult("NV12", SMALL)).out[:-1]} == {0}, "stuck, as the Pi's")
    with m2m.habits(sequence_stuck=0):
        out = run(difficult("NV12", SMALL)).out
    check([o.sequence for o in out[:-1]] == list(range(8)), f"not stuck: {out}")


def test_rate():
    size = (640, 480)
    frames = [noise(random.Random(i), m2m.frame_size("NV12", *size)) for i in range(30)]
    with m2m.habits(rate_mode=1), m2m.Pipe(m2m.ENCODER, "NV12", size, controls=[(m2m.BITRATE, 8000000)]) as pipe:
        pipe.stream()
        pipe.run(frames[:15], drain=False)
        pipe.control(m2m.BITRATE, 1000000)
        pipe.run(frames[15:])
        fast = sum(len(o.data) for o in pipe.out[5:15]) / 10
        slow = sum(len(o.data) for o in pipe.out[16:26]) / 10
        check(25000 < fast < 37000 and 3000 < slow < 5500, f"bytes a frame: {fast}, then {slow}")
        check(len(decoded(pipe.stream_of())) == 30 * 640 * 480 * 3 // 2, "pictures")


def test_rate_pictures():
    """A still picture becomes exact, a moving one stays close; both only if the module knows what a decoder has."""
    size, count = (320, 240), 40
    room = m2m.frame_size("NV12", *size)
    moving = subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "mandelbrot=s=320x240", "-frames:v",
                             str(count), "-pix_fmt", "nv12", "-f", "rawvideo", "-"], capture_output=True, check=True)
    moving = [moving.stdout[i * room : i * room + room] for i in range(count)]
    for frames, limit in ([moving[20]] * count, 0), (moving, 12):
        with m2m.habits(rate_mode=1), m2m.Pipe(m2m.ENCODER, "NV12", size, controls=[(m2m.BITRATE, 4000000)]) as pipe:
            pipe.stream()
            pipe.run(frames)
            pictures = decoded(pipe.stream_of())
            check(len(pictures) == count * room, f"{len(pictures)} bytes of pictures")
            check(max(len(o.data) for o in pipe.out[1:]) < 4000000 / 8 / 30 * 1.1, f"bytes: {pipe.out}")
            last, wanted = pictures[-room:], m2m.i420(frames[-1], "NV12", *size)
            off = sum(abs(a - b) for a, b in zip(last, wanted)) / room
            check(off <= limit, f"a pixel is {off:.2f} off, more than {limit}")


def test_key_on_demand():
    with m2m.Pipe(m2m.ENCODER, "NV12", SMALL) as pipe:
        frames = difficult("NV12", SMALL, 9)
        pipe.stream()
        pipe.run(frames[:4], drain=False)
        pipe.control(m2m.FORCE_KEY_FRAME, 1)
        pipe.run(frames[4:])
        check([i for i, o in enumerate(pipe.out) if o.key] == [0, 4], f"keys: {pipe.out}")
        same(frames, "NV12", SMALL, pipe.stream_of(), "forced")


def test_again_after_drain():
    frames = difficult("NV12", SMALL)
    with m2m.Pipe(m2m.ENCODER, "NV12", SMALL) as pipe:
        for _ in range(3):
            pipe.stream()
            pipe.run(frames)
            same(frames, "NV12", SMALL, pipe.stream_of(), "stream")
            pipe.stream(False)
            pipe.free, pipe.out, pipe.taken = list(range(4)), [], 0
            for i, memory in enumerate(pipe.outputs):
                pipe._queue(m2m.CAPTURE, m2m.MMAP, i, len(memory.map))


def main():
    if not os.path.exists(m2m.PARAMETERS):
        print("skipped: needs the module vpicodec: tests/virtual-pi/vpi test " + sys.argv[0])
        sys.exit(77)
    for name, test in list(globals().items()):
        if name.startswith("test_") and (len(sys.argv) < 2 or sys.argv[1] in name):
            test()
            print("ok  ", name, flush=True)
    left = {name: n for name, n in m2m.counters().items() if name.startswith("live_") and n}
    check(not left, f"something stays: {left}")


main()
