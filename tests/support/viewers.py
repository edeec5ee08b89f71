"""tests/support/viewers.py - viewers of the live routes, many in one asyncio thread. Standard library only.

An InstantViewer follows live.ws and checks that no frame is missing (by the sequence numbers); an HlsViewer does
what an LL-HLS player does: blocking reload, part by part. Both over HTTPS, each from an address of its own.
"""

import asyncio
import base64
import json
import os
import re
import ssl
import struct
import time


def insecure_context():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Connection:
    """One keep-alive HTTP/1.1 connection."""

    def __init__(self, host, port, token, source):
        self.host, self.port, self.token, self.source = host, port, token, source
        self.reader = self.writer = None

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection(
            self.host, self.port, ssl=insecure_context(), local_addr=(self.source, 0), server_hostname="localhost")

    async def send(self, path, extra=""):
        self.writer.write((f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.token}\r\n"
                           f"{extra}\r\n").encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        return int(head.split()[1]), head

    async def get(self, path):
        status, head = await self.send(path)
        length = re.search(r"(?i)^content-length: *(\d+)", head, re.M)
        return status, await self.reader.readexactly(int(length.group(1)))

    def close(self):
        if self.writer is not None:
            self.writer.close()


def boxes(data):
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8:at + size]
        at += size


def numbers(data):
    """The sequence number (mfhd) of each fragment in `data`: one a frame, with no hole."""
    for kind, moof in boxes(data):
        if kind == b"moof":
            for kind2, mfhd in boxes(moof):
                if kind2 == b"mfhd":
                    yield struct.unpack_from(">I", mfhd, 4)[0]


class Viewer:
    def __init__(self, petcam, number, camera="cam0"):
        # Addresses 127.1.x.y are all this machine: one a viewer, as in a real home.
        self.source = f"127.1.{number // 250}.{number % 250 + 1}"
        self.connection = Connection(petcam.host, petcam.port, petcam.token, self.source)
        self.camera = camera
        self.bytes = self.frames = self.gaps = 0
        self.last = None
        self.longest_wait = 0.0
        self.errors = []

    def account(self, data):
        self.bytes += len(data)
        for number in numbers(data):
            if self.last is not None and number != self.last + 1:
                self.gaps += 1
            self.last = number
            self.frames += 1

    async def run(self, until):
        try:
            await self.connection.open()
            await self.watch(until)
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            self.errors.append(repr(error))
        finally:
            self.connection.close()


class InstantViewer(Viewer):
    async def watch(self, until):
        key = base64.b64encode(os.urandom(16)).decode()
        status, head = await self.connection.send(
            f"/cameras/{self.camera}/live.ws",
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"Origin: https://localhost\r\n")
        if status != 101:
            self.errors.append(head)
            return
        reader = self.connection.reader
        arrived = time.monotonic()
        while time.monotonic() < until:
            head = await asyncio.wait_for(reader.readexactly(2), 10)
            size = head[1] & 0x7F
            if size == 126:
                size = struct.unpack(">H", await reader.readexactly(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", await reader.readexactly(8))[0]
            data = await reader.readexactly(size)
            now = time.monotonic()
            if self.frames > 0:
                self.longest_wait = max(self.longest_wait, now - arrived)
            arrived = now
            if head[0] & 0x0F == 2:
                self.account(data)
            elif head[0] & 0x0F == 1:
                json.loads(data)
            elif head[0] & 0x0F == 8:
                self.errors.append("closed by the server")
                return


class HlsViewer(Viewer):
    async def watch(self, until):
        base = f"/cameras/{self.camera}/hls/"
        status, body = await self.connection.get(base + "media.m3u8")
        while status == 503 and time.monotonic() < until:
            await asyncio.sleep(0.2)
            status, body = await self.connection.get(base + "media.m3u8")
        done = None
        while time.monotonic() < until and status == 200:
            text = body.decode()
            parts = re.findall(r'#EXT-X-PART:[^\n]*URI="([^"]+)"', text)
            if done is None:
                start = parts[-1:]
            else:
                start = parts[parts.index(done) + 1:] if done in parts else parts[-1:]
                if done not in parts:
                    self.gaps += 1
            asked = time.monotonic()
            for part in start:
                status, data = await self.connection.get(base + part)
                if status != 200:
                    self.errors.append(f"{part}: {status}")
                    return
                self.account(data)
                done = part
            hint = re.search(r'#EXT-X-PRELOAD-HINT:[^\n]*URI="part-(\d+)\.(\d+)', text)
            status, body = await self.connection.get(
                f"{base}media.m3u8?_HLS_msn={hint.group(1)}&_HLS_part={hint.group(2)}")
            self.longest_wait = max(self.longest_wait, time.monotonic() - asked)
        if status != 200:
            self.errors.append(f"playlist: {status}")


def watch(viewers, seconds):
    async def all_of_them():
        until = time.monotonic() + seconds
        await asyncio.gather(*(viewer.run(until) for viewer in viewers))

    asyncio.run(all_of_them())
    return viewers
