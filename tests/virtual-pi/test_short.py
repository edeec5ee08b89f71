#!/usr/bin/env python3
# vpi: memory=2048 timeout=120 alone=yes camera="input_types=0" timing=none machines=uml,amd64,arm64
"""tests/virtual-pi/test_short.py - the short form, for emulated processors: a small picture, few a second.

The camera is vivid's webcam, which has such rates. The daemon takes it, the encoder and the scaler; none of its mappings is a frame buffer; what is streamed
decodes to the picture that the camera gives, bit by bit.
"""

import pathlib
import tempfile

import guest
from guest import check

ENCODER = "/dev/video11"
WIDTH, HEIGHT, FPS = 640, 360, 10


def camera_picture():
    """What the camera shows now, as its MD5: bars that do not move."""
    guest.controls(osd_text_mode=2, horizontal_movement=3, show_square=0)
    guest.run("v4l2-ctl", "-d", guest.CAMERA, "-v", f"width={WIDTH},height={HEIGHT},pixelformat=NV12,field=none")
    with tempfile.NamedTemporaryFile() as file:
        guest.run("v4l2-ctl", "-d", guest.CAMERA, "--stream-mmap=2", "--stream-count=2", f"--stream-to={file.name}")
        hashes = guest.md5s("-f", "rawvideo", "-pix_fmt", "nv12", "-video_size", f"{WIDTH}x{HEIGHT}", "-i", file.name)
    check(len(set(hashes)) == 1, f"the camera's picture moves: {hashes}")
    return hashes[0]


def test_short():
    wanted = camera_picture()
    with guest.daemon({"cameras.[0].width": WIDTH, "cameras.[0].height": HEIGHT, "cameras.[0].fps": FPS}) as petcam:
        petcam.setup()
        counted = guest.flows(petcam, 3 * FPS)
        check(counted["frames_scaled"] > 0 and counted["frames_converted"] == 0, f"{counted}")
        for mapping in guest.device_mappings(petcam.process.pid):
            # Of the encoder what is coded (test_frame_path.py has proof); of the scaler its small pictures.
            check(mapping.name == ENCODER or mapping.size < WIDTH * HEIGHT * 3 // 2, f"a frame is mapped: {mapping}")
        file = pathlib.Path(petcam.root) / "live.mp4"
        file.write_bytes(guest.live(petcam, 4 * guest.SLOW))
        hashes = guest.md5s("-i", file)
        check(len(hashes) > FPS, f"only {len(hashes)} pictures")
        check(set(hashes) == {wanted}, f"{len(set(hashes))} different pictures of {len(hashes)}, one is wanted")
        ended = guest.counters(petcam)
        check(0 <= guest.balance(ended) <= 8, f"frames unaccounted for: {ended}")
        guest.report("short", pictures=len(hashes), captured=ended["frames_captured"], encoded=ended["frames_encoded"],
                     scaled=ended["frames_scaled"], dropped=ended["frames_dropped_encoder"])
        check(petcam.stop(timeout=30 * guest.SLOW) == 0, "exit status")


guest.main(test_short)
