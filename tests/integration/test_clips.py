#!/usr/bin/env python3
"""tests/integration/test_clips.py - every shared clip, still or moving, runs through the daemon without a fault.

Some seconds of each; to its end with PETCAM_FULL. Still recordings and events may come or not: that is
tests/eval's matter.
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.support import invariants
from tests.support.petcam import SHARED, Petcam, skip

FRAMES = 80


def main():
    clips = sorted((SHARED / "data" / "video").glob("*.mp4"))
    if not clips:
        skip("no shared clips")
    for clip in clips:
        with Petcam({"cameras.[0].source": f"file:{clip}", "cameras.[0].loop": False}) as petcam:
            petcam.setup()

            def camera():
                return petcam.get("/cameras/cam0")[1]

            def done():
                now = camera()
                ended = "ended" in now["state_text"]
                return ended or (now["stats"]["frames_encoded"] >= FRAMES and "PETCAM_FULL" not in os.environ)

            petcam.wait_for(done, timeout=200, every=0.2)
            now = camera()
            stats = now["stats"]
            assert "ended" in now["state_text"] or now["state"] == "ok", now
            assert stats["frames_dropped_mux"] == 0 and stats["recorder_gaps"] == 0, stats
            assert petcam.stop() == 0, petcam.log()
            broken = invariants.broken(petcam.root / "data")
            assert not broken, broken
            print(f"{clip.name}: {now['width']}x{now['height']}, {stats['frames_encoded']} frames, "
                  f"{stats['frames_skipped_source']} skipped, {stats['events']} events", flush=True)


if __name__ == "__main__":
    main()
