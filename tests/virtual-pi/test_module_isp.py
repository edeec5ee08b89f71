#!/usr/bin/env python3
# vpi: timeout=120 camera=none machines=uml,amd64,arm64
"""tests/virtual-pi/test_module_isp.py - the scaler node by itself: every pixel is computed here once more.

The rule is at the top of modules/vpicodec/isp.c.
"""

import os
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "probes"))
import m2m  # noqa: E402

BT601, BT709 = (409, 100, 208, 516), (459, 55, 136, 541)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def spans(n, m, nearest):
    if nearest or m > n:
        return [((2 * i + 1) * n // (2 * m), (2 * i + 1) * n // (2 * m) + 1) for i in range(m)]
    return [(i * n // m, (i + 1) * n // m) for i in range(m)]


def scaled(plane, w, h, to_w, to_h, nearest):
    out = bytearray()
    columns = spans(w, to_w, nearest)
    for y0, y1 in spans(h, to_h, nearest):
        lines = [plane[y * w : y * w + w] for y in range(y0, y1)]
        for x0, x1 in columns:
            count = (x1 - x0) * (y1 - y0)
            out.append((sum(sum(line[x0:x1]) for line in lines) + count // 2) // count)
    return bytes(out)


def rgb(planes, matrix):
    re, gd, ge, bd = matrix
    out = bytearray()
    for y, u, v in zip(*planes):
        c, d, e = 298 * (y - 16) + 128, u - 128, v - 128
        out += bytes(min(max(value >> 8, 0), 255) for value in (c + re * e, c - gd * d - ge * e, c + bd * d))
    return bytes(out)


def expected(frame, fourcc, size, to, to_size, matrix=BT709, nearest=False):
    w, h = to_size
    sizes = {"RGB3": [(w, h)] * 3, "YUYV": [(w, h), (w // 2, h), (w // 2, h)]}.get(
        to, [(w, h), (w // 2, h // 2), (w // 2, h // 2)])
    planes = [scaled(plane, pw, ph, *target, nearest)
              for (plane, pw, ph), target in zip(m2m.components(frame, fourcc, *size), sizes)]
    if to == "RGB3":
        return rgb(planes, matrix)
    if to == "YUYV":
        out = bytearray(w * h * 2)
        out[0::2], out[1::4], out[3::4] = planes
        return bytes(out)
    if to == "NV12":
        chroma = bytearray(w * h // 2)
        chroma[0::2], chroma[1::2] = planes[1:]
        return planes[0] + bytes(chroma)
    return b"".join(planes)


def through(frames, fourcc, size, to, to_size, **more):
    with m2m.Pipe(m2m.ISP, fourcc, size, to, to_size, **more) as pipe:
        pipe.stream()
        pipe.run(frames, drain=False)
        return [m2m.tight(out.data, pipe.dst) for out in pipe.out]


def noise(seed, fourcc, size):
    return random.Random(seed).randbytes(m2m.frame_size(fourcc, *size))


def test_every_pixel():
    for fourcc in "NV12", "YU12", "YUYV":
        for to in "RGB3", "NV12", "YU12", "YUYV":
            for size, to_size in (((96, 80), (96, 80)), ((128, 96), (34, 38)), ((34, 36), (100, 66)),
                                  ((160, 90), (96, 90)), ((64, 64), (100, 32))):
                frame = noise(f"{fourcc}{to}{size}", fourcc, size)
                got = through([frame], fourcc, size, to, to_size)
                check(len(got) == 1, f"{len(got)} pictures")
                check(got[0] == expected(frame, fourcc, size, to, to_size), f"{fourcc} {size} to {to} {to_size}")


def test_colours_and_nearest():
    size, to_size = (96, 80), (64, 48)
    frame = noise(1, "NV12", size)
    for ycbcr, matrix in ((1, BT601), (2, BT709)):
        got = through([frame], "NV12", size, "RGB3", to_size, ycbcr=ycbcr)
        check(got[0] == expected(frame, "NV12", size, "RGB3", to_size, matrix), f"encoding {ycbcr}")
    with m2m.habits(isp_nearest=1):
        got = through([frame], "NV12", size, "RGB3", to_size)
    check(got[0] == expected(frame, "NV12", size, "RGB3", to_size, nearest=True), "nearest")


def test_padded_lines_and_imports():
    size, to_size = (96, 80), (66, 34)
    frames = [noise(i, "NV12", size) for i in range(9)]
    before = m2m.counters()["n_imports"]
    got = through(frames, "NV12", size, "RGB3", to_size, bpl=256, imported=True)
    check(m2m.counters()["n_imports"] - before == 4, "imported once a buffer")
    for i, frame in enumerate(frames):
        check(got[i] == expected(frame, "NV12", size, "RGB3", to_size), f"frame {i}")


def test_habits():
    size, to_size = (96, 80), (64, 48)
    frames = [noise(i, "NV12", size) for i in range(9)]
    with m2m.habits(isp_abort_every=3):
        got = through(frames, "NV12", size, "RGB3", to_size)
    kept = [frame for i, frame in enumerate(frames) if (i + 1) % 3]
    check(got == [expected(frame, "NV12", size, "RGB3", to_size) for frame in kept], "aborted ones are missing")
    with m2m.habits(isp_stall_after=4):
        check(len(through(frames, "NV12", size, "RGB3", to_size)) == 4, "stalled")
    with m2m.habits(abort_every=2, stall_after=1, latency_us=100000):
        check(len(through(frames, "NV12", size, "RGB3", to_size)) == 9, "the encoder's habits are not the scaler's")


def test_speed():
    for size, to, to_size in (((1280, 720), "RGB3", (320, 180)), ((1920, 1080), "RGB3", (320, 180)),
                              ((1280, 720), "NV12", (1280, 720))):
        with m2m.Pipe(m2m.ISP, "NV12", size, to, to_size, n_in=1, n_out=1) as pipe:
            frame = bytes(m2m.frame_size("NV12", *size))
            pipe.stream()
            began, count = time.monotonic(), 20
            for _ in range(count):
                pipe.submit(frame)
                while not pipe.returned:
                    pipe.collect()
                while not pipe.out:
                    pipe.collect()
                pipe.returned, pipe.out = [], []
            print(f"     {size} to {to} {to_size}: {(time.monotonic() - began) / count * 1000:.1f} ms, copies included")


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
