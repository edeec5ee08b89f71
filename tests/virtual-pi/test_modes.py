#!/usr/bin/env python3
# vpi: memory=2048 alone=yes timeout=300
# vpi: camera="node_types=0x101 num_outputs=1 output_types=1 vid_out_nr=1"
"""tests/virtual-pi/test_modes.py - other sizes and rates; every frame that is missing is explained.

1080p30 and 720p60, and a codec that is slower than the camera: frames that the encoder had no slot for are
counted, and captured = encoded + dropped + aborted + what is under way, at all times.
"""

import re
import subprocess
import tempfile

import guest
from guest import check

SECONDS = 30 if guest.FULL else 10


def figures(petcam, seconds):
    a = guest.counters(petcam)
    guest.time.sleep(seconds)
    b = guest.counters(petcam)
    return {name: b[name] - a[name] for name in b if name in a}, b


def explained(c):
    check(0 <= guest.balance(c) <= 8, f"frames unaccounted for: {guest.balance(c)} of {c}")
    check(c["fragments"] == c["frames_encoded"] - c["frames_dropped_mux"], f"{c}")


def mode(width, height, fps, **settings):
    guest.camera(width, height, fps, text=True)
    with guest.daemon({"cameras.[0].width": width, "cameras.[0].height": height, "cameras.[0].fps": fps,
                       "live.window_s": 6.0, **settings}) as petcam:
        petcam.setup()
        guest.flows(petcam, 30)
        delta, total = figures(petcam, SECONDS)
        explained(total)
        seen = delta["frames_captured"] + delta["source_gaps"] + delta["frames_bad"] + delta["frames_skipped_source"]
        guest.report("mode", width=width, height=height, fps=fps,
                     captured=round(delta["frames_captured"] / SECONDS, 2),
                     encoded=round(delta["frames_encoded"] / SECONDS, 2), dropped=delta["frames_dropped_encoder"],
                     gaps=delta["source_gaps"], skipped=delta["frames_skipped_source"], bad=delta["frames_bad"])
        # What the camera gave, and what its own numbers say that it could not, is the rate that it has.
        check(seen >= 0.8 * fps * SECONDS / guest.SLOW, f"{seen} frames in {SECONDS} s: {delta}")
        check(delta["frames_encoded"] >= 0.5 * fps * SECONDS / guest.SLOW, f"{delta}")
        with tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=".mp4") as file:
            file.write(guest.live(petcam, 3))
            file.flush()
            out = guest.run("ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries",
                            "stream=width,height", "-of", "csv=p=0", file.name)
            check(re.search(rf"^{width},{height}", out, re.M), f"the stream is {out}")
            check(len(guest.md5s("-i", file.name)) > 10, "nothing decodes")
        check(all(state == "ok" for state, _ in guest.health(petcam).values()), f"{guest.health(petcam)}")


def test_1080p30():
    mode(1920, 1080, 30)


def test_720p60():
    mode(1280, 720, 60)


def test_slow_codec():
    """50 ms a frame: every second one at 30 has no slot. Drops are counted, the stream goes on."""
    guest.camera(1280, 720, 30, text=True)
    with guest.misbehaving(latency_us=50000), guest.daemon() as petcam:
        petcam.setup()
        guest.flows(petcam, 10)
        delta, total = figures(petcam, SECONDS)
        explained(total)
        guest.report("slow_codec", **{k: delta[k] for k in (
            "frames_captured", "frames_encoded", "frames_dropped_encoder", "source_gaps", "frames_skipped_source")})
        check(delta["frames_dropped_encoder"] + delta["source_gaps"] + delta["frames_skipped_source"] > 0,
              f"nothing was dropped: {delta}")
        check(delta["frames_encoded"] > 5, f"{delta}")
        check(total["encoder_opens"] == 1, f"slow is not dead: {total}")


def test_what_was_chosen():
    """The log says in one line what was chosen; petcamctl probe sees what there is."""
    guest.camera()
    with guest.daemon({"encoder.encoder": "auto", "encoder.scaler": "auto", "cameras.[0].source": "auto"}) as petcam:
        petcam.setup()
        guest.flows(petcam, 10)
        log = petcam.log()
        check(re.search(r"camera cam0: .*vivid.*encoder /dev/video11.*scaler /dev/video12", log), log[-3000:])
    probe = subprocess.run([str(guest.ROOT / "build/petcamd/petcamctl"), "probe"], capture_output=True, text=True,
                           check=False, timeout=60 * guest.SLOW)
    for word in ("/dev/video0", "/dev/video11", "/dev/video12"):
        check(word in probe.stdout, f"petcamctl probe: {probe.stdout} {probe.stderr}")


if __name__ == "__main__":
    guest.main(test_1080p30, test_720p60, test_slow_codec, test_what_was_chosen)
