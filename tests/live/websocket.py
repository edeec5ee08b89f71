"""A WebSocket client (RFC 6455) in a page: enough to watch the instant view and to be slow,
rude or silent about it."""
import base64
import hashlib
import os
import socket
import ssl
import struct
import urllib.parse

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(f'{status} {body[:200]!r}')
        self.status = status


class WebSocket:
    def __init__(self, url, headers=None, timeout=10, receive_buffer=None):
        parts = urllib.parse.urlsplit(url)
        secure = parts.scheme in ('https', 'wss')
        port = parts.port or (443 if secure else 80)
        raw = socket.socket(socket.AF_INET6 if ':' in parts.hostname else socket.AF_INET)
        if receive_buffer is not None:  # before connecting: it is the window
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(timeout)
        raw.connect((parts.hostname, port))
        if secure:
            context = ssl._create_unverified_context()
            raw = context.wrap_socket(raw, server_hostname=parts.hostname)
        self.socket = raw
        self.pending = b''
        key = base64.b64encode(os.urandom(16)).decode()
        target = parts.path + ('?' + parts.query if parts.query else '')
        lines = [f'GET {target} HTTP/1.1', f'Host: {parts.netloc}', 'Upgrade: websocket',
                 'Connection: Upgrade', 'Sec-WebSocket-Version: 13', f'Sec-WebSocket-Key: {key}']
        lines += [f'{name}: {value}' for name, value in (headers or {}).items()]
        self.socket.sendall(('\r\n'.join(lines) + '\r\n\r\n').encode())
        head = self.until(b'\r\n\r\n')
        status = int(head.split(b' ')[1])
        if status != 101:
            raise Refused(status, self.pending)
        accept = base64.b64encode(hashlib.sha1(
            key.encode() + b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest())
        if b'sec-websocket-accept: ' + accept.lower() not in head.lower():
            raise ValueError('the handshake was not answered rightly')

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError('closed without a close frame')
        self.pending += data

    def until(self, mark):
        while mark not in self.pending:
            self.more()
        head, _, self.pending = self.pending.partition(mark)
        return head

    def exactly(self, n):
        while len(self.pending) < n:
            self.more()
        data, self.pending = self.pending[:n], self.pending[n:]
        return data

    def frame(self):
        """(opcode, payload) of the next frame, whatever it is."""
        one, two = self.exactly(2)
        if not one & 0x80 or one & 0x70 or two & 0x80:
            raise ValueError(f'frame head {one:02x} {two:02x}: split, reserved or masked')
        size = two & 0x7f
        if size == 126:
            size = struct.unpack('>H', self.exactly(2))[0]
        elif size == 127:
            size = struct.unpack('>Q', self.exactly(8))[0]
        return one & 0x0f, self.exactly(size)

    def message(self):
        """The next text or binary message; pings are answered; None: a close frame came."""
        while True:
            opcode, payload = self.frame()
            if opcode == PING:
                self.send(PONG, payload)
            elif opcode == CLOSE:
                return None
            elif opcode in (TEXT, BINARY):
                return opcode, payload

    def send(self, opcode, payload=b''):
        mask = os.urandom(4)
        assert len(payload) < 126
        body = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
        self.socket.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + body)

    def close(self, code=1000):
        """Closes as RFC 6455 wants it: the code that the server answered with."""
        self.send(CLOSE, struct.pack('>H', code))
        while True:
            opcode, payload = self.frame()
            if opcode == CLOSE:
                self.socket.close()
                return struct.unpack('>H', payload[:2])[0] if payload else None

    def drop(self):
        self.socket.close()
