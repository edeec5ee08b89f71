#!/usr/bin/env python3
"""tests/integration/test_reopening.py - an encoder fails in the middle of a recording.

The service goes on by itself: viewers see a discontinuity and no missing fragment, the recording goes on in a new
file, both files are valid and the event points to one that plays; health is well again, and an alert says what
happened.
"""

import datetime
import pathlib
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.support.petcam import BUILD, Petcam, skip
from tests.support.viewers import InstantViewer, watch

FAILURES = 2


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def utc(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def decode(path):
    """Frames that decode, without a word from the decoder."""
    out = subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v:0",
                          "-fps_mode", "passthrough", "-f", "framemd5", "-"],
                         check=True, capture_output=True, text=True)
    check(out.stderr == "", f"{path}: {out.stderr}")
    return sum(1 for line in out.stdout.splitlines() if not line.startswith("#"))


def open_recording(petcam):
    return [r for r in petcam.get("/recordings")[1]["items"] if r["open"]]


def media_playlist(petcam):
    data = petcam.request("GET", "/cameras/cam0/hls/media.m3u8")[2]
    return data.decode() if isinstance(data, bytes) else data


def opens(petcam):
    camera = petcam.get("/cameras")[1]["items"][0]
    return camera["stats"]["encoder_opens"], camera["stats"]["source_opens"]


def main():
    shim = BUILD / "tests" / "support" / "fail_encoder.so"
    if not shim.exists():
        skip("no shim in this build (sanitizers)")
    # The cat comes in and plays for long: one recording, which the failures cut.
    petcam = Petcam({"cameras.[0].source": "demo:start=216,speed=4", "cameras.[0].width": 480,
                     "cameras.[0].height": 270, "storage.pre_roll_s": 1.0, "storage.post_roll_s": 2.0})
    fault = petcam.root / "fail"
    petcam.env.update(LD_PRELOAD=str(shim), PETCAM_FAIL_ENCODER=str(fault))
    with petcam:
        petcam.setup()
        viewer = InstantViewer(petcam, 1)
        thread = threading.Thread(target=watch, args=([viewer], 25))
        thread.start()
        away = []
        for n in range(FAILURES):
            petcam.wait_for(lambda: open_recording(petcam), timeout=40)
            time.sleep(1.5)  # some of it before the failure
            begun = time.monotonic()
            fault.touch()
            petcam.wait_for(lambda n=n: opens(petcam)[0] == n + 2, timeout=10, every=0.05)
            frames = petcam.get("/cameras")[1]["items"][0]["stats"]["frames_encoded"]
            petcam.wait_for(lambda was=frames: petcam.get("/cameras")[1]["items"][0]["stats"]["frames_encoded"] > was,
                            timeout=10, every=0.05)
            away.append(time.monotonic() - begun)
            # A part is in the playlist when it is whole, some frames later.
            petcam.wait_for(lambda: "#EXT-X-DISCONTINUITY\n" in media_playlist(petcam), timeout=10)
        check(opens(petcam)[1] == 1, "the source was opened again for the encoder's sake")
        petcam.wait_for(lambda: all(part["state"] == "ok" for part in petcam.get("/health")[1]["parts"]), timeout=10)
        alerts = petcam.wait_for(lambda: [a for a in petcam.get("/alerts")[1]["items"]
                                          if a["kind"] == "encoder_restarted"], timeout=10)
        check(len(alerts) == 1 and alerts[0]["camera"] == "cam0", alerts)
        check("failed: Input/output error" in alerts[0]["message"], alerts)
        thread.join()
        check(not viewer.errors and viewer.gaps == 0, f"the viewer lost frames: {viewer.errors} {viewer.gaps}")
        check(viewer.frames > 300, f"only {viewer.frames} frames were seen")

        recordings = petcam.wait_for(
            lambda: (lambda rs: len(rs) > FAILURES and not any(r["open"] for r in rs[-FAILURES - 1:]) and rs)(
                petcam.get("/recordings")[1]["items"]), timeout=60)
        recordings = sorted((r for r in recordings if not r["open"]), key=lambda r: r["timestamp"])
        for recording in recordings:
            data = petcam.request("GET", f"/recordings/{recording['recording_id']}/media.mp4")[2]
            path = petcam.root / "recording.mp4"
            path.write_bytes(data)
            frames = decode(path)
            check(frames == recording["frames"], f"{frames} frames of {recording} decode")
        cuts = [utc(b["timestamp"]) - utc(a["timestamp"]) - a["duration"] for a, b in zip(recordings, recordings[1:])]
        # The failures' cuts: what is lost is the time in which there was no encoder.
        check(sum(cut < 1.0 for cut in cuts) >= FAILURES, f"the recording did not go on: {cuts}")
        for event in petcam.get("/events?limit=100")[1]["items"]:
            if event["media"] is not None and event["media"]["clip"] is not None:
                status, _, data = petcam.request("GET", event["media"]["clip"])
                check(status == 200 and data[4:8] == b"ftyp", f"{event}: {status}")
        print(f"away for {', '.join(f'{s:.2f}' for s in away)} s; {len(recordings)} recordings, cuts {cuts}; "
              f"alert: {alerts[0]['message']}")


if __name__ == "__main__":
    main()
