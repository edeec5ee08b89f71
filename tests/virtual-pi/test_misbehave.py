#!/usr/bin/env python3
# vpi: memory=2048 timeout=600 codec="rate_mode=1"
# vpi: camera="node_types=0x101 num_outputs=1 output_types=1 vid_out_nr=1"
"""tests/virtual-pi/test_misbehave.py - everything that the Pi's codec has been seen to do wrong.

Each fault is switched on in the codec module while the service runs (or before it starts). What must hold is in
guest.Trial; here is what each of them means: an aborted frame is not owed, a stalled encoder is opened again, junk
is thrown away, headers on their own are put together with their frame, and so on. The stream must decode without
a word throughout.
"""

import contextlib
import tempfile

import guest
from guest import check


def decodes(petcam, seconds=3.0, frames=10):
    with tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=".mp4") as file:
        file.write(guest.live(petcam, seconds))
        file.flush()
        n = len(guest.md5s("-i", file.name))
    check(n >= frames / guest.SLOW, f"only {n} frames in {seconds} s")
    return n


def running(fault, name, reopened, until, part=None, recording=True):
    """The fault comes while the service runs, and goes when `until` (counters now, before) is true. Something moves
    in front of the camera all the time, so that a recording is under way."""
    with contextlib.ExitStack() as stack:
        if recording:
            stack.enter_context(guest.feeding())
        else:
            guest.camera(**guest.USUAL, text=True)
        petcam = stack.enter_context(guest.daemon({**guest.USUAL_CAMERA, "storage.max_clip_s": 5.0, "live.window_s": 6.0}))
        guest.consented(petcam)
        guest.flows(petcam, 30)
        if recording:
            petcam.wait_for(lambda: guest.counters(petcam)["events"] > 0, timeout=20 * guest.SLOW)
        with guest.Trial(petcam, name, reopened, part) as trial:
            with guest.misbehaving(**fault):
                trial.wait(until)
            trial.back()
        decodes(petcam, 2.0)
        if recording:
            guest.wait_for_recording(petcam, 30)
            guest.check_recordings(petcam)
        check(petcam.stop() == 0, f"{name}: exit status")


def at_start(fault, name, settings=None, question=None, frames=60):
    """The fault is there from the first frame, and the service runs all the same."""
    guest.camera(**guest.USUAL, text=True)
    with guest.misbehaving(**fault), guest.daemon({**guest.USUAL_CAMERA, **(settings or {})}) as petcam:
        petcam.setup()
        guest.flows(petcam, frames, timeout=60)
        n = decodes(petcam)
        c = guest.counters(petcam)
        guest.report("at_start", name=name, decoded=n, junk=c["encoder_junk"], aborted=c["frames_aborted"],
                     dropped=c["frames_dropped_encoder"], opens=c["encoder_opens"], balance=guest.balance(c))
        check(c["encoder_opens"] == 1, f"{name}: the encoder was opened {c['encoder_opens']} times")
        check(0 <= guest.balance(c) <= 12, f"{name}: frames unaccounted for: {c}")
        if question is not None:
            check(question(c), f"{name}: {c}")
        check(all(state == "ok" for state, _ in guest.health(petcam).values()), f"{name}: {guest.health(petcam)}")
        check(petcam.stop() == 0, f"{name}: exit status")


def test_abort():
    running({"abort_every": 5}, "every fifth frame aborted", False,
            lambda now, before: now["frames_aborted"] >= before["frames_aborted"] + 10)


def test_abort_all():
    running({"abort_every": 1}, "every frame aborted", True,
            lambda now, before: now["encoder_opens"] > before["encoder_opens"], part="encoder")


def test_error():
    running({"fail_every": 7}, "every seventh coded buffer in error", False,
            lambda now, before: now["frames_captured"] >= before["frames_captured"] + 60)


def test_stall():
    running({"stall": 1}, "encoder stalls for good", True,
            lambda now, before: now["encoder_opens"] > before["encoder_opens"], part="encoder")


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
        decodes(petcam, 3.0, 5)
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
            decodes(petcam, 3.0, 5)
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


def test_drain_lost():
    running({"drain_lost": 1}, "the drain loses frames", False,
            lambda now, before: now["frames_captured"] >= before["frames_captured"] + 30, recording=False)


def test_scaler_abort():
    running({"isp_abort_every": 2}, "every second small picture aborted", False,
            lambda now, before: now["frames_scaled"] >= before["frames_scaled"] + 3, recording=False)


def test_scaler_stall():
    """No small pictures: live view goes on, the scaler alone is opened again."""
    running({"isp_stall": 1}, "scaler stalls for good", False,
            lambda now, before: now["scaler_opens"] > before["scaler_opens"], part="scaler", recording=False)


if __name__ == "__main__":
    guest.main(test_abort, test_abort_all, test_error, test_stall, test_headers_alone, test_junk_first, test_late,
               test_depth, test_fragments, test_oversize_error, test_refused, test_alignment, test_drain_lost,
               test_scaler_abort, test_scaler_stall)
