#!/usr/bin/env python3
# vpi: timeout=60 camera=none codec=none memory=1024 machines=uml,amd64,arm64
"""tests/virtual-pi/test_module_heap.py - the modules vpiheap and vpigem by themselves.

What is allocated is counted and given back; the limit is kept to; a touch outside of DMA_BUF_IOCTL_SYNC is noticed
where it is asked for; an import is counted; neither module goes while a buffer is out.
"""

import contextlib
import errno
import fcntl
import mmap
import os
import struct
import subprocess
import sys

DMA_HEAP_IOCTL_ALLOC = 0xC0184800
DMA_BUF_IOCTL_SYNC = 0x40086200
DRM_IOCTL_GEM_CLOSE = 0x40086409
DRM_IOCTL_PRIME_FD_TO_HANDLE = 0xC00C642E
READ, WRITE, END = 1, 2, 4
HEAP = "/dev/dma_heap/linux,cma"
MIB = 1 << 20


def check(true, what):
    if not true:
        sys.exit(f"FAIL: {what}")


def counter(module, name):
    with open(f"/sys/kernel/debug/{module}/{name}", encoding="ascii") as file:
        return int(file.read())


def parameter(name, value):
    with open(f"/sys/module/vpiheap/parameters/{name}", "w", encoding="ascii") as file:
        file.write(str(value))


@contextlib.contextmanager
def descriptor(fd):
    try:
        yield fd
    finally:
        os.close(fd)


def allocate(length, flags=os.O_RDWR | os.O_CLOEXEC, heap_flags=0):
    with descriptor(os.open(HEAP, os.O_RDWR | os.O_CLOEXEC)) as heap:
        answer = fcntl.ioctl(heap, DMA_HEAP_IOCTL_ALLOC, struct.pack("=QIIQ", length, 0, flags, heap_flags))
    return struct.unpack("=QIIQ", answer)[1]


def sync(fd, flags):
    fcntl.ioctl(fd, DMA_BUF_IOCTL_SYNC, struct.pack("=Q", flags))


def refused(expected, function, *arguments, **named):
    try:
        fd = function(*arguments, **named)
    except OSError as error:
        check(error.errno == expected, f"{function.__name__}{arguments}: {error}, not {errno.errorcode[expected]}")
    else:
        sys.exit(f"FAIL: {function.__name__}{arguments} gave {fd}")


def live():
    return counter("vpiheap", "live_buffers"), counter("vpiheap", "live_kib")


def test_counts_and_limit():
    check(live() == (0, 0), f"{live()} at the start")
    with descriptor(allocate(3 * MIB - 100)) as fd:
        check(live() == (1, 3072), f"{live()} with one")
        check(os.fstat(fd).st_size in (0, 3 * MIB) and os.lseek(fd, 0, os.SEEK_END) == 3 * MIB, "its size")
        with mmap.mmap(fd, 3 * MIB) as memory:
            check(memory[:] == bytes(3 * MIB), "it is not zeroed")
            memory[MIB] = 7
        parameter("limit_kib", 4096)
        refused(errno.ENOMEM, allocate, 2 * MIB)
        check(counter("vpiheap", "refused") == 1, "the refusal is not counted")
        os.close(allocate(MIB))
        parameter("limit_kib", 0)
    check(live() == (0, 0), f"{live()} after the last close")
    check(counter("vpiheap", "peak_kib") == 4096, "the peak")
    check(counter("vpiheap", "allocated") == 2, "the allocations")
    for _ in range(200):
        os.close(allocate(MIB))
    check(live() == (0, 0), f"{live()} after 200 rounds")


def test_bad_requests():
    refused(errno.EINVAL, allocate, 0)
    refused(errno.EINVAL, allocate, 65 * MIB)
    refused(errno.EINVAL, allocate, MIB, flags=os.O_RDWR | os.O_NONBLOCK)
    refused(errno.EINVAL, allocate, MIB, heap_flags=1)
    refused(errno.ENOMEM, allocate, 64 * MIB)  # beyond the highest order
    with descriptor(allocate(MIB)) as fd:
        refused(errno.EINVAL, sync, fd, READ | END)
        try:
            mmap.mmap(fd, 2 * MIB).close()
        except (OSError, ValueError):
            pass
        else:
            sys.exit("FAIL: mapped beyond its end")
    with descriptor(os.open(HEAP, os.O_RDWR)) as heap:
        refused(errno.ENOTTY, fcntl.ioctl, heap, 0x4801, 0)
    check(live() == (0, 0), f"{live()} after bad requests")


def test_syncs():
    before = counter("vpiheap", "syncs")
    parameter("check_sync", 1)
    with descriptor(allocate(MIB)) as fd, mmap.mmap(fd, MIB) as memory:
        sync(fd, READ | WRITE)
        memory[0] = 1
        memory[MIB // 2] = 2
        sync(fd, READ | WRITE | END)
        for _ in range(3):
            sync(fd, READ)
            check((memory[0], memory[MIB // 2]) == (1, 2), "what was written")
            sync(fd, READ | END)
        check(counter("vpiheap", "unsynced") == 0, "a proper access was taken for a bad one")
        check(counter("vpiheap", "syncs") - before == 4, "the starts")
        check(memory[0] == 1 and counter("vpiheap", "unsynced") == 1, "a read after the end went unnoticed")
        sync(fd, READ)
        sync(fd, READ | END)
        memory[4096] = 3
        check(counter("vpiheap", "unsynced") == 2, "a write after the end went unnoticed")
    parameter("check_sync", 0)
    with descriptor(allocate(MIB)) as fd, mmap.mmap(fd, MIB) as memory:
        memory[0] = 1
    check(counter("vpiheap", "unsynced") == 2, "counted where it was not asked for")


def test_imports():
    with descriptor(os.open("/dev/dri/card0", os.O_RDWR | os.O_CLOEXEC)) as card, descriptor(allocate(MIB)) as fd:
        before = counter("vpigem", "imports")
        handles = set()
        for _ in range(2):
            answer = fcntl.ioctl(card, DRM_IOCTL_PRIME_FD_TO_HANDLE, struct.pack("=IIi", 0, 0, fd))
            handles.add(struct.unpack("=IIi", answer)[0])
        check(len(handles) == 1 and counter("vpigem", "imports") - before == 1, "imported twice")
        check(counter("vpigem", "live_imports") == 1, "live imports")
        fcntl.ioctl(card, DRM_IOCTL_GEM_CLOSE, struct.pack("=II", handles.pop(), 0))
        check(counter("vpigem", "live_imports") == 0, "live imports after the close")


def unload(module):
    return subprocess.run(["rmmod", module], capture_output=True, check=False).returncode == 0


def test_unload():
    with descriptor(allocate(MIB)):
        check(not unload("vpiheap"), "vpiheap went while a buffer was out")
    with descriptor(os.open("/dev/dri/card0", os.O_RDWR | os.O_CLOEXEC)):
        check(not unload("vpigem"), "vpigem went while it was open")
    for module in "vpiheap", "vpigem":
        check(unload(module), f"{module} does not go")
        subprocess.run(["modprobe", module], check=True)
    os.close(allocate(MIB))


if not os.path.exists("/sys/module/vpiheap"):
    print("SKIP: runs inside the virtual Pi only: tests/virtual-pi/vpi test " + sys.argv[0])
    sys.exit(77)
for name, test in list(globals().items()):
    if name.startswith("test_"):
        test()
        print("ok  ", name, flush=True)
