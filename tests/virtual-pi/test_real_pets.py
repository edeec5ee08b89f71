#!/usr/bin/env python3
# vpi: memory=2048 alone=yes timeout=300 codec="rate_mode=1"
# vpi: camera="node_types=0x101 num_outputs=1 output_types=1 vid_out_nr=1"
"""tests/virtual-pi/test_real_pets.py - a pet filmed by the camera is an event with a recording.

A clip of real pets (of the shared data; without it a drawn one) goes through the camera node, 640x480 at 60.
The codec keeps to its bit rate here, as a real one does.
"""

import contextlib
import os
import signal
import subprocess

import guest
from guest import check

CLIPS = ("v03_cat_jumps_on_chair.mp4", "v01_kitten_play_sofa.mp4")
WIDTH, HEIGHT = 640, 480


@contextlib.contextmanager
def film(path):
    """The clip in front of the camera, again and again."""
    guest.timing(WIDTH, HEIGHT, 60)
    feeder = subprocess.Popen([guest.ROOT / "tests/virtual-pi/feed", path], start_new_session=True,
                              stdout=subprocess.DEVNULL)
    try:
        yield
        check(feeder.poll() is None, f"feed ended with {feeder.returncode}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(feeder.pid, signal.SIGKILL)
        feeder.wait()


def seen(feed, name):
    with feed, guest.daemon(
            {"cameras.[0].width": WIDTH, "cameras.[0].height": HEIGHT, "storage.max_clip_s": 6.0}) as petcam:
        guest.consented(petcam)
        guest.flows(petcam, 30)
        petcam.wait_for(lambda: petcam.get("/events?limit=100")[1]["items"], timeout=60 * guest.SLOW, every=0.5)
        guest.wait_for_recording(petcam, 60)
        done = guest.check_recordings(petcam)
        events = petcam.wait_for(
            lambda: [e for e in petcam.get("/events?limit=100")[1]["items"] if e["media"]], timeout=20 * guest.SLOW)
        code, _, picture = petcam.request("GET", f"/events/{events[-1]['event_id']}/thumbnail.jpg")
        check(code == 200 and picture[:2] == b"\xff\xd8", f"no thumbnail: {code}")
        c = guest.counters(petcam)
        guest.report("real_pets", clip=name, events=sorted({e["event_type"] for e in events}), recordings=len(done),
                     frames=sum(r["frames"] for r in done), encoded=c["frames_encoded"], scaled=c["frames_scaled"],
                     inferred=c["frames_inferred"], gaps=c["source_gaps"], dropped=c["frames_dropped_encoder"])
        check(c["frames_converted"] == 0, f"{c}")


def test_pets():
    found = [path for path in (guest.shared(f"data/video/{name}") for name in CLIPS) if path is not None]
    for path in found[:None if guest.FULL else 1]:
        seen(film(path), path.name)
    if not found:
        print("no shared clips: a drawn one", flush=True)
        seen(guest.feeding(guest.pictures(WIDTH, HEIGHT), 60), "drawn")


if __name__ == "__main__":
    guest.main(test_pets)
