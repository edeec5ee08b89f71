"""tests/virtual-pi/guest.py - what the tests that run inside the virtual Pi share.

The camera (vivid), the codec module, the daemon seen from outside: its mappings, its files, its counters. Every
time limit is generous, and stretched by PETCAM_VPI_SLOW (a factor) where the kernel is an emulated one.
"""

import collections
import contextlib
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from tests.support.petcam import Petcam, shared, skip  # noqa: E402, F401

CAMERA = "/dev/video0"
SLOW = float(os.environ.get("PETCAM_VPI_SLOW", "1"))
FULL = os.environ.get("PETCAM_FULL") == "1"
DMABUF_INFO = pathlib.Path("/sys/kernel/debug/dma_buf/bufinfo")


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def run(*command, timeout=60, **more):
    """Its output; its complaint is the failure."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False,
                          timeout=timeout * SLOW, **more)
    check(done.returncode == 0, f"{' '.join(map(str, command))}: {done.returncode}: {done.stderr[-1000:]}")
    return done.stdout


# ---- the devices ----


def inside():
    """Skips where this is no virtual Pi."""
    if not os.path.exists(CAMERA) or "vivid" not in run("v4l2-ctl", "-d", CAMERA, "--info"):
        skip("runs inside the virtual Pi only: tests/virtual-pi/vpi run -- " + " ".join(sys.argv))


def module(name, **parameters):
    """Loads it again, with these parameters. Seldom: User Mode Linux takes long to give back a module's memory."""
    subprocess.run(["modprobe", "-r", name], check=True, capture_output=True)
    run("modprobe", name, *(f"{key}={value}" for key, value in parameters.items()))


# As the runner loads it.
VIVID = {"n_devs": 1, "node_types": "0x1", "num_inputs": 1, "input_types": 3, "vid_cap_nr": 0, "allocators": 1}


def controls(device=CAMERA, **values):
    run("v4l2-ctl", "-d", device, "-c", ",".join(f"{name}={value}" for name, value in values.items()))


def timing(width, height, fps, device=CAMERA):
    """An HDMI timing of the standards, or one made for the purpose (reduced blanking)."""
    listing = run("v4l2-ctl", "-d", device, "--list-dv-timings")
    for block in listing.split("Index:")[1:]:
        found = re.search(r"^\s*(\d+).*?Active width: (\d+).*?Active height: (\d+).*?Frame format: (\w+)"
                          r".*?\((\d+\.\d+) frames", block, re.S)
        if found and (int(found[2]), int(found[3]), found[4]) == (width, height, "progressive") \
                and abs(float(found[5]) - fps) < 0.5:
            run("v4l2-ctl", "-d", device, "--set-dv-bt-timings", f"index={found[1]}")
            return
    run("v4l2-ctl", "-d", device, "--set-dv-bt-timings",
        f"cvt,width={width},height={height},fps={fps},interlaced=0,reduced-blanking=2")
    # vivid takes such a timing for a computer's picture, which no encoder of video wants.
    controls(device, colorspace=1)


def camera(width=1280, height=720, fps=30, moving=False, text=False):
    """What vivid shows: colour bars, still or moving, and its counters as text or none."""
    timing(width, height, fps)
    if os.path.exists(Feeding.OUTPUT):
        controls(loop_video=0)
    controls(osd_text_mode=0 if text else 2, horizontal_movement=4 if moving else 3, show_square=0)


CODEC = pathlib.Path("/sys/module/vpicodec/parameters")


def codec(**parameters):
    for name, value in parameters.items():
        (CODEC / name).write_text(str(value))


@contextlib.contextmanager
def misbehaving(**parameters):
    """The codec's parameters, and as they were afterwards (stall and isp_stall happen once)."""
    before = {name: (CODEC / name).read_text().strip() for name in parameters if not name.endswith("stall")}
    codec(**parameters)
    try:
        yield
    finally:
        codec(**before)


def codec_counts():
    """What the codec module counts by itself."""
    return {file.name: int(file.read_text()) for file in sorted(CODEC.iterdir())
            if file.name.startswith(("n_", "live_"))}


def driver(name, word, device):
    """word: "unbind" or "bind"."""
    pathlib.Path(f"/sys/bus/platform/drivers/{name}/{word}").write_text(device)


def bound_to(name):
    """The platform devices that this driver has."""
    folder = pathlib.Path(f"/sys/bus/platform/drivers/{name}")
    return [link.name for link in folder.iterdir() if link.is_symlink() and link.name != "module"]


@contextlib.contextmanager
def hidden(*paths):
    """As if these nodes were not there; their modules stay."""
    moved = []
    try:
        for path in map(pathlib.Path, paths):
            path.rename(path.with_name(f".hidden-{path.name}"))
            moved.append(path)
        yield
    finally:
        for path in moved:
            path.with_name(f".hidden-{path.name}").rename(path)


# ---- a clip through the camera ----


class Clip:
    """Raw NV12 frames and their hashes; every frame is another one."""

    def __init__(self, path, width, height):
        self.path, self.width, self.height = path, width, height
        self.size = width * height * 3 // 2
        self.hashes = md5s("-f", "rawvideo", "-pix_fmt", "nv12", "-video_size", f"{width}x{height}", "-i", path)
        check(len(set(self.hashes)) == len(self.hashes), f"{path}: frames are alike")


def md5s(*source, complaint_is_failure=True):
    """The hash of each picture of what ffmpeg decodes, as I420."""
    done = subprocess.run(["ffmpeg", "-v", "error", *map(str, source), "-map", "0:v:0", "-pix_fmt", "yuv420p",
                           "-fps_mode", "passthrough", "-enc_time_base", "1/90000", "-f", "framemd5", "-"],
                          capture_output=True, text=True, check=False)
    if complaint_is_failure:
        check(done.returncode == 0 and done.stderr.strip() == "", f"{source}: {done.stderr[:1000]}")
    return [line.split(",")[-1].strip() for line in done.stdout.splitlines() if not line.startswith("#")]


# vivid's HDMI has no smaller size at 30 frames a second.
USUAL = {"width": 1280, "height": 720}
USUAL_CAMERA = {"cameras.[0].width": 1280, "cameras.[0].height": 720}
PICTURES = {}  # clips made, by size


def pictures(width=1280, height=720, n=60):
    """A clip that is known: a ball that goes round in a still room, on each frame elsewhere. Motion, as a pet's."""
    if (width, height) not in PICTURES:
        path = pathlib.Path(f"/dev/shm/pictures-{width}x{height}.nv12")
        side, radius = height // 5 & ~1, height // 10
        run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"smptebars=s={width}x{height}:r=30", "-f", "lavfi", "-i",
            f"color=c=0x202020:s={side}x{side}:r=30", "-filter_complex",
            f"[0][1]overlay=x='(W-w)/2+{radius}*sin(2*PI*n/{n})':y='(H-h)/2+{radius}*cos(2*PI*n/{n})'",
            "-frames:v", n, "-pix_fmt", "nv12", "-f", "rawvideo", "-y", path, timeout=120)
        PICTURES[width, height] = Clip(path, width, height)
    return PICTURES[width, height]


class Feeding(threading.Thread):
    """The camera sees `clip`, again and again: vivid's output node, looped back to its capture node. The two have
    clocks of their own, so that a frame may come twice or not at all. Goes on after the camera was unplugged."""

    OUTPUT = "/dev/video1"

    def __init__(self, clip, fps=30):
        super().__init__(daemon=True)
        self.clip, self.fps = clip, fps
        self.process = None
        self.over = threading.Event()
        self.held = threading.Event()  # while set: nobody has the output node open

    def prepare(self):
        clip = self.clip
        timing(clip.width, clip.height, self.fps)
        timing(clip.width, clip.height, self.fps, device=self.OUTPUT)
        controls(osd_text_mode=2, loop_video=1)
        run("v4l2-ctl", "-d", self.OUTPUT, "-x",
            f"width={clip.width},height={clip.height},pixelformat=NV12,field=none")

    def run(self):
        while not self.over.is_set():
            if not self.held.is_set():
                self.process = subprocess.Popen(
                    ["v4l2-ctl", "-d", self.OUTPUT, "--stream-out-mmap=4", f"--stream-from={self.clip.path}",
                     "--stream-loop", "--stream-poll"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                self.process.wait()
            self.over.wait(0.3)

    def pause(self):
        self.held.set()
        process = self.process
        if process is not None:
            process.kill()
            process.wait()

    def resume(self):
        self.prepare()
        self.held.clear()

    def __enter__(self):
        check(os.path.exists(self.OUTPUT), "vivid has no output; see the \"# vpi:\" line of this test")
        self.prepare()
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.pause()
        self.join()
        controls(loop_video=0)


def feeding(clip=None, fps=30):
    return Feeding(clip or pictures(**USUAL), fps)


# ---- the daemon from outside ----


def daemon(settings=None, **more):
    """A Petcam on the camera node; plain HTTP unless asked for."""
    known = {
        "cameras.[0].source": f"v4l2:{CAMERA}", "cameras.[0].width": 1280, "cameras.[0].height": 720,
        "cameras.[0].fps": 30, "http.plain_loopback": True, "encoder.encoder": "v4l2m2m",
        "encoder.scaler": os.environ.get("PETCAM_VPI_SCALER", "v4l2m2m"), "storage.post_roll_s": 1.0, "inference.hold_s": 1.0,
    }
    known.update(settings or {})
    return Petcam(known, **more)


def consented(petcam):
    """First run and login, then a new start: what moves from the beginning is an event that is recorded."""
    petcam.setup()
    check(petcam.stop() == 0, "exit status")
    petcam.start(timeout=30 * SLOW)
    petcam.login()
    return petcam


def counters(petcam, camera_id="cam0"):
    """/metrics of one camera, without the "petcam_" and "_total"."""
    _, text = petcam.get("/metrics", timeout=10 * SLOW)
    text = text.decode() if isinstance(text, bytes) else text
    found = {}
    for name, value in re.findall(rf'^petcam_(\w+)\{{camera="{camera_id}"\}} (\S+)$', text, re.M):
        found[name.removesuffix("_total")] = float(value)
    return found


def health(petcam):
    """Parts of /health by name: (state, text)."""
    _, data = petcam.get("/health", timeout=10 * SLOW)
    return {part["name"]: (part["state"], part["text"]) for part in data["parts"]}


def alerts(petcam):
    return petcam.get("/alerts?limit=200", timeout=10 * SLOW)[1]["items"]


def flows(petcam, frames=15, timeout=30):
    """Waits until so many more frames are encoded; the counters then."""
    begun = counters(petcam)["frames_encoded"]
    return petcam.wait_for(
        lambda: next((c for c in [counters(petcam)] if c["frames_encoded"] >= begun + frames), None),
        timeout=timeout * SLOW, every=0.2)


def balance(c):
    """Frames that the counters do not explain. What is under way makes it a little more than 0."""
    return c["frames_captured"] - c["frames_encoded"] - c["frames_dropped_encoder"] - c["frames_aborted"]


Mapping = collections.namedtuple("Mapping", "start size flags offset name")
# From there on an M2M node maps the buffers of its CAPTURE queue (v4l2-mem2mem.c: DST_QUEUE_OFF_BASE).
CAPTURE_QUEUE = 1 << 30


def mappings(pid):
    found = []
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        words = line.split(None, 5)
        start, end = (int(word, 16) for word in words[0].split("-"))
        found.append(Mapping(start, end - start, words[1], int(words[2], 16), words[5] if len(words) > 5 else ""))
    return found


def device_mappings(pid):
    """What is mapped of devices and dma-bufs (memfds too: they are frames where there is no hardware)."""
    return [m for m in mappings(pid)
            if m.name.startswith(("/dev/", "/dmabuf", "anon_inode:", "/memfd:")) or "dmabuf" in m.name]


def files(pid):
    """How many of each kind the process has open."""
    kinds = collections.Counter()
    folder = pathlib.Path(f"/proc/{pid}/fd")
    for link in folder.iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(link)
            if target.endswith(".mp4"):
                continue  # a recording that is under way
            kinds[re.sub(r"\d+$", "", target.split(":")[0]) if not target.startswith("/") else target] += 1
    return kinds


def fd_paths(pid):
    found = {}
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found[int(link.name)] = os.readlink(link)
    return found


def dma_buffers():
    """How many dma-bufs there are in the whole system, and their bytes."""
    if not DMABUF_INFO.exists():
        return 0, 0
    total = re.search(r"Total (\d+) objects, (\d+) bytes", DMABUF_INFO.read_text())
    return (int(total[1]), int(total[2])) if total else (0, 0)


def status(pid, field):
    found = re.search(rf"^{field}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)
    return int(found[1]) if found else 0


def live(petcam, seconds):
    """The progressive stream, as it comes in so many seconds, cut behind its last whole fragment."""
    connection = petcam.connection(timeout=20 * SLOW)
    connection.request("GET", "/cameras/cam0/live.mp4", headers={"Authorization": f"Bearer {petcam.token}"})
    response = connection.getresponse()
    check(response.status == 200, f"live.mp4: {response.status}")
    data = bytearray()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        some = response.read1(1 << 20)
        if not some:
            break
        data += some
    connection.close()
    end = at = 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at:at + 4], "big"), bytes(data[at + 4:at + 8])
        if at + size > len(data):
            break
        at += size
        if kind in (b"mdat", b"moov"):
            end = at
    return bytes(data[:end])


def playlist(petcam):
    code, text = petcam.get("/cameras/cam0/hls/media.m3u8", timeout=10 * SLOW)
    return text.decode() if code == 200 else ""


def hls(petcam):
    """Init segment and every whole media segment that the playlist of now has."""
    text = playlist(petcam)
    init = re.findall(r'^#EXT-X-MAP:URI="([^"]+)"', text, re.M)
    names = init[-1:] + [line for line in text.splitlines() if line and not line.startswith("#")]
    data = b""
    for name in names:
        code, some = petcam.get(f"/cameras/cam0/hls/{name}", timeout=20 * SLOW)
        check(code == 200, f"{name}: {code}")
        data += some
    return data


class PlaylistWatch:
    """Looks at the playlist now and then; was there a discontinuity since the beginning?"""

    def __init__(self, petcam):
        self.petcam = petcam
        self.begun = self.discontinuities()

    def discontinuities(self):
        text = playlist(self.petcam)
        gone = re.search(r"^#EXT-X-DISCONTINUITY-SEQUENCE:(\d+)", text, re.M)
        return (int(gone[1]) if gone else 0) + len(re.findall(r"^#EXT-X-DISCONTINUITY$", text, re.M))

    def seen(self):
        return self.discontinuities() - self.begun


def wait_for_recording(petcam, timeout=40):
    """Until there is a closed one; all of them."""
    try:
        return petcam.wait_for(lambda: recordings(petcam), timeout=timeout * SLOW, every=0.5)
    except RuntimeError as error:
        c = counters(petcam)
        listed = petcam.get("/recordings?limit=200")[1]["items"]
        raise RuntimeError(f"no recording: {c['events']} events, {c['frames_inferred']} looked at, {listed}: "
                           f"{error}") from error


def recordings(petcam):
    """Those that are closed, newest first."""
    return [item for item in petcam.get("/recordings?limit=200", timeout=10 * SLOW)[1]["items"] if not item["open"]]


def recording_file(petcam, recording):
    code, _, data = petcam.request("GET", f"/recordings/{recording['recording_id']}/media.mp4", timeout=30 * SLOW)
    check(code == 200, f"media.mp4: {code}")
    path = petcam.root / f"recording-{recording['recording_id']}.mp4"
    path.write_bytes(data)
    return path


def check_recordings(petcam, wanted=1):
    """Every closed recording decodes without a word, with as many frames as its row says."""
    found = recordings(petcam)
    check(len(found) >= wanted, f"{len(found)} recordings, {wanted} wanted; log:\n{petcam.log()[-3000:]}")
    for recording in found:
        path = recording_file(petcam, recording)
        frames = len(md5s("-i", path))
        path.unlink()
        check(frames == recording["frames"], f"{frames} frames decode of {recording}")
    return found


def decodes(petcam, seconds=3.0, frames=10):
    with tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=".mp4") as file:
        file.write(live(petcam, seconds))
        file.flush()
        n = len(md5s("-i", file.name))
    check(n >= frames / SLOW, f"only {n} frames in {seconds} s")
    return n


class Strace:
    """The system calls of a running process for a while."""

    def __init__(self, pid, *options):
        handle, name = tempfile.mkstemp(prefix="strace-", dir="/dev/shm")
        os.close(handle)
        self.path = pathlib.Path(name)
        self.process = subprocess.Popen(["strace", "-f", "-qq", "-o", name, *options, "-p", str(pid)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def finish(self):
        self.process.send_signal(2)
        self.process.wait(30 * SLOW)
        lines = self.path.read_text(errors="replace").splitlines()
        self.path.unlink()
        return lines


class Sampler(threading.Thread):
    """Calls `look` every so many seconds until stopped; keeps its answers."""

    def __init__(self, look, every=1.0):
        super().__init__(daemon=True)
        self.look, self.every, self.answers = look, every, []
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.wait(self.every):
            with contextlib.suppress(OSError):
                self.answers.append(self.look())

    def stop(self):
        self.stopped.set()
        self.join()
        return self.answers


class Service(threading.Thread):
    """Looks at the daemon many times a second: how long was the service away, and what did /health say?"""

    def __init__(self, petcam):
        super().__init__(daemon=True)
        self.petcam = petcam
        self.longest = 0.0
        self.said = {}  # worst words of each part that was not well
        self.lost_answers = 0
        self.stopped = threading.Event()

    def run(self):
        last, since = -1.0, time.monotonic()
        while not self.stopped.wait(0.2):
            try:
                c = counters(self.petcam)
                parts = health(self.petcam)
            except (OSError, ValueError, KeyError, http.client.HTTPException):
                self.lost_answers += 1
                continue
            now = time.monotonic()
            if c["fragments"] != last:
                if last >= 0:
                    self.longest = max(self.longest, now - since)
                last, since = c["fragments"], now
            for name, (state, text) in parts.items():
                if state != "ok" and name != "settings":
                    self.said[name] = (state, text)

    def stop(self):
        self.stopped.set()
        self.join()
        return self


class Trial:
    """One fault while the service runs: `with Trial(petcam, "name") as trial: make_it_so(); trial.back()`.

    At the end: the stream flows, every part is well again, recordings are valid, nothing is held that was not
    held before; a reopening was a discontinuity, and an alert tells of it.
    """

    def __init__(self, petcam, name, reopened, part=None, most=15.0, cuts=None):
        self.petcam, self.name, self.reopened, self.most = petcam, name, reopened, most
        self.part = part
        self.cuts = cuts  # True: discontinuities are right without a reopening

    def __enter__(self):
        self.before = counters(self.petcam)
        self.held = (files(self.petcam.process.pid), dma_buffers()[0])
        self.alerted = {alert["alert_id"] for alert in alerts(self.petcam)}
        self.playlist = PlaylistWatch(self.petcam)
        self.service = Service(self.petcam)
        self.service.start()
        return self

    def wait(self, question, timeout=20):
        """Until question(counters now, counters at the beginning) is true."""
        return self.petcam.wait_for(lambda: question(counters(self.petcam), self.before), timeout=timeout * SLOW)

    def opens(self):
        c = counters(self.petcam)
        return sum(c[name] - self.before[name] for name in ("source_opens", "encoder_opens"))

    def back(self, frames=30):
        """The service is there again, and well."""
        flows(self.petcam, frames, timeout=40)
        self.petcam.wait_for(lambda: all(state == "ok" for state, _ in health(self.petcam).values()),
                             timeout=30 * SLOW)

    def __exit__(self, kind, error, trace):
        self.service.stop()
        if kind is not None:
            return False
        petcam, name = self.petcam, self.name
        c = counters(petcam)
        opens = self.opens()
        cuts = self.playlist.seen()
        new = [alert for alert in alerts(petcam) if alert["alert_id"] not in self.alerted]
        report("trial", name=name, away_s=round(self.service.longest, 2), reopened=opens, discontinuities=cuts,
               said={part: text for part, (_, text) in self.service.said.items()},
               alerts=[f"{alert['kind']}: {alert['message']}" for alert in new],
               aborted=c["frames_aborted"] - self.before["frames_aborted"],
               junk=c["encoder_junk"] - self.before["encoder_junk"],
               unexplained=balance(c) - balance(self.before))
        check(self.service.longest <= self.most * SLOW, f"{name}: away for {self.service.longest:.1f} s")
        check(abs(balance(c) - balance(self.before)) <= 12,
              f"{name}: frames unaccounted for: {balance(self.before)} -> {balance(c)}: {c}")
        if self.reopened:
            check(opens > 0, f"{name}: nothing was opened again: {c}")
            check(cuts > 0, f"{name}: viewers see no discontinuity")
        else:
            check(opens == 0 and (cuts == 0 or self.cuts),
                  f"{name}: {opens} opens, {cuts} discontinuities for nothing")
        if self.part is not None:
            check(any(part.startswith(self.part) for part in self.service.said),
                  f"{name}: /health never said it: {self.service.said}")
            check(new, f"{name}: no alert; log:\n{petcam.log()[-2000:]}")
        held = files(petcam.process.pid)
        deadline = time.monotonic() + 10 * SLOW
        while (held, dma_buffers()[0]) != self.held and time.monotonic() < deadline:
            time.sleep(0.5)  # a connection that closes
            held = files(petcam.process.pid)
        leaked = {k: held[k] - self.held[0][k] for k in held | self.held[0] if held[k] > self.held[0][k]}
        check(not leaked, f"{name}: files left open: {leaked}")
        check(dma_buffers()[0] <= self.held[1], f"{name}: {self.held[1]} dma-bufs became {dma_buffers()[0]}")
        return False


def report(test, /, **figures):
    """One line for people, and for whoever gathers figures."""
    print("@figure", json.dumps({"test": test, **figures}), flush=True)


def main(*tests):
    """Runs those named on the command line, or all."""
    inside()
    names = sys.argv[1:]
    failed = 0
    for test in tests:
        if names and not any(name in test.__name__ for name in names):
            continue
        begun = time.monotonic()
        try:
            test()
        except Exception as error:  # all of them are to be seen in one session
            failed += 1
            where = " < ".join(f"{frame.name}:{frame.lineno}"
                               for frame in reversed(traceback.extract_tb(error.__traceback__)[-5:]))
            print(f"FAILED {test.__name__}: {type(error).__name__}: {error} [{where}]", flush=True)
            continue
        print(f"ok {test.__name__} ({time.monotonic() - begun:.1f} s)", flush=True)
    sys.exit(1 if failed else 0)
