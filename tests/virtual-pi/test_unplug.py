#!/usr/bin/env python3
# vpi: memory=2048 alone=yes timeout=400 codec="rate_mode=1"
# vpi: camera="node_types=0x101 num_outputs=1 output_types=1 vid_out_nr=1"
"""tests/virtual-pi/test_unplug.py - the devices go away and come back while the service runs.

The camera is unplugged and plugged in again (vivid's disconnect), for a moment and for some seconds; the drivers of
codec and camera are unbound and bound again; the daemon is killed in mid-stream, and the next one starts.
"""

import contextlib
import os
import time

import guest
from guest import check


@contextlib.contextmanager
def trial(name, part, most=15.0):
    with guest.feeding() as feeding, guest.daemon({**guest.USUAL_CAMERA, "storage.max_clip_s": 5.0, "live.window_s": 6.0}) as petcam:
        guest.consented(petcam)
        guest.flows(petcam, 30)
        petcam.wait_for(lambda: guest.counters(petcam)["events"] > 0, timeout=20 * guest.SLOW)
        with guest.Trial(petcam, name, True, part, most) as one:
            yield petcam, one, feeding
            one.back()
        guest.wait_for_recording(petcam, 30)
        guest.check_recordings(petcam)
        check(petcam.stop() == 0, f"{name}: exit status")


def said(petcam, part, timeout=10):
    """What /health says of a part that is not well."""
    return petcam.wait_for(lambda: next((text for name, (state, text) in guest.health(petcam).items()
                                         if state != "ok" and name.startswith(part)), None),
                           timeout=timeout * guest.SLOW)


def test_unplug():
    with trial("camera unplugged and plugged in", "camera") as (petcam, one, _):
        guest.controls(disconnect=1)  # vivid's nodes are back when the last of their users has gone
        one.wait(lambda now, before: now["source_opens"] > before["source_opens"])


def test_unplug_for_long():
    with trial("camera away for 4 s", "camera", most=25.0) as (petcam, one, feeding):
        feeding.pause()
        holder = os.open(guest.CAMERA, os.O_RDWR)  # keeps vivid's node away
        guest.controls(disconnect=1)
        text = said(petcam, "camera")
        check("/dev/video0" in text or "camera" in text, text)
        time.sleep(4)
        check(petcam.get("/events", timeout=20 * guest.SLOW)[0] == 200, "the API must go on")
        os.close(holder)
        back = time.monotonic()
        one.wait(lambda now, before: now["source_opens"] > before["source_opens"], timeout=40)
        guest.flows(petcam, 3)
        guest.report("unplug_for_long", said=text, after_replug_s=round(time.monotonic() - back, 2))
        feeding.held.clear()


def unbound(driver, part):
    with trial(f"{driver} unbound for 2 s", part, most=20.0) as (petcam, one, feeding):
        if driver == "vivid":
            feeding.pause()
        devices = guest.bound_to(driver)
        check(devices, f"{driver} has no device")
        for device in devices:
            guest.driver(driver, "unbind", device)
        text = said(petcam, part)
        time.sleep(2)
        check(petcam.get("/events", timeout=20 * guest.SLOW)[0] == 200, "the API must go on")
        for device in devices:
            guest.driver(driver, "bind", device)
        back = time.monotonic()
        guest.flows(petcam, 3, timeout=40)
        guest.report("unbound", driver=driver, said=text, after_bind_s=round(time.monotonic() - back, 2))


def test_unbind_codec():
    unbound("vpicodec", "encoder")


def test_unbind_camera():
    unbound("vivid", "camera")


def test_signal_lost():
    """The HDMI cable is out for 2 s: said, and the stream goes on when the signal is there again."""
    guest.camera(**guest.USUAL, text=True)
    try:
        with guest.daemon({**guest.USUAL_CAMERA, "live.window_s": 6.0}) as petcam:
            petcam.setup()
            guest.flows(petcam, 30)
            with guest.Trial(petcam, "no signal for 2 s", True, "camera") as one:
                guest.controls(dv_timings_signal_mode=1)
                text = said(petcam, "camera")
                check("signal" in text, text)
                time.sleep(2)
                guest.controls(dv_timings_signal_mode=0)
                one.wait(lambda now, before: now["source_opens"] > before["source_opens"])
                one.back()
            check(petcam.stop() == 0, "exit status")
    finally:
        guest.controls(dv_timings_signal_mode=0)


def test_kill():
    """kill -9 in mid-stream leaves nothing behind in the kernel; the next daemon mends the recording."""
    buffers = guest.dma_buffers()[0]
    with guest.feeding(), guest.daemon(guest.USUAL_CAMERA) as petcam:
        guest.consented(petcam)
        guest.flows(petcam, 30)
        petcam.wait_for(lambda: guest.counters(petcam)["events"] > 0, timeout=20 * guest.SLOW)
        time.sleep(2)  # of a recording
        petcam.kill()
        deadline = time.monotonic() + 5 * guest.SLOW
        while guest.dma_buffers()[0] > buffers and time.monotonic() < deadline:
            time.sleep(0.1)
        check(guest.dma_buffers()[0] <= buffers, f"{guest.dma_buffers()[0]} dma-bufs, {buffers} before")
        petcam.start()
        petcam.login()
        guest.flows(petcam, 15)
        guest.check_recordings(petcam, wanted=1)
        check(petcam.stop() == 0, "exit status")


def test_in_use():
    """A camera that another program has: said, tried again, there when it is free."""
    guest.camera()
    other = guest.subprocess.Popen(["v4l2-ctl", "-d", guest.CAMERA, "--stream-mmap=3", "--stream-count=100000"],
                                   stdout=guest.subprocess.DEVNULL, stderr=guest.subprocess.DEVNULL)
    try:
        time.sleep(1)
        with guest.daemon() as petcam:
            petcam.setup()
            text = said(petcam, "camera")
            check("use" in text, f"in use? {text}")
            other.kill()
            other.wait()
            guest.flows(petcam, 15, timeout=40)
    finally:
        other.kill()
        other.wait()


if __name__ == "__main__":
    guest.main(test_unplug, test_unplug_for_long, test_unbind_codec, test_unbind_camera, test_signal_lost, test_kill,
               test_in_use)
