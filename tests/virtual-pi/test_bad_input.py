#!/usr/bin/env python3
# vpi: memory=2048 timeout=560
# vpi: camera="n_devs=2 node_types=0x101,0x1 num_inputs=1,1 input_types=3,3 num_outputs=1,0 output_types=1 vid_cap_nr=0,1 vid_out_nr=2 allocators=1,0"
"""tests/virtual-pi/test_bad_input.py - what is wrong with a machine is said in words, and what can run runs.

A node that is no camera, one in use, one without permission, formats and memory that nothing can import, no
contiguous memory left: /health and the log say which, petcam serves all the same, and takes the software way, or
the better one once it is there.
"""

import contextlib
import fcntl
import os
import pathlib
import re
import stat
import struct
import tempfile
import time

import guest
from guest import CAMERA, check

SCATTERED = "/dev/video1"  # a camera whose buffers are not contiguous, as a UVC camera's
ENCODER, SCALER = "/dev/video11", "/dev/video12"
CMA = "/dev/dma_heap/linux,cma"
HEAP_LIMIT = pathlib.Path("/sys/module/vpiheap/parameters/limit_kib")
NODES = [CAMERA, SCATTERED, ENCODER, SCALER, CMA, "/dev/dma_heap/system"]


def said(petcam, part, *words, state="failed", timeout=20):
    """/health's sentence on a part, once it has these words."""
    def look():
        found = guest.health(petcam).get(part)
        return found if found and found[0] == state and all(re.search(word, found[1]) for word in words) else None
    try:
        return petcam.wait_for(look, timeout=timeout * guest.SLOW)[1]
    except Exception as error:
        raise AssertionError(f"/health does not say {words}: {guest.health(petcam)}; log:\n{petcam.log()}") from error


def logged(petcam, *words):
    lines = [line for line in petcam.log().splitlines() if all(re.search(word, line) for word in words)]
    check(lines, f"no line of the log has {words}:\n{petcam.log()}")
    return lines


def parts_of_camera(petcam):
    """Names of the parts: ("camera cam0", "encoder cam0"), as /health has them."""
    names = list(guest.health(petcam))
    return next(name for name in names if name.startswith("camera")), next(
        (name for name in names if name.startswith("encoder")), None)


def still_serves(petcam):
    """The API is there although the camera is not, and petcam ends as it should."""
    check(petcam.get("/version")[0] == 200, "no /version")
    check(petcam.get("/events")[0] == 200, "no /events")
    check(petcam.get("/cameras")[0] == 200, "no /cameras")
    check(petcam.process.poll() is None, f"petcamd ended:\n{petcam.log()}")
    check(petcam.stop() == 0, f"exit status; log:\n{petcam.log()}")


def refused(source, *words, settings=None, wrapper=()):
    """petcamd on this source says so, again and again in /health and once in the log."""
    with guest.daemon({"cameras.[0].source": source, **(settings or {})}, wrapper=wrapper) as petcam:
        petcam.setup()
        part, _ = parts_of_camera(petcam)
        text = said(petcam, part, *words)
        logged(petcam, *words)
        time.sleep(2.5)  # a few tries more: what is the same is said once
        repeats = len(logged(petcam, *words))
        check(repeats <= 2, f"the same was logged {repeats} times:\n{petcam.log()}")
        check(guest.counters(petcam)["frames_encoded"] == 0, "frames out of nowhere")
        guest.report("refused", source=source, said=text)
        still_serves(petcam)


@contextlib.contextmanager
def as_group(*paths, mode=0o660):
    """These nodes belong to group video, as udev does it; all others stay root's."""
    group = int(guest.run("getent", "group", "video").split(":")[2])
    for path in paths:
        os.chown(path, 0, group)
        os.chmod(path, mode)
    try:
        yield group
    finally:
        for path in paths:
            if os.path.exists(path):
                os.chown(path, 0, 0)
                os.chmod(path, 0o600)


@contextlib.contextmanager
def holding(path):
    """Another program has the camera's buffers; what is given lets them go."""
    held = [os.open(path, os.O_RDWR | os.O_NONBLOCK)]
    reqbufs = 0xC0145608  # VIDIOC_REQBUFS: count, type (capture), memory (mmap), capabilities, flags
    fcntl.ioctl(held[0], reqbufs, bytearray(struct.pack("5I", 4, 1, 1, 0, 0)))

    def let_go():
        while held:
            os.close(held.pop())
    try:
        yield let_go
    finally:
        let_go()


def nobody(*groups):
    words = ["setpriv", "--reuid=65534", "--regid=65534"]
    return [*words, f"--groups={','.join(map(str, groups))}"] if groups else [*words, "--clear-groups"]


@contextlib.contextmanager
def daemon_as(wrapper, settings=None):
    """A daemon of another user, with a data root that is that user's."""
    with tempfile.TemporaryDirectory(prefix="petcam-nobody-", dir="/dev/shm") as folder:
        os.chown(folder, 65534, 65534)
        with guest.daemon(settings, root=folder, wrapper=wrapper) as petcam:
            yield petcam


# ---- a node that is no camera ----


def test_no_such_node():
    refused("v4l2:/dev/video77", "there is no /dev/video77")


def test_an_encoder_for_a_camera():
    refused(f"v4l2:{ENCODER}", ENCODER, "no camera|is an? encoder")


def test_no_video_node():
    os.mknod("/dev/video70", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    pathlib.Path("/dev/video71").write_text("a file")
    try:
        refused("v4l2:/dev/video70", "/dev/video70", "no camera|no V4L2|not a|No such device")
        refused("v4l2:/dev/video71", "/dev/video71", "no camera|no V4L2|not a|No such device")
        refused("v4l2:/dev/null", "/dev/null", "no camera|no V4L2|not a|No such device")
    finally:
        os.unlink("/dev/video70")
        os.unlink("/dev/video71")


def test_auto_without_camera():
    """The demo room, which is what "auto" means where no camera is; encoded by the device."""
    with guest.hidden(CAMERA, SCATTERED), guest.daemon(
            {"cameras.[0].source": "auto", "encoder.encoder": "auto", "encoder.scaler": "auto"}) as petcam:
        petcam.setup()
        guest.flows(petcam, 10, timeout=60)
        logged(petcam, ENCODER)
        check(petcam.stop() == 0, "exit status")


# ---- one in use ----


def test_in_use():
    """When the other program lets go, petcam has the camera without being told."""
    guest.camera()
    with holding(CAMERA) as let_go, guest.daemon() as petcam:
        petcam.setup()
        part, _ = parts_of_camera(petcam)
        text = said(petcam, part, CAMERA, "in use")
        logged(petcam, CAMERA, "in use")
        check(petcam.get("/version")[0] == 200, "no /version")
        let_go()
        begun = time.monotonic()
        guest.flows(petcam, 5, timeout=40)
        guest.report("in_use", said=text, back_s=round(time.monotonic() - begun, 1))
        said(petcam, part, state="ok")
        check(petcam.stop() == 0, "exit status")


def test_in_use_elsewhere():
    """"v4l2" takes another camera where one is in use."""
    guest.camera()
    guest.timing(1280, 720, 30, device=SCATTERED)
    with holding(CAMERA), guest.daemon({"cameras.[0].source": "v4l2"}) as petcam:
        petcam.setup()
        guest.flows(petcam, 10)
        logged(petcam, SCATTERED)
        check(petcam.stop() == 0, "exit status")


# ---- without permission ----


def test_camera_without_permission():
    with as_group(*NODES), daemon_as(nobody()) as petcam:
        petcam.setup()
        part, _ = parts_of_camera(petcam)
        text = said(petcam, part, CAMERA, "[Pp]ermission|group video")
        logged(petcam, CAMERA, "[Pp]ermission|group video")
        guest.report("camera_without_permission", said=text)
        still_serves(petcam)


def test_encoder_without_permission():
    """The camera may be had, the encoder, the scaler and the heap not: software runs, and says why."""
    guest.camera()
    with as_group(CAMERA) as group, daemon_as(
            nobody(group), {"cameras.[0].width": 640, "cameras.[0].height": 360, "encoder.encoder": "auto",
                            "encoder.scaler": "auto"}) as petcam:
        petcam.setup()
        guest.flows(petcam, 20, timeout=60)
        lines = logged(petcam, "libx264", "v4l2m2m", "[Pp]ermission")
        guest.report("encoder_without_permission", logged=lines[0])
        check(len(guest.hls(petcam)) > 1000, "no stream")  # a still test picture takes next to nothing
        check(petcam.stop() == 0, "exit status")


def test_group_video_is_enough():
    guest.camera()
    with as_group(*NODES) as group, daemon_as(nobody(group)) as petcam:
        petcam.setup()
        guest.flows(petcam, 30)
        logged(petcam, ENCODER)
        check(petcam.stop() == 0, "exit status")


def test_a_chosen_encoder_without_permission():
    """What was chosen by name is not replaced: it is said, and tried again."""
    guest.camera()
    with as_group(CAMERA, CMA) as group, daemon_as(nobody(group)) as petcam:
        petcam.setup()
        deadline = time.monotonic() + 20 * guest.SLOW
        while not any(state == "failed" for state, _ in guest.health(petcam).values()):
            check(time.monotonic() < deadline, f"/health is content: {guest.health(petcam)}")
            time.sleep(0.2)
        text = " ".join(text for state, text in guest.health(petcam).values() if state == "failed")
        check(re.search("[Pp]ermission", text), text)
        guest.report("a_chosen_encoder_without_permission", said=text)
        still_serves(petcam)


# ---- formats and memory that nothing can import ----


def converted(settings, *words, least=15):
    """It runs, by copies that are counted and said."""
    with guest.daemon(settings) as petcam:
        petcam.setup()
        c = guest.flows(petcam, least, timeout=60)
        lines = logged(petcam, *words)
        guest.report("converted", settings=settings, logged=lines[0], converted=c["frames_converted"],
                     encoded=c["frames_encoded"])
        check(c["frames_converted"] > 0, f"a copy that nobody counted: {c}")
        check(all(state == "ok" for state, _ in guest.health(petcam).values()), guest.health(petcam))
        check(petcam.stop() == 0, "exit status")
        return c


def test_a_format_that_no_device_takes():
    """UYVY: the encoder does not know it, so the CPU converts, and says so."""
    guest.camera()
    converted({"cameras.[0].format": "UYVY"}, "UYVY", "[Cc]onvert|copy|copie")


def test_a_format_that_nobody_takes():
    guest.camera()
    refused(f"v4l2:{CAMERA}", "RGBP", "format", settings={"cameras.[0].format": "RGBP"})


def test_buffers_that_no_device_takes():
    """A camera of scattered memory, told to use its own buffers: copies, and it is said why."""
    guest.timing(1280, 720, 30, device=SCATTERED)
    converted({"cameras.[0].source": f"v4l2:{SCATTERED}", "cameras.[0].memory": "export"}, "[Cc]onvert|copy|copie")


def test_scattered_buffers_are_replaced():
    """The same camera left alone: it fills the heap's buffers, and nothing is copied."""
    guest.timing(1280, 720, 30, device=SCATTERED)
    with guest.daemon({"cameras.[0].source": f"v4l2:{SCATTERED}"}) as petcam:
        petcam.setup()
        c = guest.flows(petcam, 30)
        logged(petcam, "not contiguous")
        check(c["frames_converted"] == 0, c)
        check(petcam.stop() == 0, "exit status")


# ---- no contiguous memory left ----


@contextlib.contextmanager
def heap_limit(kib):
    HEAP_LIMIT.write_text(str(kib))
    try:
        yield
    finally:
        HEAP_LIMIT.write_text("0")


def test_no_heap_memory_for_an_importing_camera():
    """The heap is dry: other memory, or a sentence with what is wrong; never a crash, never silence."""
    guest.camera()
    with heap_limit(4096), guest.daemon({"cameras.[0].memory": "import"}) as petcam:
        petcam.setup()
        part, _ = parts_of_camera(petcam)
        deadline = time.monotonic() + 30 * guest.SLOW
        while guest.counters(petcam)["frames_encoded"] < 15 and guest.health(petcam)[part][0] != "failed":
            check(time.monotonic() < deadline, f"neither frames nor words: {guest.health(petcam)}\n{petcam.log()}")
            time.sleep(0.2)
        state, text = guest.health(petcam)[part]
        encoded = guest.counters(petcam)["frames_encoded"]
        lines = logged(petcam, "memory|Memory")
        guest.report("no_heap_memory", state=state, said=text, encoded=encoded, logged=lines[0])
        check(encoded > 0 or re.search("memory", text), text)
        # Memory comes back: so does the camera.
        HEAP_LIMIT.write_text("0")
        guest.flows(petcam, 15, timeout=60)
        check(petcam.stop() == 0, "exit status")


def test_no_heap_memory_and_scattered_buffers():
    """Neither the camera's memory nor the heap's will do: other memory, copied into, or the software encoder."""
    guest.timing(1280, 720, 30, device=SCATTERED)
    with heap_limit(64), guest.daemon({"cameras.[0].source": f"v4l2:{SCATTERED}", "encoder.encoder": "auto",
                                       "encoder.scaler": "auto", "cameras.[0].width": 640,
                                       "cameras.[0].height": 360}) as petcam:
        petcam.setup()
        c = guest.flows(petcam, 15, timeout=60)
        guest.report("no_heap_memory_and_scattered_buffers", converted=c["frames_converted"],
                     log=[line for line in petcam.log().splitlines() if " info " in line][2:6])
        check(petcam.stop() == 0, "exit status")


def test_heap_memory_for_some_buffers_only():
    """The heap gives a buffer or two and then no more: that is no reason to show nothing."""
    guest.timing(1280, 720, 30, device=SCATTERED)
    with heap_limit(3000), guest.daemon({"cameras.[0].source": f"v4l2:{SCATTERED}", "encoder.encoder": "auto",
                                         "encoder.scaler": "auto"}) as petcam:
        petcam.setup()
        c = guest.flows(petcam, 15, timeout=60)
        guest.report("heap_memory_for_some_buffers_only", converted=c["frames_converted"])
        check(petcam.stop() == 0, "exit status")


def test_no_heap_memory_for_the_scaler():
    """The small pictures have no buffers: live goes on, by another scaler or by none."""
    guest.camera()
    with heap_limit(8), guest.daemon({"encoder.scaler": "auto"}) as petcam:
        petcam.setup()
        c = guest.flows(petcam, 30)
        guest.report("no_heap_memory_for_the_scaler", scaled=c["frames_scaled"], health=guest.health(petcam))
        check(c["frames_scaled"] > 0, f"nothing is scaled although software can: {petcam.log()}")
        check(petcam.stop() == 0, "exit status")


def test_no_heap_at_all():
    """Without a heap node the camera's own buffers serve."""
    guest.camera()
    with guest.hidden(CMA, "/dev/dma_heap/system"), guest.daemon(
            {"encoder.encoder": "auto", "encoder.scaler": "auto"}) as petcam:
        petcam.setup()
        c = guest.flows(petcam, 30)
        logged(petcam, ENCODER)
        check(c["frames_converted"] == 0, c)
        check(petcam.stop() == 0, "exit status")


if __name__ == "__main__":
    guest.main(test_no_such_node, test_an_encoder_for_a_camera, test_no_video_node, test_auto_without_camera,
               test_in_use, test_in_use_elsewhere, test_camera_without_permission, test_encoder_without_permission,
               test_group_video_is_enough, test_a_chosen_encoder_without_permission,
               test_a_format_that_no_device_takes, test_a_format_that_nobody_takes,
               test_buffers_that_no_device_takes, test_scattered_buffers_are_replaced,
               test_no_heap_memory_for_an_importing_camera,
               test_no_heap_memory_and_scattered_buffers, test_heap_memory_for_some_buffers_only,
               test_no_heap_memory_for_the_scaler, test_no_heap_at_all)
