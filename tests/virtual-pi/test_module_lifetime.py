#!/usr/bin/env python3
# vpi: timeout=400 camera=none
"""tests/virtual-pi/test_module_lifetime.py - clients that are killed, a device that is taken away.

After each of them nothing may be left: no open file, no buffer, no import; and the module works on, or goes.
"""

import errno
import os
import pathlib
import random
import select
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "probes"))
import m2m  # noqa: E402

SIZE = (640, 480)
FRAME = bytes(range(256)) * (m2m.frame_size("NV12", *SIZE) // 256)
DRIVER = pathlib.Path("/sys/bus/platform/drivers/vpicodec")
ROUNDS = 100 * (3 if os.environ.get("PETCAM_FULL") == "1" else 1)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def nothing_left(what):
    left = {name: n for name, n in m2m.counters().items() if name.startswith("live_") and n}
    check(not left, f"{what}: {left}")


def pipes(path, **more):
    return m2m.Pipe(path, "NV12", SIZE, *(() if path == m2m.ENCODER else ("RGB3", (320, 180))), **more)


def works():
    for path in m2m.ENCODER, m2m.ISP:
        with pipes(path) as pipe:
            pipe.stream()
            pipe.run([FRAME] * 4, drain=False, silence=1.0)
            check(len(pipe.out) == 4, f"{path}: {pipe.out}")


def busy(path, imported):
    """A client that streams for ever."""
    with pipes(path, imported=imported) as pipe:
        pipe.stream()
        while True:
            while pipe.submit(FRAME):
                pass
            pipe.collect()
            pipe.out.clear()


def test_kill():
    choice = random.Random(1)
    for i in range(ROUNDS):
        with m2m.habits(depth=choice.choice((0, 3)), late_output=choice.choice((0, 2)),
                        latency_us=choice.choice((0, 3000)), stall_after=choice.choice((0, 0, 3))):
            pid = os.fork()
            if pid == 0:
                try:
                    busy((m2m.ENCODER, m2m.ISP)[i % 2], i % 4 > 1)
                finally:
                    os._exit(1)
            time.sleep(choice.random() * 0.06)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            nothing_left(f"round {i}")
    works()


def test_two_at_once():
    """Two clients a node, opened and closed at all times: what one does is nothing to the other."""
    ends = time.monotonic() + 4
    said = []

    def client(path, seed):
        choice = random.Random(seed)
        try:
            while time.monotonic() < ends:
                with pipes(path) as pipe:
                    pipe.stream()
                    n = choice.randrange(1, 9)
                    pipe.run([FRAME] * n, drain=False, silence=1.0)
                    check(len(pipe.out) == n, f"{path}: {len(pipe.out)} of {n}")
                    if choice.random() < 0.5:
                        pipe.stream(False)
        except (AssertionError, OSError) as error:
            said.append(error)

    threads = [threading.Thread(target=client, args=((m2m.ENCODER, m2m.ISP)[i % 2], i)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not said, said)
    nothing_left("two at once")


def gone(pipe, poll):
    """What the client of a device that was taken away sees."""
    began = time.monotonic()
    seen = 0
    while time.monotonic() - began < 5 and not seen & select.EPOLLHUP:
        for _, events in poll.poll(1):
            seen |= events
    check(seen & select.EPOLLHUP and seen & select.EPOLLERR, f"epoll says {seen:#x}")
    try:
        pipe.control(m2m.FORCE_KEY_FRAME, 1)
    except OSError as error:
        check(error.errno == errno.ENODEV, f"ioctl says {error}")
        return
    check(False, "an ioctl works still")


def test_unbind():
    choice = random.Random(2)
    for i in range(20):
        imported = i % 2 == 0
        first, second = pipes(m2m.ENCODER, imported=imported), pipes(m2m.ISP, imported=imported)
        polls = []
        for pipe in first, second:
            pipe.stream()
            while pipe.submit(FRAME):
                pass
            polls.append(select.epoll())
            polls[-1].register(pipe.fd, select.EPOLLIN)
        time.sleep(choice.random() * 0.02)
        with m2m.habits(latency_us=choice.choice((0, 5000)), depth=choice.choice((0, 3))):
            (DRIVER / "unbind").write_text("vpicodec")
        for pipe, poll in zip((first, second), polls):
            gone(pipe, poll)
            poll.close()
        check(not os.path.exists(m2m.ENCODER), "the node is still there")
        if i % 4 > 1:  # bound again while the old files are open: a node, but with another number
            (DRIVER / "bind").write_text("vpicodec")
            names = {path.read_text().strip(): path.parent.name
                     for path in pathlib.Path("/sys/class/video4linux").glob("*/name")}
            check("vpicodec-encode" in names and names["vpicodec-encode"] != "video11", names)
            first.close()
            second.close()
            (DRIVER / "unbind").write_text("vpicodec")
        else:
            first.close()
            second.close()
        nothing_left(f"round {i}")
        (DRIVER / "bind").write_text("vpicodec")
        works()


def module(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_unload():
    if os.environ.get("VPI") == "uml":
        # Kernel stacks are vmalloc'ed there (CONFIG_VMAP_STACK). While a module's memory is let go, one of them may
        # be off the host's map for a moment, and a timer that strikes then faults for ever in to_irq_stack().
        print("     (not under User Mode Linux, which may hang when a module goes)")
        return
    for _ in range(5):
        with pipes(m2m.ENCODER) as pipe:
            pipe.stream()
            pipe.submit(FRAME)
            check(module("modprobe", "-r", "vpicodec").returncode != 0, "unloaded while it is open")
        done = module("modprobe", "-r", "vpicodec")
        check(done.returncode == 0, done.stderr)
        check(not os.path.exists(m2m.ENCODER) and not m2m.PARAMETERS.exists(), "something is left of the module")
        done = module("modprobe", "vpicodec")
        check(done.returncode == 0, done.stderr)
        works()
    nothing_left("loaded again")


def main():
    if not os.path.exists(m2m.PARAMETERS):
        print("skipped: needs the module vpicodec: tests/virtual-pi/vpi test " + sys.argv[0])
        sys.exit(77)
    for name, test in list(globals().items()):
        if name.startswith("test_") and (len(sys.argv) < 2 or sys.argv[1] in name):
            began = time.monotonic()
            test()
            print(f"ok   {name} ({time.monotonic() - began:.1f} s)", flush=True)


main()
