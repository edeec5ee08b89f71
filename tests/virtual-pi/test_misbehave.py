#!/usr/bin/env python3
# vpi: memory=2048 alone=yes timeout=600 codec="rate_mode=1"
# vpi: camera="node_types=0x101 num_outputs=1 output_types=1 vid_out_nr=1"
"""tests/virtual-pi/test_misbehave.py - everything that the Pi's codec has been seen to do wrong.

Each fault is switched on in the codec module while the service runs; test_misbehave_start.py has those that are there
from the first frame. What must hold is in guest.Trial; an aborted frame is not owed, a stalled encoder is opened
again, and the stream decodes without a word throughout.
"""

import contextlib

import guest
from guest import check


def running(fault, name, reopened, until, part=None, recording=True, cuts=None):
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
        with guest.Trial(petcam, name, reopened, part, cuts=cuts) as trial:
            with guest.misbehaving(**fault):
                trial.wait(until)
            trial.back()
        guest.decodes(petcam, 2.0)
        if recording:
            guest.wait_for_recording(petcam, 30)
            guest.check_recordings(petcam)
        check(petcam.stop() == 0, f"{name}: exit status")


def test_abort():
    running({"abort_every": 5}, "every fifth frame aborted", False,
            lambda now, before: now["frames_aborted"] >= before["frames_aborted"] + 10)


def test_abort_all():
    running({"abort_every": 1}, "every frame aborted", True,
            lambda now, before: now["encoder_opens"] > before["encoder_opens"], part="encoder")


def test_error():
    running({"fail_every": 7}, "every seventh coded buffer in error", False,
            lambda now, before: now["frames_captured"] >= before["frames_captured"] + 60, cuts=True)


def test_stall():
    running({"stall": 1}, "encoder stalls for good", True,
            lambda now, before: now["encoder_opens"] > before["encoder_opens"], part="encoder")


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
    guest.main(test_abort, test_abort_all, test_error, test_stall, test_drain_lost, test_scaler_abort,
               test_scaler_stall)
