#!/usr/bin/env python3
"""tests/live/test_live.py - the demo room, watched with every player that this machine has: over
HTTPS, then over plain HTTP on loopback, where GStreamer can follow too (players.py)."""

import argparse
import pathlib
import sys

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))
sys.path.insert(0, str(HERE))
from tests.support.petcam import Petcam  # noqa: E402
import players  # noqa: E402


def run(settings, names, seconds):
    with Petcam({"cameras.[0].source": "demo:speed=4", "cameras.[0].width": 640,
                 "cameras.[0].height": 360, **settings}) as petcam:
        petcam.setup()
        petcam.wait_for(lambda: petcam.get("/live")[0] == 200)
        return players.play(argparse.Namespace(
            url=petcam.url, token=petcam.token, media_token=petcam.media_token, camera="cam0",
            seconds=seconds), names)


def main():
    failed = run({}, players.CHECKS, 4)
    failed += run({"http.plain_loopback": True}, ("ffprobe", "gstreamer", "checker"), 4)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
