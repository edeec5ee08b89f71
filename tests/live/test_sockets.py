#!/usr/bin/env python3
"""tests/live/test_sockets.py - viewers of the instant view that end in every order, are slow, rude
or too many; and a daemon that is stopped under them."""

import json
import pathlib
import sys
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))
sys.path.insert(0, str(HERE))
from tests.support.petcam import Petcam  # noqa: E402
from hls_client import fragments  # noqa: E402
from websocket import BINARY, PING, PONG, TEXT, Refused, WebSocket  # noqa: E402

VIEWERS_MAX = 6


def metric(petcam, name):
    _, text = petcam.get("/metrics")
    for line in text.decode().splitlines():
        if line.startswith((name + "{", name + " ")):
            return float(line.split()[-1])
    raise AssertionError(f"no {name} in /metrics")


class Viewer(WebSocket):
    def __init__(self, petcam, **more):
        super().__init__(f"{petcam.url}/cameras/cam0/live.ws?token={petcam.media_token}", **more)

    def frame_time(self):
        """Decode time and duration of the next frame, in ticks."""
        while True:
            message = self.message()
            assert message is not None, "the server closed"
            if message[0] == BINARY:
                found = fragments(message[1])
                if found:
                    return found[0][0], found[0][2]


def test_first_messages(petcam):
    viewer = Viewer(petcam)
    kind, text = viewer.message()
    told = json.loads(text)
    assert kind == TEXT and told["codec"].startswith("avc1.") and told["epoch"] >= 1, told
    assert (told["width"], told["height"]) == (640, 360), told
    kind, init = viewer.message()
    assert kind == BINARY and init[4:8] == b"ftyp"
    when, _ = viewer.frame_time()
    assert abs(when / 90000 - told["t"]) < 0.001
    assert viewer.close() == 1000


def test_ends(petcam):
    for _ in range(4):
        viewer = Viewer(petcam)
        viewer.frame_time()
        viewer.drop()
        assert Viewer(petcam).close() == 1000  # before anything was read
    viewer = Viewer(petcam)
    viewer.send(TEXT, b"hello")
    viewer.send(PING, b"are you there")
    while viewer.frame() != (PONG, b"are you there"):
        pass
    assert viewer.close() == 1000
    viewer = Viewer(petcam)
    viewer.socket.sendall(b"\x81\x05hello" * 20)  # not masked
    viewer.drop()


def test_slow(petcam):
    """One that does not read is moved on to a key frame; one beside it misses nothing."""
    skips = metric(petcam, "petcam_viewer_skips_total")
    quick, slow = Viewer(petcam), Viewer(petcam, receive_buffer=16384)
    slow.frame_time()
    last, duration = quick.frame_time()
    end = last + 8 * 90000
    while last < end:
        when, duration = quick.frame_time()
        assert 0 < when - last < 2.5 * duration, f"a hole of {when - last} ticks"
        last = when
    before, _ = slow.frame_time()
    largest = 0
    while before < last:
        when, _ = slow.frame_time()
        largest = max(largest, when - before)
        before = when
    assert largest > 2 * 90000, f"the slow viewer got {largest} ticks at most in a step"
    assert metric(petcam, "petcam_viewer_skips_total") > skips
    assert slow.close() == 1000 and quick.close() == 1000


def take_all_places(petcam):
    """VIEWERS_MAX viewers, or None: some places are still those of viewers that have just gone."""
    viewers = []
    try:
        for _ in range(VIEWERS_MAX):
            viewers.append(Viewer(petcam))
            viewers[-1].frame_time()  # it counts before its first message
        return viewers
    except Refused as refused:
        assert refused.status == 503, refused
        for viewer in viewers:
            viewer.drop()
        return None


def test_too_many(petcam):
    viewers = petcam.wait_for(lambda: take_all_places(petcam))
    try:
        Viewer(petcam)
        raise AssertionError(f"a viewer more than the {VIEWERS_MAX} that are allowed")
    except Refused as refused:
        assert refused.status == 503, refused
    status, _ = petcam.get("/cameras/cam0/live.mp4")
    assert status == 503, status
    viewers[0].frame_time()  # those that are in are not disturbed
    for viewer in viewers:
        viewer.drop()
    for viewer in petcam.wait_for(lambda: take_all_places(petcam)):
        viewer.close()
    status, body = petcam.get("/cameras/cam0/live.ws")
    assert status == 426, (status, body)


def test_stop(petcam):
    viewers = [Viewer(petcam) for _ in range(2)]
    blocked = Viewer(petcam, receive_buffer=16384)
    start, _ = viewers[0].frame_time()
    while viewers[0].frame_time()[0] < start + 4 * 90000:
        pass  # by now the other one's sender is blocked in its write
    begun = time.monotonic()
    status = petcam.stop()
    took = time.monotonic() - begun
    assert status == 0, status
    assert took < 5, f"stopping took {took:.1f} s"
    blocked.drop()


def main():
    with Petcam({"cameras.[0].source": "demo:speed=4", "cameras.[0].width": 640,
                 "cameras.[0].height": 360, "http.max_viewers": VIEWERS_MAX}) as petcam:
        petcam.setup()
        petcam.wait_for(lambda: petcam.get("/live")[0] == 200)
        for test in (test_first_messages, test_ends, test_slow, test_too_many, test_stop):
            test(petcam)
            print(f"ok {test.__name__}", flush=True)


if __name__ == "__main__":
    main()
