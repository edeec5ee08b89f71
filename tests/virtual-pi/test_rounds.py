#!/usr/bin/env python3
# vpi: memory=2048 alone=yes timeout=1800 codec="rate_mode=1"
# vpi: camera="node_types=0x101 num_outputs=1 output_types=1 vid_out_nr=1"
"""tests/virtual-pi/test_rounds.py - fault after fault, and nothing grows.

One daemon; in each round the encoder stalls or the camera is unplugged, in turn, and the service comes back.
Open files, dma-bufs, the codec's live buffers and the daemon's memory are what they were. 20 rounds, 200 with
PETCAM_FULL=1.
"""

import statistics
import time

import guest
from guest import check

ROUNDS = 200 if guest.FULL else 20
WARM = 4  # rounds in which caches fill


def stall():
    guest.codec(stall=1)
    return "encoder_opens"


def unplug():
    guest.controls(disconnect=1)
    return "source_opens"


def held(petcam):
    pid = petcam.process.pid
    codec = guest.codec_counts()
    return {"files": sum(guest.files(pid).values()), "dma_bufs": guest.dma_buffers()[0],
            "dma_bytes": guest.dma_buffers()[1], "threads": guest.status(pid, "Threads"),
            "mappings": len(guest.mappings(pid)), "device_mappings": len(guest.device_mappings(pid)),
            "rss_kb": guest.status(pid, "VmRSS"),
            **{name: value for name, value in codec.items() if name.startswith("live")}}


def test_rounds():
    guest.camera(**guest.USUAL, text=True)
    rounds = []
    begun = time.monotonic()
    with guest.daemon({**guest.USUAL_CAMERA, "live.window_s": 6.0}) as petcam:
        petcam.setup()
        guest.flows(petcam, 30)
        for i in range(ROUNDS):
            before = guest.counters(petcam)
            at = time.monotonic()
            counter = (stall, unplug)[i % 2]()
            petcam.wait_for(lambda: guest.counters(petcam)[counter] > before[counter],
                            timeout=60 * guest.SLOW, every=0.05)
            guest.flows(petcam, 2, timeout=60)
            away = time.monotonic() - at
            guest.flows(petcam, 28, timeout=60)
            rounds.append({"away_s": away, **held(petcam)})
            if guest.FULL and i % 10 == 9:
                print(f"round {i + 1}: {rounds[-1]}", flush=True)
        c = guest.counters(petcam)
        check(petcam.stop() == 0, "exit status")
    kinds = [name for name in rounds[0] if name != "away_s"]
    early = rounds[WARM:WARM + max(4, (ROUNDS - WARM) // 4)]
    late = rounds[-len(early):]
    summary = {name: [statistics.median(r[name] for r in early), statistics.median(r[name] for r in late)]
               for name in kinds}
    guest.report("rounds", rounds=ROUNDS, seconds=round(time.monotonic() - begun, 1), **summary,
                 away_s=[round(statistics.median(r["away_s"] for r in rounds), 2),
                         round(max(r["away_s"] for r in rounds), 2)], unexplained=guest.balance(c))
    for name in kinds:
        first, last = summary[name]
        # Memory: what an allocator scatters, not what a leak of a buffer a round would make.
        slack = 4096 + 20 * ROUNDS if name == "rss_kb" else 2 if name in ("mappings", "files") else 0
        check(last <= first + slack, f"{name} went from {first} to {last} in {ROUNDS} rounds")


if __name__ == "__main__":
    guest.main(test_rounds)
