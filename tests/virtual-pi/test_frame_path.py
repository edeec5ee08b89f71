#!/usr/bin/env python3
# vpi: memory=2048 alone=yes timeout=400
# vpi: camera="node_types=0x101 num_outputs=1 output_types=1 vid_out_nr=1"
"""tests/virtual-pi/test_frame_path.py - nobody copies a frame, and what is streamed is what the camera gave.

Mappings of the daemon are looked at every second: none of a full-size frame buffer may be there, of the camera's,
the encoder's or the scaler's. Its system calls neither read nor write a frame. Each buffer is imported once.
A known clip goes through the camera: every picture of the live stream, of HLS and of the recording is one of
the clip, bit by bit, in order.
"""

import collections
import pathlib
import re
import tempfile

import guest
from guest import check

WIDTH, HEIGHT = 1280, 720
FRAME = WIDTH * HEIGHT * 3 // 2
FRAME_PAGES = FRAME + -FRAME % 4096
ENCODER = "/dev/video11"
SMALL = 512 * 1024  # the scaler's pictures: 320 * 180 * 3 rounded up to pages
SECONDS = 60 if guest.FULL else 15
TRANSFERS = ("read", "write", "pread64", "pwrite64", "readv", "writev", "preadv", "pwritev", "preadv2", "pwritev2",
             "sendto", "recvfrom", "sendmsg", "recvmsg", "sendfile", "splice", "copy_file_range", "vmsplice",
             "process_vm_readv", "process_vm_writev")


def full_size(mapping):
    """A frame buffer? The coded buffers of the encoder's CAPTURE queue, which are mapped to be read, have another
    size; its OUTPUT queue is one of imports, which cannot be mapped by its node."""
    if mapping.name == ENCODER:
        return mapping.size == FRAME_PAGES
    return mapping.name.startswith("/dev/video") or mapping.size > SMALL


def watch_mappings(petcam, seconds, of_gl):
    """Looks at /proc/PID/maps every second. `of_gl`: Mesa draws with the CPU, and maps what it imported; how much
    of that is petcam's own is seen in made_mappings()."""
    pid = petcam.process.pid
    sampler = guest.Sampler(lambda: guest.device_mappings(pid), every=1.0)
    sampler.start()
    begun = guest.counters(petcam)
    guest.time.sleep(seconds)
    ended = guest.counters(petcam)
    looks = sampler.stop()
    check(len(looks) >= seconds / 3, f"only {len(looks)} looks in {seconds} s")
    bad = {m for look in looks for m in look if full_size(m) and not m.name.startswith("/dev/dri/")}
    check(of_gl or not bad, f"full-size mappings: {sorted(bad)}")
    check(any(m.name == ENCODER for m in looks[-1]), f"no coded buffer is mapped? {looks[-1]}")
    return begun, ended, looks


def made_mappings(scaler):
    """Every mmap from the first instruction on, by the file that it was made of."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as trace:
        # -D: the daemon is our child, the tracer is not in between.
        with guest.daemon({"encoder.scaler": scaler}, wrapper=[
                "strace", "-D", "-f", "-qq", "-y", "-e", "trace=mmap,mremap", "-o", trace.name]) as petcam:
            petcam.setup()
            guest.flows(petcam, 60, timeout=60)
            check(guest.counters(petcam)["frames_scaled"] > 5, "nothing is scaled")
            check(petcam.stop(timeout=60) == 0, "exit status")
        lines = pathlib.Path(trace.name).read_text(errors="replace").splitlines()
    made = collections.Counter()
    for line in lines:
        call = re.search(r"mmap\([^,]*, (\d+), [^,]*, [^,]*, \d+<(.*)>, (0x[0-9a-f]+|0)\) += 0x", line)
        if not call:
            continue
        size, name, offset = int(call[1]), call[2], int(call[3], 16)
        if name.startswith("/dev/video"):
            made["coded"] += 1
            check(name.startswith(ENCODER) and offset >= guest.CAPTURE_QUEUE, f"a frame buffer is mapped: {line}")
        elif name.startswith("/dev/dri"):
            made["drm"] += 1
        elif "dmabuf" in name or name.startswith(("/memfd:", "anon_inode:")):
            # The gles scaler draws a picture of its own before it counts as open, and lets it go.
            kind = "small" if size <= SMALL else "trial"
            made[kind] += 1
            check(kind == "small" or made["trial"] <= (scaler == "gles"), f"a frame buffer is mapped: {line}")
    check(made["coded"] > 0, f"no coded buffer is mapped? {len(lines)} calls")
    return made


def check_imports(begun, ended, name):
    check(0 < begun[f"{name}_imports"] <= 32, f"{name}: {begun[f'{name}_imports']} imports")
    check(begun[f"{name}_imports"] == ended[f"{name}_imports"],
          f"{name}: imports went from {begun[f'{name}_imports']} to {ended[f'{name}_imports']}")


def check_calls(petcam, seconds, of_gl):
    """No transfer of a device's file, none of a frame's size, no mapping made on the way."""
    paths = guest.fd_paths(petcam.process.pid)
    devices = {fd for fd, path in paths.items()
               if path.startswith(("/dev/video", "/dev/dma_heap", "/dev/dri", "/dmabuf")) or "dmabuf" in path}
    check(devices, f"no device is open? {paths}")
    strace = guest.Strace(petcam.process.pid)
    guest.time.sleep(seconds)
    lines = strace.finish()
    frames = sum("VIDIOC_QBUF" in line for line in lines)
    check(frames > seconds, f"only {frames} QBUF were traced, of {len(lines)} calls")
    for line in lines:
        call = re.match(r"\d+\s+(\w+)\((\d+)?(.*)", line)
        if not call:
            continue
        if call[1] in TRANSFERS:
            check(call[2] is None or int(call[2]) not in devices, f"a device is read or written: {line[:200]}")
            result = re.search(r"= (\d+)$", line)
            check(not result or int(result[1]) < FRAME, f"a transfer of a frame's size: {line[:200]}")
        elif call[1] == "mmap":
            mapped = re.search(r", (-?\d+), [0-9a-fx]+\) +=", line)
            fd = int(mapped[1]) if mapped else -1
            mesa = of_gl and paths.get(fd, "").startswith("/dev/dri/")
            check(fd not in devices or mesa, f"a device is mapped frame by frame: {line[:200]}")
    return len(lines)


def path(scaler):
    guest.camera(WIDTH, HEIGHT, 30, text=True)
    made = made_mappings(scaler)
    check(made["drm"] == 0 or scaler == "gles", f"{made}")
    with guest.daemon({"encoder.scaler": scaler}) as petcam:
        petcam.setup()
        guest.flows(petcam, 60)
        hardware = guest.codec_counts()
        begun, ended, looks = watch_mappings(petcam, SECONDS, scaler == "gles")
        check(ended["frames_encoded"] - begun["frames_encoded"] > 10 * SECONDS / guest.SLOW,
              f"too few frames: {begun} {ended}")
        check_imports(begun, ended, "encoder")
        check_imports(begun, ended, "scaler")
        check(ended["frames_scaled"] > begun["frames_scaled"], "nothing is scaled")
        check(ended["frames_converted"] == 0, "frames are converted")
        check(0 <= guest.balance(ended) <= 8, f"frames unaccounted for: {guest.balance(ended)} of {ended}")
        calls = check_calls(petcam, 4, scaler == "gles")
        coded = [m for m in looks[-1] if m.name == ENCODER]
        full = [m for m in looks[-1] if full_size(m)]
        check(len(full) <= made["drm"] and not any("w" in m.flags for m in full),
              f"full-size mappings that are not Mesa's: {full}, {made}")
        guest.report("frame_path", scaler=scaler, seconds=SECONDS, looks=len(looks), coded_mappings=len(coded),
                     small_mappings=len(looks[-1]) - len(coded) - len(full), full_size_mappings_of_mesa=len(full),
                     made=made, encoder_imports=ended["encoder_imports"],
                     scaler_imports=ended["scaler_imports"], calls_traced=calls,
                     fps=round((ended["frames_encoded"] - begun["frames_encoded"]) / SECONDS, 2),
                     codec_before=hardware, codec_after=guest.codec_counts())
        state, text = guest.health(petcam)["camera cam0"]
        check(state == "ok", f"camera: {state} {text}")


def test_m2m():
    path("v4l2m2m")


def test_gles():
    path("gles")


def places(hashes, clip, what):
    """Where each picture is in the clip; they must all be there, and come in order."""
    known = {value: i for i, value in enumerate(clip.hashes)}
    strange = [i for i, value in enumerate(hashes) if value not in known]
    check(not strange, f"{what}: {len(strange)} of {len(hashes)} pictures are not of the clip, first {strange[:5]}")
    found = [known[value] for value in hashes]
    n = len(clip.hashes)
    steps = [(b - a) % n for a, b in zip(found, found[1:])]
    # A picture may come twice, or be missed, never return.
    check(all(step < n // 2 for step in steps), f"{what}: out of order: {[s for s in steps if s >= n // 2][:5]}")
    return {"pictures": len(found), "twice": steps.count(0), "missed": sum(s - 1 for s in steps if s > 1)}


def test_bit_exact():
    clip = guest.pictures(WIDTH, HEIGHT)
    with guest.feeding(clip), guest.daemon({"live.window_s": 6.0, "storage.max_clip_s": 5.0}) as petcam:
        guest.consented(petcam)
        guest.flows(petcam, 30)
        file = petcam.root / "live.mp4"
        file.write_bytes(guest.live(petcam, 6))
        found = {"live": places(guest.md5s("-i", file), clip, "live.mp4")}
        check(found["live"]["pictures"] > 30, f"{found}")
        file.write_bytes(guest.hls(petcam))
        found["hls"] = places(guest.md5s("-i", file), clip, "HLS")
        check(found["hls"]["pictures"] > 20, f"{found}")
        done = guest.wait_for_recording(petcam, 40)
        for recording in done[-2:]:
            saved = guest.recording_file(petcam, recording)
            hashes = guest.md5s("-i", saved)
            check(len(hashes) == recording["frames"], f"{len(hashes)} of {recording}")
            found[f"recording_{recording['recording_id']}"] = places(hashes, clip, "recording")
        c = guest.counters(petcam)
        check(0 <= guest.balance(c) <= 8 and c["frames_converted"] == 0, f"{c}")
        guest.report("bit_exact", **found)


if __name__ == "__main__":
    guest.main(test_m2m, test_gles, test_bit_exact)
