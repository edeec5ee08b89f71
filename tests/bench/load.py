#!/usr/bin/env python3
"""tests/bench/load.py - one 720p30 camera, ten LL-HLS viewers, five instant viewers.

Prints frames lost by each kind of viewer, the longest wait, and the daemon's CPU by what uses it: the encoder
library, the demo room (which stands in for a camera), and petcam itself.
"""

import argparse
import json
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.support import cpu
from tests.support.petcam import Petcam
from tests.support.viewers import HlsViewer, InstantViewer, watch


def measure(seconds, n_hls, n_instant):
    with Petcam({"cameras.[0].source": "demo", "cameras.[0].width": 1280, "cameras.[0].height": 720}) as petcam:
        petcam.setup()
        time.sleep(3)
        hls = [HlsViewer(petcam, i) for i in range(n_hls)]
        instant = [InstantViewer(petcam, 100 + i) for i in range(n_instant)]
        viewers = threading.Thread(target=watch, args=(hls + instant, seconds + 4))
        viewers.start()
        time.sleep(2)
        before, begun = cpu.threads(petcam.process.pid), time.monotonic()
        time.sleep(seconds)
        used, lasted = cpu.between(before, cpu.threads(petcam.process.pid)), time.monotonic() - begun
        viewers.join()
        stats = petcam.get("/cameras/cam0")[1]["stats"]
        errors = [error for viewer in hls + instant for error in viewer.errors]
        encoder, source = cpu.share(used, cpu.ENCODER), cpu.share(used, cpu.SOURCE)
        own = sum(used.values()) - encoder - source
        return {
            "seconds": round(lasted, 1), "hls_viewers": n_hls, "instant_viewers": n_instant,
            "hls_frames": sum(v.frames for v in hls), "hls_gaps": sum(v.gaps for v in hls),
            "hls_longest_wait_ms": round(1000 * max((v.longest_wait for v in hls), default=0)),
            "instant_frames": sum(v.frames for v in instant), "instant_gaps": sum(v.gaps for v in instant),
            "instant_longest_wait_ms": round(1000 * max((v.longest_wait for v in instant), default=0)),
            "bytes": sum(v.bytes for v in hls + instant), "errors": errors,
            "dropped": {name: value for name, value in stats.items()
                        if ("dropped" in name or "skip" in name or "gaps" in name)},
            "cpu_encoder": round(encoder / lasted, 4), "cpu_source": round(source / lasted, 4),
            "cpu_petcam": round(own / lasted, 4),
            "cpu_by_thread": {name: round(value / lasted, 4) for name, value in sorted(
                used.items(), key=lambda item: -item[1]) if value > 0},
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--hls", type=int, default=10)
    parser.add_argument("--instant", type=int, default=5)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    result = measure(args.seconds, args.hls, args.instant)
    print(f"{result['hls_viewers']} LL-HLS and {result['instant_viewers']} instant viewers, "
          f"{result['seconds']} s, {result['bytes'] / result['seconds'] * 8e-6:.1f} Mbit/s in all")
    print(f"  frames missed: LL-HLS {result['hls_gaps']} gaps in {result['hls_frames']}, "
          f"instant {result['instant_gaps']} gaps in {result['instant_frames']}; errors: {result['errors'] or 'none'}")
    print(f"  longest wait: LL-HLS {result['hls_longest_wait_ms']} ms, instant {result['instant_longest_wait_ms']} ms")
    print(f"  dropped: {result['dropped']}")
    print(f"  CPU of one core: encoder {100 * result['cpu_encoder']:.1f} %, demo room "
          f"{100 * result['cpu_source']:.1f} %, petcam {100 * result['cpu_petcam']:.1f} %")
    print("  petcam by thread: " + ", ".join(
        f"{name} {100 * value:.1f} %" for name, value in result["cpu_by_thread"].items()
        if name not in cpu.ENCODER + cpu.SOURCE))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if result["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
