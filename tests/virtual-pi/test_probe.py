#!/usr/bin/env python3
# vpi: memory=1536 timeout=500
# vpi: camera="n_devs=2 node_types=0x101,0x1 num_inputs=1,1 input_types=3,3 num_outputs=1,0 output_types=1 vid_cap_nr=0,1 vid_out_nr=2 allocators=1,0"
"""tests/virtual-pi/test_probe.py - what `petcamctl probe` says of this machine is true, and it leaves no trace."""

import json
import os
import pathlib
import stat
import subprocess
import time

import guest
from guest import CAMERA, check
from tests.support.petcam import BUILD

CTL = BUILD / "petcamd" / "petcamctl"
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
SCATTERED = "/dev/video1"  # a camera whose buffers are not contiguous, as a UVC camera's
ENCODER, SCALER = "/dev/video11", "/dev/video12"
CMA, SYSTEM = "/dev/dma_heap/linux,cma", "/dev/dma_heap/system"


def probe(*words, wrapper=()):
    done = subprocess.run([*wrapper, str(CTL), "probe", *words], capture_output=True, text=True, check=False,
                          timeout=120 * guest.SLOW)
    check(done.returncode == 0, f"probe: {done.returncode}: {done.stderr}")
    return done.stdout


def report(wrapper=()):
    return json.loads(probe("--json", wrapper=wrapper))


def node(found, path):
    return next(item for item in found["video"] if item["path"] == path)


def imports(found):
    """(memory, device) -> the trial."""
    return {(item["memory"], item["device"]): item for item in found["imports"]}


def of(formats):
    return {item["fourcc"]: item for item in formats}


def test_whole_picture():
    guest.camera()
    buffers = guest.dma_buffers()
    before = guest.run("v4l2-ctl", "-d", CAMERA, "--get-fmt-video")
    begun = time.monotonic()
    found = report()
    took = time.monotonic() - begun
    check(guest.run("v4l2-ctl", "-d", CAMERA, "--get-fmt-video") == before, "the camera's format was changed")
    check(guest.dma_buffers() == buffers, f"dma-bufs are left: {buffers} -> {guest.dma_buffers()}")
    check(found["petcam"] and "Linux" in found["machine"]["kernel"], found["machine"])
    check(found["machine"]["user"] == "root", found["machine"])

    camera, encoder, scaler = (node(found, path) for path in (CAMERA, ENCODER, SCALER))
    check((camera["role"], encoder["role"], scaler["role"]) == ("camera", "encoder", "scaler"), found["video"])
    check(camera["driver"] == "vivid" and not camera["busy"], camera)
    check({"NV12", "YU12", "YUYV"} <= set(of(camera["out"])), camera["out"])
    check(of(encoder["in"])["NV12"]["line_alignment"]["1280x720"] == 32, encoder["in"])
    check(of(encoder["in"])["YU12"]["line_alignment"]["1280x720"] == 64, encoder["in"])
    check("H264" in of(encoder["out"]) and "dmabuf" in encoder["memory_in"], encoder)
    check({"Video Bitrate", "Force Key Frame"} <= {control["name"] for control in encoder["controls"]},
          encoder["controls"])
    check("RGB3" in of(scaler["out"]), scaler)

    heaps = {heap["path"]: heap for heap in found["heaps"]}
    check(heaps[CMA]["gives"] and heaps[CMA]["known_contiguous"], heaps)
    check(heaps[SYSTEM]["gives"] and not heaps[SYSTEM]["known_contiguous"], heaps)
    check(any(item.get("driver") == "vpigem" for item in found["drm"]), found["drm"])
    check("renderer" in found["gpu"], found["gpu"])

    tried = imports(found)
    for device in ENCODER, SCALER:
        for memory in CAMERA, ENCODER, CMA:
            check(tried[memory, device]["ok"], tried[memory, device])
        scattered = tried[SYSTEM, device]
        check(not scattered["ok"] and scattered["errno"] != 0 and "not contiguous" in scattered["why"], scattered)
    check(tried[CMA, CAMERA]["ok"] and tried[ENCODER, CAMERA]["ok"], tried)

    choices = found["choices"]
    check(ENCODER in choices["encoder"]["text"], choices["encoder"])
    check(choices["scaler"]["ok"] and choices["memory"]["ok"], choices)
    check("the camera's own buffers" in choices["cameras"][0]["text"], choices["cameras"])
    guest.report("probe", took_s=round(took, 2), trials=len(found["imports"]))


def test_words():
    text = probe()
    for words in ("vivid", f"encoder {ENCODER}", f"scaler {SCALER}", "yes  camera's own buffers", "not contiguous",
                  "What petcam would choose"):
        check(words in text, f"\"{words}\" is not in:\n{text}")
    check(all(char == "\n" or " " <= char <= "~" for char in text), "text that is not printable")


def test_camera_of_scattered_memory():
    """As a UVC camera's: its own buffers go nowhere, and it can fill those of the heap."""
    guest.timing(1280, 720, 30, device=SCATTERED)
    found = report()
    tried = imports(found)
    check(not tried[SCATTERED, ENCODER]["ok"] and "not contiguous" in tried[SCATTERED, ENCODER]["why"],
          tried[SCATTERED, ENCODER])
    check(tried[CMA, SCATTERED]["ok"], tried[CMA, SCATTERED])
    check(SCATTERED in found["choices"]["cameras"][1]["text"], found["choices"])
    check("fills buffers that the encoder takes" in found["choices"]["cameras"][1]["text"], found["choices"])


def test_camera_in_use():
    """A running petcam is told of, and not disturbed."""
    guest.camera()
    with guest.daemon() as petcam:
        petcam.setup()
        guest.flows(petcam, 30)
        before = guest.counters(petcam)
        found = report()
        after = guest.flows(petcam, 30)
        camera = node(found, CAMERA)
        check(camera["busy"], camera)
        check(camera["holder"] == f"petcamd (pid {petcam.process.pid})", camera)
        check("petcamd" in probe(), "the text does not say who has the camera")
        trial = imports(found)[CAMERA, ENCODER]
        check(not trial["ok"] and "in use" in trial["why"], trial)
        check(imports(found)[CMA, ENCODER]["ok"], "the encoder was not tried beside a running petcam")
        check(any("petcamd" in sentence for sentence in found["advice"]), found["advice"])
        for name in ("source_opens", "encoder_opens", "scaler_opens"):
            check(after[name] == before[name], f"the probe disturbed petcam: {name} {before[name]} -> {after[name]}")
        check(all(state == "ok" for state, _ in guest.health(petcam).values()), guest.health(petcam))
        check(petcam.stop() == 0, "exit status")


def test_nobody():
    """Every closed node is told of, with what to do; nothing is tried that cannot be."""
    group = guest.run("getent", "group", "video").split(":")[2]
    paths = [CAMERA, SCATTERED, ENCODER, SCALER]
    for path in paths:
        os.chown(path, 0, int(group))
        os.chmod(path, 0o660)
    try:
        found = report(wrapper=NOBODY)
        for path in paths:
            check("group video" in node(found, path)["error"], node(found, path))
        heap = next(heap for heap in found["heaps"] if heap["path"] == CMA)
        check(not heap["gives"] and "no permission" in heap["error"], heap)
        check(found["imports"] == [], found["imports"])
        check("libx264" in found["choices"]["encoder"]["text"], found["choices"])
        check(any("usermod -aG video" in sentence for sentence in found["advice"]), found["advice"])
        check("closed to this user" in probe(wrapper=NOBODY), "the text does not say it")
        found = report(wrapper=["setpriv", "--reuid=65534", "--regid=65534", f"--groups={group}"])
        check(node(found, CAMERA)["role"] == "camera", "group video does not open the node")
    finally:
        for path in paths:
            os.chown(path, 0, 0)
            os.chmod(path, 0o600)


def test_nodes_that_are_none():
    made = {"/dev/video70": os.makedev(1, 3), "/dev/video71": os.makedev(81, 200)}
    for path, device in made.items():
        os.mknod(path, 0o600 | stat.S_IFCHR, device)
    pathlib.Path("/dev/video72").write_text("a file")
    try:
        found = report()
        for path in [*made, "/dev/video72"]:
            check("no such device" in node(found, path)["error"], node(found, path))
        check(node(found, CAMERA)["role"] == "camera", "what is no camera hid the one that is")
    finally:
        for path in [*made, "/dev/video72"]:
            os.unlink(path)


def test_other_gpus():
    """Nodes on which Mesa crashes (vgem) or draws on the display's side only (vkms) are refused with the reason. They
    stay: to unload a module is slow, and dangerous, in User Mode Linux."""
    for name in ("vgem", "vkms"):
        if subprocess.run(["modprobe", name], check=False, capture_output=True).returncode != 0:
            print(f"no {name} here: not tried", flush=True)
            return
    found = report()
    drivers = {item["driver"]: item for item in found["drm"] if "card" in item["path"]}
    check({"vpigem", "vgem", "vkms"} <= set(drivers), drivers)
    check(drivers["vkms"]["gives"], drivers)
    check("vpigem" in found["gpu"]["renderer"], found["gpu"])
    tried = imports(found)
    for name in ("vgem", "vkms"):
        trials = [trial for (_, device), trial in tried.items() if device == drivers[name]["path"]]
        check(len(trials) == 1 and not trials[0]["ok"], trials)
        check(name in trials[0].get("why", "") or "error" in trials[0], trials)
    scattered = tried[drivers["vkms"]["path"], ENCODER]
    check(not scattered["ok"] and "not contiguous" in scattered["why"], scattered)


def test_bare():
    """None of the nodes: the software way, and what is missing."""
    with guest.hidden(CAMERA, SCATTERED, "/dev/video2", ENCODER, SCALER, CMA, SYSTEM):
        found = report()
        check(found["video"] == [] and found["heaps"] == [], found["video"])
        check("libx264" in found["choices"]["encoder"]["text"], found["choices"])
        check(any("no camera" in sentence for sentence in found["advice"]), found["advice"])
        check(any("no hardware H.264 encoder" in sentence for sentence in found["advice"]), found["advice"])


if __name__ == "__main__":
    guest.main(test_whole_picture, test_words, test_camera_of_scattered_memory, test_camera_in_use, test_nobody,
               test_nodes_that_are_none, test_bare, test_other_gpus)
