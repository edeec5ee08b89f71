"""tests/virtual-pi/probes/m2m.py - a plain V4L2 M2M client, to check the codec module itself.

It shares nothing with petcam's client, so that the two cannot be wrong together.
"""

import ctypes
import fcntl
import mmap
import os
import pathlib
import select
import struct

OUTPUT, CAPTURE = 10, 9  # V4L2_BUF_TYPE_VIDEO_{OUTPUT,CAPTURE}_MPLANE
MMAP, DMABUF = 1, 4
KEY, ERROR, LAST = 0x8, 0x40, 0x100000
ENCODER, ISP = "/dev/video11", "/dev/video12"
FORCE_KEY_FRAME, BITRATE, REPEAT, GOP, HEADER_MODE = 0x9909e5, 0x9909cf, 0x9909e2, 0x9909cb, 0x9909d8

PARAMETERS = pathlib.Path("/sys/module/vpicodec/parameters")


def _ioc(direction, number, size, letter="V"):
    return direction << 30 | size << 16 | ord(letter) << 8 | number


_W, _R, _RW = 1, 2, 3
QUERYCAP, G_FMT, S_FMT, TRY_FMT = _ioc(_R, 0, 104), _ioc(_RW, 4, 208), _ioc(_RW, 5, 208), _ioc(_RW, 64, 208)
REQBUFS, QUERYBUF, QBUF, DQBUF = _ioc(_RW, 8, 20), _ioc(_RW, 9, 88), _ioc(_RW, 15, 88), _ioc(_RW, 17, 88)
EXPBUF, STREAMON, STREAMOFF = _ioc(_RW, 16, 64), _ioc(_W, 18, 4), _ioc(_W, 19, 4)
S_CTRL, ENCODER_CMD, SUBSCRIBE, DQEVENT = _ioc(_RW, 28, 8), _ioc(_RW, 77, 40), _ioc(_W, 90, 32), _ioc(_R, 89, 136)
HEAP_ALLOC = _ioc(_RW, 0, 24, "H")


class Timeval(ctypes.Structure):
    _fields_ = [("s", ctypes.c_long), ("us", ctypes.c_long)]


class Plane(ctypes.Structure):
    _fields_ = [("bytesused", ctypes.c_uint32), ("length", ctypes.c_uint32), ("m", ctypes.c_uint64),
                ("data_offset", ctypes.c_uint32), ("reserved", ctypes.c_uint32 * 11)]


class Buffer(ctypes.Structure):
    _fields_ = [("index", ctypes.c_uint32), ("type", ctypes.c_uint32), ("bytesused", ctypes.c_uint32),
                ("flags", ctypes.c_uint32), ("field", ctypes.c_uint32), ("timestamp", Timeval),
                ("timecode", ctypes.c_uint8 * 16), ("sequence", ctypes.c_uint32), ("memory", ctypes.c_uint32),
                ("planes", ctypes.POINTER(Plane)), ("length", ctypes.c_uint32), ("reserved", ctypes.c_uint32 * 2)]


assert ctypes.sizeof(Plane) == 64 and ctypes.sizeof(Buffer) == 88


def parameter(name, value=None):
    """Reads, or sets, one of the module's."""
    if value is None:
        return (PARAMETERS / name).read_text().strip()
    (PARAMETERS / name).write_text(str(value))
    return None


def counters():
    return {file.name: int(file.read_text()) for file in PARAMETERS.iterdir() if file.name.startswith(("n_", "live_"))}


class habits:  # pylint: disable=invalid-name
    """with habits(abort_every=3): ... and as they were afterwards."""

    def __init__(self, **parameters):
        self.wanted = parameters

    def __enter__(self):
        self.before = {name: parameter(name) for name in self.wanted}
        for name, value in self.wanted.items():
            parameter(name, value)

    def __exit__(self, *_):
        for name, value in self.before.items():
            parameter(name, value)


class Format:
    def __init__(self, fd, kind, request, fourcc="", size=(0, 0), bpl=0, sizeimage=0, ycbcr=0):
        raw = bytearray(208)
        struct.pack_into("<I", raw, 0, kind)
        if request != G_FMT:
            struct.pack_into("<II4sI", raw, 8, *size, fourcc.encode(), 1)
            struct.pack_into("<I", raw, 24, 3 if ycbcr else 0)  # REC709, so that ycbcr_enc counts
            struct.pack_into("<II", raw, 28, sizeimage, bpl)
            raw[188] = 1
            raw[190] = ycbcr
        fcntl.ioctl(fd, request, raw)
        self.width, self.height, fourcc = struct.unpack_from("<II4s", raw, 8)
        self.fourcc = fourcc.decode()
        self.sizeimage, self.bpl = struct.unpack_from("<II", raw, 28)


class Out:
    """A CAPTURE buffer that came back."""

    def __init__(self, buffer, data):
        self.us = buffer.timestamp.s * 1000000 + buffer.timestamp.us
        self.flags, self.sequence, self.data = buffer.flags, buffer.sequence, data
        self.key, self.error, self.last = (bool(buffer.flags & flag) for flag in (KEY, ERROR, LAST))

    def __repr__(self):
        return f"<{self.us} us, {len(self.data)} bytes{' KEY' * self.key}{' ERROR' * self.error}{' LAST' * self.last}>"


class Memory:
    def __init__(self, fd, length, offset=0):
        self.fd, self.map = fd, mmap.mmap(fd, length, offset=offset)


def heap(length, name="/dev/dma_heap/linux,cma"):
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        raw = bytearray(struct.pack("<QIIQ", length, 0, os.O_RDWR | os.O_CLOEXEC, 0))
        fcntl.ioctl(fd, HEAP_ALLOC, raw)
    finally:
        os.close(fd)
    return Memory(struct.unpack_from("<I", raw, 8)[0], length)


class Pipe:
    """One open file, both queues set up. Inputs are MMAP buffers, or dma-bufs of the heap."""

    # pylint: disable=too-many-instance-attributes
    def __init__(self, path, fourcc, size, to="H264", to_size=None, n_in=4, n_out=4, imported=False, bpl=0, ycbcr=0,
                 controls=()):
        # pylint: disable=too-many-arguments
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.src = Format(self.fd, OUTPUT, S_FMT, fourcc, size, bpl, ycbcr=ycbcr)
        self.dst = Format(self.fd, CAPTURE, S_FMT, to, to_size or size)
        for ident, value in controls:
            self.control(ident, value)
        self.memory = DMABUF if imported else MMAP
        self.inputs = self._buffers(OUTPUT, self.memory, n_in, self.src.sizeimage)
        self.outputs = self._buffers(CAPTURE, MMAP, n_out, self.dst.sizeimage)
        self.free = list(range(len(self.inputs)))
        self.taken = 0  # inputs given to the device
        self.returned = []  # time stamps of inputs that came back
        self.out = []
        for i in range(len(self.outputs)):
            self._queue(CAPTURE, MMAP, i, len(self.outputs[i].map))

    def _buffers(self, kind, memory, count, size):
        raw = bytearray(struct.pack("<5I", count, kind, memory, 0, 0))
        fcntl.ioctl(self.fd, REQBUFS, raw)
        buffers = []
        for i in range(struct.unpack_from("<I", raw)[0]):
            if memory == DMABUF:
                buffers.append(heap(size + 4095 & ~4095))
                continue
            plane = Plane()
            buffer = Buffer(index=i, type=kind, memory=memory, length=1, planes=ctypes.pointer(plane))
            fcntl.ioctl(self.fd, QUERYBUF, buffer)
            buffers.append(Memory(self.fd, plane.length, plane.m & 0xffffffff))
        return buffers

    def _queue(self, kind, memory, index, length, used=0, us=0):
        fd = self.inputs[index].fd if memory == DMABUF else 0
        plane = Plane(bytesused=used, length=length, m=fd)
        buffer = Buffer(index=index, type=kind, memory=memory, length=1, planes=ctypes.pointer(plane), field=1,
                        timestamp=Timeval(us // 1000000, us % 1000000))
        fcntl.ioctl(self.fd, QBUF, buffer)

    def _dequeue(self, kind, memory):
        plane = Plane()
        buffer = Buffer(type=kind, memory=memory, length=1, planes=ctypes.pointer(plane))
        try:
            fcntl.ioctl(self.fd, DQBUF, buffer)
        except (BlockingIOError, BrokenPipeError):  # nothing there; the last buffer has been taken
            return None, None
        return buffer, plane

    def control(self, ident, value):
        fcntl.ioctl(self.fd, S_CTRL, bytearray(struct.pack("<Ii", ident, value)))

    def stream(self, on=True, kinds=(OUTPUT, CAPTURE)):
        for kind in kinds:
            fcntl.ioctl(self.fd, STREAMON if on else STREAMOFF, struct.pack("<i", kind))

    def stop(self):
        fcntl.ioctl(self.fd, ENCODER_CMD, bytearray(struct.pack("<10I", 1, *[0] * 9)))

    def submit(self, frame, us=None):
        """`frame`: lines without padding. False: no free buffer."""
        if not self.free:
            return False
        index = self.free.pop(0)
        self.inputs[index].map[: self.src.sizeimage] = padded(frame, self.src)
        self.taken += 1
        self._queue(OUTPUT, self.memory, index, len(self.inputs[index].map), self.src.sizeimage,
                    self.taken * 40000 if us is None else us)
        return True

    def _inputs_back(self):
        before = len(self.returned)
        while True:
            buffer, _ = self._dequeue(OUTPUT, self.memory)
            if buffer is None:
                return len(self.returned) > before
            self.free.append(buffer.index)
            self.returned.append(buffer.timestamp.s * 1000000 + buffer.timestamp.us)

    def collect(self, timeout=1.0):
        """Takes what has come back; waits until something has. False: nothing came."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN | select.POLLOUT)
        if not poll.poll(timeout * 1000):
            return False
        got = self._inputs_back()
        while True:
            buffer, plane = self._dequeue(CAPTURE, MMAP)
            if buffer is None:
                break
            got = True
            self.out.append(Out(buffer, self.outputs[buffer.index].map[: plane.bytesused]))
            if buffer.flags & LAST:
                break
            self._queue(CAPTURE, MMAP, buffer.index, len(self.outputs[buffer.index].map))
        return got

    def run(self, frames, drain=True, silence=2.0):
        """All of them through, until the last buffer or until nothing has come for `silence` seconds (of waiting:
        a machine that is busy with something else does not count)."""
        frames = iter(frames)
        frame = next(frames, None)
        stopped = not drain
        quiet = 0
        while quiet < 4 and not (self.out and self.out[-1].last):
            while frame is not None and self.submit(frame):
                frame = next(frames, None)
            if frame is None and not stopped:
                stopped = True
                self.stop()
            if self.collect(silence / 4):
                quiet = 0
                continue
            quiet += 1
            if frame is None and not drain and len(self.returned) == self.taken:
                break
        self._inputs_back()
        return self.out

    def stream_of(self):
        """The coded bytes of all good buffers."""
        return b"".join(out.data for out in self.out if not out.error and out.us)

    def close(self):
        for memory in self.inputs + self.outputs:
            memory.map.close()
            if memory.fd != self.fd:
                os.close(memory.fd)
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def rows(fourcc, width, height):
    """(bytes, lines, share of the stride) of each part of the image."""
    if fourcc == "NV12":
        return [(width, height, 1), (width, height // 2, 1)]
    if fourcc == "YU12":
        return [(width, height, 1), (width // 2, height // 2, 2), (width // 2, height // 2, 2)]
    return [(width * {"YUYV": 2, "RGB3": 3}[fourcc], height, 1)]


def padded(frame, form):
    if sum(size * lines for size, lines, _ in rows(form.fourcc, form.width, form.height)) == form.sizeimage:
        return frame
    parts, at = [], 0
    for size, lines, share in rows(form.fourcc, form.width, form.height):
        padding = bytes([0xee]) * (form.bpl // share - size)
        for _ in range(lines):
            parts += [frame[at : at + size], padding]
            at += size
    return b"".join(parts)


def tight(data, form):
    """The image without the ends of its lines."""
    parts, at = [], 0
    for size, lines, share in rows(form.fourcc, form.width, form.height):
        for _ in range(lines):
            parts.append(data[at : at + size])
            at += form.bpl // share
    return b"".join(parts)


def frame_size(fourcc, width, height):
    return sum(size * lines for size, lines, _ in rows(fourcc, width, height))


def components(frame, fourcc, width, height):
    """(samples, width, height) of Y, Cb and Cr."""
    if fourcc == "YUYV":
        return [(frame[0::2], width, height), (frame[1::4], width // 2, height), (frame[3::4], width // 2, height)]
    luma, chroma = frame[: width * height], frame[width * height :]
    half = len(chroma) // 2
    pair = (chroma[0::2], chroma[1::2]) if fourcc == "NV12" else (chroma[:half], chroma[half:])
    return [(luma, width, height)] + [(plane, width // 2, height // 2) for plane in pair]


def i420(frame, fourcc, width, height):
    """What the encoder codes: of 4:2:2 chroma the even lines."""
    parts = []
    for plane, w, h in components(frame, fourcc, width, height):
        if fourcc == "YUYV" and w < width:
            plane = b"".join(plane[y * w : y * w + w] for y in range(0, h, 2))
        parts.append(plane)
    return b"".join(parts)
