#!/usr/bin/env python3
# vpi: memory=2048 alone=yes timeout=600 codec="rate_mode=1"
# vpi: camera="node_types=0x101 num_outputs=1 output_types=1 vid_out_nr=1"
"""tests/virtual-pi/test_misbehave_start.py - a codec that is odd from the first frame on, and what serves all the same.

Headers on their own are put together with their frame, junk is thrown away, output that is late or deep is waited
for, lines as long as the codec wants them are asked of the camera; what it refuses, or cannot deliver whole, is
encoded by software, where that is allowed.
"""

import guest
from guest import check


def at_start(fault, name, settings=None, question=None, frames=60):
    """The fault is there from the first frame, and the service runs all the same."""
    guest.camera(**guest.USUAL, text=True)
    with guest.misbehaving(**fault), guest.daemon({**guest.USUAL_CAMERA, **(settings or {})}) as petcam:
        petcam.setup()
        guest.flows(petcam, frames, timeout=60)
        n = guest.decodes(petcam)
        c = guest.counters(petcam)
        guest.report("at_start", name=name, decoded=n, junk=c["encoder_junk"], aborted=c["frames_aborted"],
                     dropped=c["frames_dropped_encoder"], opens=c["encoder_opens"], balance=guest.balance(c))
        check(c["encoder_opens"] == 1, f"{name}: the encoder was opened {c['encoder_opens']} times")
        check(0 <= guest.balance(c) <= 12, f"{name}: frames unaccounted for: {c}")
        if question is not None:
            check(question(c), f"{name}: {c}")
        check(all(state == "ok" for state, _ in guest.health(petcam).values()), f"{name}: {guest.health(petcam)}")
        check(petcam.stop() == 0, f"{name}: exit status")


def test_headers_alone():
    at_start({"headers_alone": 1}, "SPS and PPS alone")


def test_junk_first():
    at_start({"junk_first": 1}, "junk first", question=lambda c: c["encoder_junk"] >= 1)


def test_late():
    at_start({"late_output": 3}, "output three frames late")


def test_depth():
    at_start({"depth": 4}, "four frames under way")


def too_small(how):
    """No coded buffer takes a key frame, however large a one is asked for: whatever can serve does."""
    guest.camera(**guest.USUAL, text=True)
    with guest.misbehaving(rate_mode=0, sizeimage=65536, oversize=how), guest.daemon({**guest.USUAL_CAMERA, "encoder.encoder": "auto"}) as petcam:
        petcam.setup()
        guest.flows(petcam, 30, timeout=60)
        guest.decodes(petcam, 3.0, 5)
        c = guest.counters(petcam)
        guest.report("too_small", how=how, junk=c["encoder_junk"], opens=c["encoder_opens"],
                     health=guest.health(petcam).get("encoder cam0"))
        check(petcam.stop() == 0, "exit status")


def test_fragments():
    too_small("fragment")


def test_oversize_error():
    too_small("error")


def test_refused():
    """The codec refuses the size: software encodes, and the log says why. With no choice left it is said."""
    guest.camera(**guest.USUAL, text=True)
    with guest.misbehaving(refuse="1280x720"):
        with guest.daemon({**guest.USUAL_CAMERA, "encoder.encoder": "auto"}) as petcam:
            petcam.setup()
            guest.flows(petcam, 20, timeout=60)
            guest.decodes(petcam, 3.0, 5)
            check("libx264" in petcam.log(), petcam.log()[-2000:])
            check(petcam.stop() == 0, "exit status")
        with guest.daemon({**guest.USUAL_CAMERA, "encoder.encoder": "v4l2m2m"}) as petcam:
            petcam.setup()
            said = petcam.wait_for(lambda: [text for name, (state, text) in guest.health(petcam).items()
                                            if state == "failed" and name.startswith("encoder")],
                                   timeout=20 * guest.SLOW)
            check("1280" in said[0], f"what is refused? {said}")
            guest.codec(refuse="none")
            guest.flows(petcam, 15, timeout=60)  # and comes by itself when it can
            check(petcam.stop() == 0, "exit status")


def test_alignment():
    """Lines as long as it wants: the camera is asked for them."""
    at_start({"stride_align": 512}, "lines of a multiple of 512 bytes", question=lambda c: c["frames_converted"] == 0)


if __name__ == "__main__":
    guest.main(test_headers_alone, test_junk_first, test_late, test_depth, test_fragments, test_oversize_error,
               test_refused, test_alignment)
