#!/usr/bin/env python3
"""tests/integration/test_allocations.py - steady state allocates nothing per frame in petcam's own code.

A preloaded shim counts the daemon's allocations by the caller, petcam or a library, while the demo room is
encoded and recorded, two instant viewers and an LL-HLS viewer watch. Own allocations may come with a request
or an event, never with a frame.
"""

import pathlib
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.support.petcam import BUILD, Petcam, skip
from tests.support.viewers import HlsViewer, InstantViewer, watch

SECONDS = 12
WARM_UP = 14  # the window has been filled and turned over: the pools have their size


def main():
    shim = BUILD / "tests" / "support" / "alloc_count.so"
    if not shim.exists():
        skip("no allocation counter in this build (sanitizers)")
    petcam = Petcam({"cameras.[0].source": "demo:speed=4", "cameras.[0].width": 640, "cameras.[0].height": 360,
                     "live.window_s": 6})
    counts = petcam.root / "counts"
    petcam.env.update(LD_PRELOAD=str(shim), PETCAM_ALLOC_COUNT=str(counts))
    with petcam:
        petcam.setup()

        def read():
            return struct.unpack("=QQ", counts.read_bytes()[:16])

        def callers():
            values = struct.unpack("=2048Q", counts.read_bytes()[16:16 + 2048 * 8])
            return dict(zip(values[::2], values[1::2]))

        viewers = [InstantViewer(petcam, 1), InstantViewer(petcam, 2)]
        thread = threading.Thread(target=watch, args=(viewers, SECONDS + WARM_UP + 1))
        thread.start()
        time.sleep(WARM_UP)
        own, others = read()
        callers_before = callers()
        frames = viewers[0].frames
        time.sleep(SECONDS)
        own, others = (now - then for now, then in zip(read(), (own, others)))
        frames = viewers[0].frames - frames
        rising = {at: n - callers_before.get(at, 0) for at, n in callers().items() if at}
        thread.join()
        for viewer in viewers:
            assert not viewer.errors, viewer.errors
            assert viewer.gaps == 0, f"{viewer.gaps} gaps"
        print(f"{frames} frames: petcam's own allocations {own} ({own / frames:.3f} a frame), "
              f"libraries' {others} ({others / frames:.1f} a frame)")
        for address, calls in sorted(rising.items(), key=lambda item: -item[1])[:8]:
            if calls > 0:
                where = subprocess.run(["addr2line", "-fse", str(BUILD / "petcamd" / "petcamd"), hex(address - 1)],
                                       check=False, capture_output=True, text=True).stdout.split()
                print(f"  {calls} from {' '.join(where)}")
        assert frames > SECONDS * 20, f"only {frames} frames"
        # Events and their rows may allocate; frames may not.
        assert own < frames / 10, f"{own} allocations of our own in {frames} frames"

        watch([HlsViewer(petcam, 3)], 1)  # and the LL-HLS route serves the same stream


if __name__ == "__main__":
    main()
