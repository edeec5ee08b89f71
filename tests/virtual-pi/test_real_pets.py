#!/usr/bin/env python3
# vpi: memory=2048 timeout=240
"""tests/virtual-pi/test_real_pets.py - a pet filmed by the camera is an event with a recording.

A clip of real pets (of the shared data; without it a drawn one) goes through the camera node, 640x480 at 60.
The codec keeps to its bit rate here, as a real one does.
"""

import pathlib
import tempfile

import guest
from guest import check

CLIPS = ("v03_cat_jumps_on_chair.mp4", "v01_kitten_play_sofa.mp4")
WIDTH, HEIGHT = 640, 480
SECONDS = 5


def film(folder, path):
    """Half a second of the room as it was at the beginning, then the pet."""
    raw = pathlib.Path(folder) / "clip.nv12"
    guest.run("ffmpeg", "-v", "error", "-t", str(SECONDS), "-i", path, "-vf",
              f"fps=30,scale={WIDTH}:{HEIGHT}:force_original_aspect_ratio=decrease,"
              f"pad={WIDTH}:{HEIGHT}:(ow-iw)/2:(oh-ih)/2", "-pix_fmt", "nv12", "-f", "rawvideo", "-y", raw)
    clip = guest.Clip.__new__(guest.Clip)
    clip.path, clip.width, clip.height, clip.size = raw, WIDTH, HEIGHT, WIDTH * HEIGHT * 3 // 2
    return clip


def seen(clip, name):
    with guest.misbehaving(rate_mode=1), guest.feeding(clip, 60), guest.daemon(
            {"cameras.[0].width": WIDTH, "cameras.[0].height": HEIGHT, "storage.max_clip_s": 6.0}) as petcam:
        petcam.setup()
        guest.flows(petcam, 30)
        events = petcam.wait_for(
            lambda: [e for e in petcam.get("/events?limit=100")[1]["items"] if e["event_type"] != "absence"],
            timeout=40 * guest.SLOW, every=0.5)
        petcam.wait_for(lambda: guest.recordings(petcam), timeout=40 * guest.SLOW, every=0.5)
        done = guest.check_recordings(petcam)
        event = events[-1]
        with_media = petcam.wait_for(
            lambda: [e for e in petcam.get("/events?limit=100")[1]["items"] if e["media"]], timeout=20 * guest.SLOW)
        code, _, picture = petcam.request("GET", f"/events/{with_media[-1]['event_id']}/thumbnail.jpg")
        check(code == 200 and picture[:2] == b"\xff\xd8", f"no thumbnail: {code}")
        c = guest.counters(petcam)
        guest.report("real_pets", clip=name, events=len(events), first=event["event_type"], recordings=len(done),
                     scaled=c["frames_scaled"], inferred=c["frames_inferred"], converted=c["frames_converted"])
        check(c["frames_converted"] == 0, f"{c}")


def test_pets():
    found = [path for path in (guest.shared(f"data/video/{name}") for name in CLIPS) if path is not None]
    for path in found[:None if guest.FULL else 1]:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            seen(film(folder, path), path.name)
    if not found:
        print("no shared clips: a drawn one", flush=True)
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            seen(guest.pictures(folder, WIDTH, HEIGHT), "drawn")


if __name__ == "__main__":
    guest.main(test_pets)
