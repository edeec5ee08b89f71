#!/usr/bin/env python3
"""Knocks at the real server (door_server.c): TLS, limits, bad messages, replies, WebSocket.

The server is built in a hurry: its time-outs are a tenth of what tls_front.c says.
usage: test_door.py DOOR_SERVER [TEST ..]
"""
import base64
import contextlib
import gzip
import hashlib
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings

warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 is what is to be refused
PROGRAM = sys.argv[1]
PATIENCE = 30  # for things that must happen, however slow this machine is
tests = []


def test(function):
    tests.append(function)
    return function


class Server:
    def __init__(self, folder, *options):
        self.process = subprocess.Popen(
            [PROGRAM, folder, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        self.info = json.loads(line)
        self.port = self.info.get("port")
        self.backend = self.info.get("backend")
        self.plain = "plain=1" in options

    def end(self):
        out, _ = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, f"exit status {self.process.returncode}"
        return json.loads(out)["end_ms"]

    def connect(self, tls=True, source=None, **options):
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE,
                                       source_address=source)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not tls or self.plain:
            return Connection(raw)
        return Connection(context(**options).wrap_socket(raw, server_hostname="localhost"))

    def get(self, path, headers="", method="GET", body=b""):
        with self.connect() as c:
            return c.ask(path, headers, method, body)

    def counters(self):
        return self.get("/counters").json()

    def until(self, what, predicate):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            counters = self.counters()
            if predicate(counters):
                return counters
            time.sleep(0.02)
        raise AssertionError(f"never: {what}; {counters}")


def context(minimum=None, maximum=None, alpn=("http/1.1",), ca=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        c.load_verify_locations(ca)
    else:
        c.check_hostname = False
        c.verify_mode = ssl.CERT_NONE
    if minimum:
        c.minimum_version = minimum
        c.set_ciphers("ALL:@SECLEVEL=0")
    if maximum:
        c.maximum_version = maximum
    if alpn:
        c.set_alpn_protocols(list(alpn))
    return c


class Reply:
    def __init__(self, status, headers, body, whole=True):
        self.status, self.headers, self.body, self.whole = status, headers, body, whole

    def json(self):
        return json.loads(self.body)

    def problem(self, status):
        assert self.status == status, (self.status, self.body)
        assert self.headers["content-type"] == "application/problem+json"
        fields = self.json()
        assert fields["status"] == status and fields["title"] and fields["detail"]
        return fields["detail"]


class Connection:
    def __init__(self, sock):
        self.sock = sock
        self.left = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def receive(self):
        try:
            return self.sock.recv(65536)
        except (ConnectionError, ssl.SSLError):
            return b""

    def more(self):
        data = self.receive()
        self.left += data
        return bool(data)

    def reply(self, head=False):
        """The next reply; None at the end of the stream."""
        while b"\r\n\r\n" not in self.left:
            if not self.more():
                assert not self.left, self.left
                return None
        top, self.left = self.left.split(b"\r\n\r\n", 1)
        lines = top.decode().split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {}
        for line in lines[1:]:
            name, value = line.split(": ", 1)
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value
        if head or status in (101, 204, 304):
            return Reply(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Reply(status, headers, *self.chunks())
        size = int(headers["content-length"])
        body, self.left = bytearray(self.left[:size]), self.left[size:]
        while len(body) < size:
            data = self.receive()
            if not data:
                break
            self.left = data[size - len(body):]
            body += data[:size - len(body)]
        return Reply(status, headers, bytes(body), len(body) == size)

    def chunks(self):
        body = b""
        while True:
            while b"\r\n" not in self.left:
                if not self.more():
                    return body, False
            size, self.left = self.left.split(b"\r\n", 1)
            size = int(size, 16)
            while len(self.left) < size + 2:
                if not self.more():
                    return body, False
            assert self.left[size:size + 2] == b"\r\n"
            body, self.left = body + self.left[:size], self.left[size + 2:]
            if size == 0:
                return body, True

    def ask(self, path, headers="", method="GET", body=b""):
        length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
        self.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{length}{headers}\r\n".encode()
                  + body)
        return self.reply(method == "HEAD")

    def is_closed(self):
        """Waits for the end of the stream."""
        while True:
            data = self.receive()
            if not data:
                return True


def pattern(n):
    block = bytes(i * 7 & 255 for i in range(256))
    return (block * (n // 256 + 1))[:n]


# ---- TLS ----

@test
def versions(s):
    for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        with s.connect(minimum=version, maximum=version) as c:
            assert c.sock.version() == name
            assert c.sock.selected_alpn_protocol() == "http/1.1"
            assert c.sock.cipher()[0].find("CHACHA20") >= 0, c.sock.cipher()
            assert c.ask("/hello").status == 200
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        try:
            s.connect(minimum=version, maximum=version)
            raise AssertionError(f"{version} was taken")
        except (ssl.SSLError, ConnectionError) as error:
            assert "PROTOCOL_VERSION" in str(error) or "UNSUPPORTED" in str(error) \
                or isinstance(error, ConnectionError), error


@test
def alpn(s):
    with s.connect(alpn=("h2", "http/1.1")) as c:
        assert c.sock.selected_alpn_protocol() == "http/1.1"
    with s.connect(alpn=()) as c:
        assert c.sock.selected_alpn_protocol() is None
        assert c.ask("/hello").status == 200
    try:
        s.connect(alpn=("h2",))
        raise AssertionError("h2 alone was taken")
    except (ssl.SSLError, ConnectionError):
        pass


@test
def certificate(s):
    """A client that trusts the file finds this host's names and addresses in it."""
    ca = os.path.join(s.folder, "keys", "tls.crt")
    for name in ("localhost", "127.0.0.1", "::1", socket.gethostname()):
        c = context(ca=ca)
        raw = socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE)
        with c.wrap_socket(raw, server_hostname=name) as tls:
            subject = tls.getpeercert()["subject"]
            assert (("commonName", "petcam"),) in subject, subject
    raw = socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE)
    try:
        context(ca=ca).wrap_socket(raw, server_hostname="elsewhere.example")
        raise AssertionError("a wrong name was taken")
    except ssl.SSLCertVerificationError:
        pass


@test
def resumption(s):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        c = context(minimum=version, maximum=version)
        session = None
        for turn in range(2):
            raw = socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE)
            with c.wrap_socket(raw, server_hostname="localhost", session=session) as tls:
                assert Connection(tls).ask("/hello").status == 200
                session = tls.session
                assert tls.session_reused == (turn == 1), (version, turn)


@test
def plain_http_on_the_tls_port(s):
    with s.connect(tls=False) as c:
        c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        reply = c.reply()
        assert reply.status == 400 and b"https://" in reply.body and reply.whole


@test
def rubbish_on_the_tls_port(s):
    for junk in (b"\x00", b"\x16\x03\x01\xff\xff" + b"\x00" * 100, b"\x80" * 5000, os.urandom(3000),
                 b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"):
        with s.connect(tls=False) as c:
            with contextlib.suppress(ConnectionError):
                c.send(junk)
                c.sock.shutdown(socket.SHUT_WR)
            assert c.is_closed()


# ---- limits and time ----

@test
def silent_clients_go(s):
    """No handshake, no request, half a request: all closed; one that is served is not."""
    kept = s.connect()
    assert kept.ask("/hello").status == 200
    silent = s.connect(tls=False)
    shaken = s.connect()
    half = s.connect()
    half.send("GET /hello HTTP/1.1\r\nHost:")
    before = s.counters()["timed_out"]
    for c in (silent, shaken, half):
        assert c.is_closed()
        c.sock.close()
    assert s.counters()["timed_out"] >= before + 3
    assert kept.ask("/hello").status == 200
    kept.sock.close()


@test
def dripping_heads(s):
    """A head of a byte at a time never gets a worker, and is cut off."""
    drips = [s.connect() for _ in range(20)]
    stop = threading.Event()

    def drip():
        head = b"GET /hello HTTP/1.1\r\nX: " + b"y" * 10000
        for i in range(len(head)):
            if stop.wait(0.05):
                return
            for c in drips:
                with contextlib.suppress(OSError):
                    c.send(head[i:i + 1])

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    with s.connect() as c:
        for _ in range(20):
            counters = c.ask("/counters").json()
            assert counters["connections"] > 20 and counters["backends"] < 12, counters
    for c in drips:
        assert c.is_closed()
    stop.set()
    thread.join()


@test
def idle_clients_go_later(s):
    """A served client may idle for a while, without a worker, and goes on where it was."""
    with tempfile.TemporaryDirectory() as folder:
        t = Server(folder)
        with t.connect() as c:
            assert c.ask("/hello").status == 200
            t.until("the worker is free", lambda n: n["backends"] <= 1)
            assert c.ask("/hello").status == 200
            begun = time.monotonic()
            assert c.is_closed()
            assert time.monotonic() - begun > 3  # 60 s in a hurry are 6
        t.end()


@test
def long_polls_are_not_cut(s):
    """A server that is silent for longer than any client might be."""
    with s.connect() as c:
        assert c.ask("/wait?ms=7500").json() == {"waited": True}
        assert c.ask("/hello").status == 200


@test
def hang_ups_are_noticed(s):
    before = s.counters()
    how = [
        lambda c: c.sock.close(),
        lambda c: c.sock.shutdown(socket.SHUT_RDWR),
        lambda c: c.sock.close() if s.plain else c.sock.unwrap().close(),
        lambda c: (c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)),
                   c.sock.close()),
    ]
    for hang_up in how:
        c = s.connect()
        c.send("GET /wait?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n")
        n = before["waits_begun"] + 1
        s.until("it waits", lambda k: k["waits_begun"] >= n)
        with contextlib.suppress(OSError, ssl.SSLError):
            c.sock.settimeout(1)
            hang_up(c)
        before = s.until("it ends", lambda k: k["waits_aborted"] > before["waits_aborted"])


@test
def half_closed(s):
    """A request, then the end of the client's stream: the reply still comes."""
    if not s.plain:
        return  # Python cannot half-close TLS
    with s.connect() as c:
        c.send("GET /bytes/300000 HTTP/1.1\r\nHost: x\r\n\r\n")
        c.sock.shutdown(socket.SHUT_WR)
        assert c.reply().body == pattern(300000)
        assert c.is_closed()


@test
def slow_bodies(s):
    with s.connect() as c:
        c.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
               "Content-Length: 900\r\n\r\n{")
        done = threading.Event()

        def drip():
            while not done.wait(0.05):
                with contextlib.suppress(OSError):
                    c.send(b" ")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        reply = c.reply()
        done.set()
        thread.join()
        assert "within" in reply.problem(408)
        assert c.is_closed()


@test
def slow_readers_hold_little(s):
    """A viewer that stops reading stops its handler within about a second of 2 Mbit/s, and
    nobody else."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(PATIENCE)
    raw.connect(("127.0.0.1", s.port))
    c = Connection(raw if s.plain else
                   context().wrap_socket(raw, server_hostname="localhost"))
    before = s.counters()
    c.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
    s.until("it streams", lambda n: n["stream_bytes"] > before["stream_bytes"])
    last = 0
    while True:
        now = s.counters()["stream_bytes"]
        if now == last:
            break
        last = now
        time.sleep(0.1)
    held = last - before["stream_bytes"]
    print(f"    held for a stalled reader: {held // 1024} KiB")
    assert held <= 256 * 1024, held
    with s.connect() as other:
        for _ in range(50):
            assert other.ask("/bytes/100000").body == pattern(100000)
    s.until("the stalled one is given up",
            lambda n: n["streams_ended"] > before["streams_ended"])
    raw.close()


@test
def too_many_from_one_address(s):
    """Run with its own server: per_address=5."""
    with tempfile.TemporaryDirectory() as folder:
        t = Server(folder, "per_address=5")
        kept = [t.connect(tls=False, source=("127.0.0.1", 0)) for _ in range(5)]
        sixth = t.connect(tls=False, source=("127.0.0.1", 0))
        assert sixth.is_closed()
        other = t.connect(tls=False, source=("127.0.0.2", 0))
        other.sock.settimeout(0.2)
        try:
            other.sock.recv(1)
            raise AssertionError("another address was refused")
        except TimeoutError:
            pass
        kept.pop().sock.close()
        end = time.monotonic() + PATIENCE
        while True:  # the place is given to the next
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                c = t.connect()
                assert c.ask("/hello").status == 200
                break
            assert time.monotonic() < end
        t.end()


@test
def too_many_at_all(s):
    with tempfile.TemporaryDirectory() as folder:
        t = Server(folder, "max=8", "per_address=8")
        kept = [t.connect(tls=False, source=(f"127.0.0.{i + 2}", 0)) for i in range(8)]
        ninth = t.connect(tls=False, source=("127.0.0.100", 0))
        assert ninth.is_closed()
        for c in kept:
            c.sock.close()
        t.end()


@test
def two_hundred_clients(s):
    with tempfile.TemporaryDirectory() as folder:
        t = Server(folder, "max=256", "per_address=256", "viewers=1")
        clients = []
        for _ in range(200):
            clients.append(t.connect())
            assert clients[-1].ask("/hello").status == 200
        for turn in range(3):
            for i, c in enumerate(clients):
                c.send(f"GET /hello/{i}x{turn} HTTP/1.1\r\nHost: x\r\n\r\n")
            for i, c in enumerate(clients):
                reply = c.reply()
                assert reply.status == 200 and reply.json()["path"] == f"/hello/{i}x{turn}"
        # 49 workers serve 150 waiting requests one after the other.
        for c in clients[:150]:
            c.send("GET /wait?ms=50 HTTP/1.1\r\nHost: x\r\n\r\n")
        for c in clients[:150]:
            assert c.reply().json() == {"waited": True}
        for c in clients:
            c.sock.close()
        t.end()


@test
def no_more_descriptors(s):
    """A process that runs out of descriptors goes on when there are some."""
    with tempfile.TemporaryDirectory() as folder:
        t = Server(folder, "max=256", "per_address=256")
        limit = len(os.listdir(f"/proc/{t.process.pid}/fd")) + 20
        subprocess.run(["prlimit", f"--pid={t.process.pid}", f"--nofile={limit}:{limit}"],
                       check=True)
        crowd = [t.connect(tls=False) for _ in range(60)]
        time.sleep(0.3)
        for c in crowd:
            c.sock.close()
        end = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError):
                reply = t.get("/hello")
                if reply is not None and reply.status == 200:
                    break
            assert time.monotonic() < end
        t.end()


@test
def strangers_on_the_loopback_port(s):
    """Whoever finds Civetweb's own port hears nothing, whatever it says."""
    for request in ("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n", "rubbish\r\n\r\n",
                    "GET / HTTP/1.1\r\nHost: x\r\nX: " + "y" * 40000 + "\r\n\r\n",
                    "GET /cameras/cam0/live.ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n"
                    "Authorization: Bearer owner\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", s.backend), timeout=PATIENCE) as raw:
            raw.sendall(request.encode())
            got = b""
            with contextlib.suppress(ConnectionError):
                while data := raw.recv(4096):
                    got += data
            assert got == b"", got


# ---- bytes ----

@test
def downloads(s):
    with s.connect() as c:
        for n in (1, 2, 4095, 16383, 16384, 16385, 65536, 1000003, 16 << 20):
            reply = c.ask(f"/bytes/{n}")
            assert reply.headers["content-length"] == str(n)
            assert reply.body == pattern(n), n
        reply = c.ask("/bytes/1000003", method="HEAD")
        assert reply.headers["content-length"] == "1000003"
        assert c.ask("/hello").status == 200  # nothing of the body was sent


@test
def uploads(s):
    with s.connect() as c:
        for n in (1, 1000, 16384, 70000, 4 << 20):
            text = base64.b64encode(os.urandom(n))[:n]
            value = 0xcbf29ce484222325
            reply = c.ask("/hash", "Content-Type: application/json\r\n", "POST",
                          b'{"data":"' + text + b'"}')
            assert reply.json()["size"] == n
            if n <= 70000:
                for byte in text:
                    value = (value ^ byte) * 0x100000001b3 & (1 << 64) - 1
                assert reply.json()["hash"] == f"{value:016x}"


@test
def many_at_once(s):
    failures = []

    def work(seed):
        try:
            with s.connect() as c:
                for i in range(8):
                    n = (seed * 7919 + i * 104729) % 400000 + 1
                    assert c.ask(f"/bytes/{n}").body == pattern(n)
        except Exception as error:  # told below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


@test
def pipelining(s):
    with s.connect() as c:
        c.send("".join(f"GET /hello/{i} HTTP/1.1\r\nHost: x\r\n\r\n" for i in range(30)))
        for i in range(30):
            assert c.reply().json()["path"] == f"/hello/{i}"


@test
def streams(s):
    with s.connect() as c:
        reply = c.ask("/stream?limit=200000")
        assert reply.whole and len(reply.body) >= 200000
        assert reply.headers["connection"] == "close" and c.is_closed()
    with s.connect() as c:
        c.send("GET /stream?limit=200000 HTTP/1.0\r\n\r\n")
        while c.more():
            pass
        head, body = c.left.split(b"\r\n\r\n", 1)
        assert b"chunked" not in head.lower() and len(body) >= 200000 and not any(body)
    assert s.get("/stream", method="HEAD").body == b""


# ---- bad messages ----

@test
def bad_messages(s):
    big = "x" * 1000
    cases = [
        ("GET /hello HTTP/1.1\r\n\r\n", 400),  # no Host
        ("GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nHost: a\"\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", 400),
        ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\n\r\n", 400),
        ("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        ("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nabcde", 400),
        ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nabcde", 400),
        ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nabcde", 400),
        ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\nabcde", 411),
        ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 411),
        ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
        ("GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 413),
        ("GET /hello HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        ("BREW /hello HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("rubbish\r\n\r\n", 400),
        ("\x01\x02\x03\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nHost: x\r\nno colon here\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nHost: x\r\n" + "A: b\r\n" * 70 + "\r\n", 431),
        ("GET /hello HTTP/1.1\r\nHost: x\r\n" + f"X: {big}\r\n" * 64 + "\r\n", 431),  # 64 KB
        ("GET /" + "a" * 20000 + " HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    ]
    for message, status in cases:
        with s.connect() as c:
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                c.send(message)
            reply = c.reply()
            assert reply is not None, f"no reply to {message[:80]!r}"
            try:
                reply.problem(status)
            except AssertionError as error:
                raise AssertionError(f"{message[:80]!r}: {error}") from None
            assert reply.headers["x-content-type-options"] == "nosniff"
            if status != 413 or "hello" not in message:
                assert reply.headers["connection"] == "close"
            assert c.is_closed()
    with s.connect() as c:
        for path in ("/hello/%2e%2e", "/hello/../x", "//hello", "/hello/", "/hello/.", "/a;b"):
            c.ask(path).problem(400)
        assert c.ask("/nothing").problem(404)
        reply = c.ask("/hello", method="POST", headers="Content-Type: application/json\r\n")
        assert reply.headers["allow"] == "GET, HEAD" and reply.problem(405)
        assert c.ask("/hello", method="OPTIONS").status == 405
        assert "access-control-allow-origin" not in c.ask("/hello", "Origin: https://x\r\n").headers


@test
def smuggling(s):
    """What comes behind a refused body is not taken for a request."""
    with s.connect() as c:
        inner = "GET /wait?ms=0 HTTP/1.1\r\nHost: x\r\n\r\n"
        c.send("POST /hello HTTP/1.1\r\nHost: x\r\n"
               f"Content-Length: {len(inner)}\r\n\r\n{inner}")
        assert c.reply().status == 405
        assert c.reply() is None


@test
def bodies(s):
    kind = "Content-Type: application/json\r\n"
    with s.connect() as c:
        assert c.ask("/echo", kind, "POST", b'{"a": [1, "\xc3\xa9"]}').json() == {"a": [1, "\u00e9"]}
        assert c.ask("/echo", "Content-Type: Application/JSON; charset=utf-8\r\n", "POST",
                     b'{}').json() == {}
        assert c.ask("/echo", "Content-Type: application/merge-patch+json\r\n", "POST",
                     b'{}').status == 200
        assert "line 1, column 7" in c.ask("/echo", kind, "POST", b'{"a": 1').problem(400)
        assert "duplicate" in c.ask("/echo", kind, "POST", b'{"a": 1, "a": 2}').problem(400)
        assert "object" in c.ask("/echo", kind, "POST", b'[1]').problem(400)
        for bad in (b'{"a":"\xff"}', b'{"a":"\\u0000"}', b'{"a":NaN}', b'{} x', b'\x00', b'{"\xc0\xaf":1}'):
            c.ask("/echo", kind, "POST", bad).problem(400)
        assert "deep" in c.ask("/echo", kind, "POST",
                               b'{"a":' + b"[" * 400 + b"]" * 400 + b"}").problem(400)
        assert c.ask("/echo", kind, "POST", b'{"a":"' + b"[" * 400 + b'\\""}').status == 200
        assert c.ask("/echo", kind, "POST", b"").problem(400)
    for type_ in ("", "Content-Type: text/plain\r\n", "Content-Type: application/jsonx\r\n"):
        with s.connect() as c:
            c.ask("/echo", type_, "POST", b"{}").problem(415)
    with s.connect() as c:
        c.ask("/echo", kind, "POST", b'{"a":"' + b"x" * 1000 + b'"}').problem(413)
        assert c.is_closed()
    with s.connect() as c:
        c.send("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
               f"{kind}Content-Length: 7\r\n\r\n")
        while b"\r\n\r\n" not in c.left:
            assert c.more()
        assert c.left.startswith(b"HTTP/1.1 100 ")
        c.left = b""
        c.send(b'{"a":1}')
        assert c.reply().json() == {"a": 1}


# ---- replies ----

@test
def heads(s):
    with s.connect() as c:
        reply = c.ask("/hello?a=b&c")
        assert reply.json() == {"path": "/hello", "query": "a=b&c", "peer": "127.0.0.1"}
        h = reply.headers
        assert h["x-test"] == "1" and h["cache-control"] == "no-store"
        assert h["x-content-type-options"] == "nosniff" and h["x-frame-options"] == "DENY"
        assert h["referrer-policy"] == "no-referrer" and "default-src 'none'" in \
            h["content-security-policy"]
        assert "connection" not in h and "server" not in h and "date" in h
        assert "strict-transport-security" not in h  # localhost
        c.send("GET /hello HTTP/1.1\r\nHost: pet.example\r\n\r\n")
        assert ("strict-transport-security" in c.reply().headers) == (not s.plain)
        assert "quote" in c.ask("/problem?%22").problem(409)
        assert c.ask("/silent").problem(500)
        assert c.ask("/twice").status == 204
        assert "content-length" not in c.ask("/twice").headers
        assert c.ask("/hello", "Connection: close\r\n").headers["connection"] == "close"
        assert c.is_closed()
    with s.connect() as c:
        c.send("GET /hello HTTP/1.0\r\n\r\n")
        assert c.reply().headers["connection"] == "close" and c.is_closed()
    with s.connect() as c:
        c.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert c.reply().headers["connection"] == "keep-alive"
        assert c.ask("/hello").status == 200


@test
def queries(s):
    with s.connect() as c:
        def ask(text):
            return c.ask("/query/7" + text).json()
        assert ask("")["r"] == -2 and ask("?x=1")["r"] == -2 and ask("?")["r"] == -2
        assert ask("?q=")["r"] == 0 and ask("?q")["r"] == 0
        assert ask("?a&q=b%20c+d&e")["q"] == "b c d"
        assert ask("?%71=%C3%A9")["q"] == "\u00e9"
        for bad in ("?q=%", "?q=%4", "?q=%zz", "?q=a%00b", "?q=1&q=2", "?q=1&q", "?q=0123456789abcdef",
                    "?%=1&q=1"):
            assert ask(bad)["r"] == -22, bad
        assert ask("?q=0123456789abcde")["r"] == 15
        assert ask("?n=100")["n"] == 100 and ask("?n=-5")["n"] == -5 and ask("?n=007")["n"] == 7
        for bad in ("", "-", "+5", "101", "-6", "1e1", "0x1", "%201", "1%20", "--1",
                    "99999999999999999999", "9223372036854775808", "-9223372036854775809"):
            assert ask("?n=" + bad)["rn"] == -22, bad
        assert c.ask("/query/9223372036854775807").json()["id"] == 9223372036854775807
        for bad in ("0", "-1", "9223372036854775808", "x", "1.0", "1x", "~1"):
            assert c.ask("/query/" + bad).json()["ri"] == -22, bad


@test
def files(s):
    content = s.content
    size = len(content)
    with s.connect() as c:
        whole = c.ask("/file")
        assert whole.status == 200 and whole.body == content
        assert whole.headers["accept-ranges"] == "bytes" and whole.headers["etag"] == '"v1"'
        assert whole.headers["cache-control"] == "private"
        for text, first, last in (("0-0", 0, 0), ("0-", 0, size - 1), ("-1", size - 1, size - 1),
                                  ("-9999999999", 0, size - 1), ("100-199", 100, 199),
                                  (f"{size - 1}-", size - 1, size - 1), ("5-99999999999", 5, size - 1),
                                  ("65530-131080", 65530, 131080)):
            reply = c.ask("/file", f"Range: bytes={text}\r\n")
            assert reply.status == 206 and reply.body == content[first:last + 1], text
            assert reply.headers["content-range"] == f"bytes {first}-{last}/{size}"
        for text in (f"{size}-", "-0", "99999999999999999999-"):
            reply = c.ask("/file", f"Range: bytes={text}\r\n")
            reply.problem(416)
            assert reply.headers["content-range"] == f"bytes */{size}"
        for text in ("bytes=0-1,3-4", "bytes=5-1", "bytes=x", "lines=0-1"):
            reply = c.ask("/file", f"Range: {text}\r\n")
            assert reply.status == 200 and reply.body == content
        part = "Range: bytes=1-2\r\n"
        assert c.ask("/file", part + 'If-Range: "v1"\r\n').status == 206
        assert c.ask("/file", part + 'If-Range: "v2"\r\n').status == 200
        assert c.ask("/file", part + 'If-Range: Wed, 21 Oct 2015 07:28:00 GMT\r\n').status == 200
        assert c.ask("/file", part, method="HEAD").headers["content-length"] == str(size)
        for tags in ('"v1"', 'W/"v1"', '"a", "v1"', "*"):
            assert c.ask("/file", f"If-None-Match: {tags}\r\n").status == 304, tags
        for tags in ('"v11"', '"a"', 'v1'):
            assert c.ask("/file", f"If-None-Match: {tags}\r\n").status == 200, tags
    with s.connect() as c:  # promised more than there is: the connection tells
        reply = c.ask("/short")
        assert not reply.whole and reply.body == content


@test
def dashboard(s):
    with s.connect() as c:
        page = c.ask("/")
        assert page.status == 200 and page.body == b"<!doctype html>hello"
        h = page.headers
        assert h["content-type"] == "text/html; charset=utf-8" and h["cache-control"] == "no-cache"
        assert "default-src 'self'" in h["content-security-policy"]
        assert f"{'ws' if s.plain else 'wss'}://localhost" in h["content-security-policy"]
        assert "unsafe" not in h["content-security-policy"]
        assert c.ask("/", f"If-None-Match: {h['etag']}\r\n").status == 304
        assert c.ask("/index.html").body == page.body
        script = c.ask("/assets/app-1.js", "Accept-Encoding: br, gzip\r\n")
        assert script.headers["content-encoding"] == "gzip"
        assert gzip.decompress(script.body) == b"let x = 1;"
        assert "immutable" in script.headers["cache-control"]
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"
        assert script.headers["vary"] == "Accept-Encoding"
        for accept in ("", "Accept-Encoding: gzip;q=0\r\n", "Accept-Encoding: br\r\n",
                       "Accept-Encoding: gzipx\r\n"):
            plain = c.ask("/assets/app-1.js", accept)
            assert plain.body == b"let x = 1;" and "content-encoding" not in plain.headers
            assert plain.headers["etag"] != script.headers["etag"]
        assert c.ask("/assets/app-1.js", "Accept-Encoding: gzip;q=0.5\r\n").headers[
            "content-encoding"] == "gzip"
        for gone in ("/assets", "/.hidden", "/link.txt", "/assets/", "/late.txt", "/keys/tls.key"):
            assert c.ask(gone).status in (400, 404), gone
    with s.connect() as c:
        assert c.ask("/index.html", method="POST").status == 404


@test
def dashboard_not_built(s):
    with tempfile.TemporaryDirectory() as folder:
        t = Server(folder)
        reply = t.get("/")
        assert reply.status == 200 and b"not built" in reply.body
        t.end()


# ---- who may ----

@test
def access(s):
    with s.connect() as c:
        def status(path, headers="", method="GET"):
            return c.ask(path, headers, method).status
        owner, viewer = "Authorization: Bearer owner\r\n", "Authorization: Bearer viewer\r\n"
        reply = c.ask("/viewer")
        assert reply.problem(401) and reply.headers["www-authenticate"].startswith("Bearer")
        assert status("/viewer", "Authorization: Bearer x\r\n") == 401
        assert status("/viewer", viewer) == 200 and status("/owner", viewer) == 403
        assert status("/owner", owner) == 200 and status("/owner") == 401
        assert status("/media") == 401 and status("/media?token=media") == 200
        assert status("/viewer?token=media") == 401 and status("/owner?token=media") == 401
        assert status("/media", viewer) == 200
        cookie = "Cookie: petcam=viewer\r\n"
        assert status("/viewer", cookie) == 200
        own = "https://localhost" if not s.plain else "http://localhost"
        for extra, wanted in (("", 403), (f"Origin: {own}\r\n", 200),
                              ("Origin: https://evil.example\r\n", 403), ("Origin: null\r\n", 403),
                              (f"Origin: {own}.evil.example\r\n", 403),
                              ("Origin: ftp://localhost\r\n", 403),
                              ("Sec-Fetch-Site: same-origin\r\n", 200),
                              ("Sec-Fetch-Site: same-site\r\n", 403),
                              ("Sec-Fetch-Site: cross-site\r\n", 403)):
            assert status("/viewer", cookie + extra, "POST") == wanted, extra
        assert status("/viewer", viewer, "POST") == 200  # a program, with its token
        assert status("/viewer", viewer + "Origin: https://evil.example\r\n", "POST") == 403


@test
def web_sockets(s):
    def upgrade(c, path="/cameras/cam0/live.ws?token=media", extra="", version="13"):
        c.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
               "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
               f"Sec-WebSocket-Version: {version}\r\n{extra}\r\n")
        return c.reply()

    own = "https://localhost" if not s.plain else "http://localhost"
    for path, extra, wanted in (("/cameras/cam0/live.ws", "", 401), ("/cameras/no/live.ws?token=media", "", 404),
                                ("/cameras/cam0/live.ws", "Cookie: petcam=viewer\r\n", 403),
                                ("/cameras/cam0/live.ws", "Cookie: petcam=viewer\r\n"
                                 "Origin: https://evil.example\r\n", 403),
                                ("/cameras/cam0/live.ws?token=media&full=1", "", 503),
                                ("/nothing", "", 404), ("/hello", "", 200)):
        with s.connect() as c:
            assert upgrade(c, path, extra).status == wanted, (path, extra)
    with s.connect() as c:
        upgrade(c, version="12").problem(426)
    before = s.counters()
    for extra in ("", f"Origin: {own}\r\n"):
        with s.connect() as c:
            reply = upgrade(c, extra="Cookie: petcam=viewer\r\n" + extra if extra else "",
                            path="/cameras/cam0/live.ws" + ("" if extra else "?token=media"))
            assert reply.status == 101
            assert reply.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            while len(c.left) < 6:
                assert c.more()
            assert c.left == b"\x81\x04cam0"
            c.left = b""
            c.send(b"\x89\x83abcd" + bytes(a ^ b for a, b in zip(b"hey", b"abc")))  # a ping
            while len(c.left) < 5:
                assert c.more()
            assert c.left == b"\x8a\x03hey"
            c.send(b"\x88\x80abcd")  # close
            assert c.is_closed()
    s.until("both are closed", lambda n: n["sockets_closed"] == before["sockets_closed"] + 2)
    with s.connect() as c:  # vanishes
        assert upgrade(c).status == 101
    s.until("it is closed", lambda n: n["sockets_closed"] == before["sockets_closed"] + 3)
    with s.connect() as c:  # talks too much
        assert upgrade(c).status == 101
        c.send(b"\x82\xff" + struct.pack(">Q", 1 << 30) + b"abcd")
        with contextlib.suppress(OSError, ssl.SSLError):
            for _ in range(10000):
                c.send(b"x" * 65536)
        assert c.is_closed()
    s.until("it is closed", lambda n: n["sockets_closed"] == before["sockets_closed"] + 4)


@test
def stacks(s):
    assert s.get("/stack").json()["stack"] >= 512 * 1024


# ---- start and end ----

@test
def safe_mode(s):
    with tempfile.TemporaryDirectory() as folder:
        t = Server(folder, "safe=petcam.cfg:3: storage.max_usage is wrong")
        with t.connect() as c:
            assert c.ask("/").status == 200 and c.ask("/version").status == 200
            assert c.ask("/health").status == 200
            for path, method in (("/setup", "POST"), ("/setup", "GET"), ("/hello", "GET"),
                                 ("/viewer", "GET"), ("/nothing", "GET")):
                assert "petcam.cfg:3: storage.max_usage" in c.ask(path, method=method).problem(503)
        t.end()
        blocked = os.path.join(folder, "blocked")
        open(blocked, "w").close()
        t = Server(blocked, "safe=no data root")  # and no certificate on disk
        assert t.get("/version").status == 200
        t.end()


@test
def refused_starts(s):
    with tempfile.TemporaryDirectory() as folder:
        for options, word in (((f"port={s.port}",), f"port {s.port} is in use: set http.port"),
                              (("address=192.0.2.1",), "http.address"),
                              (("address=rubbish",), "http.address"),
                              (("plain=1", "address=::"), "http.plain_loopback")):
            t = Server(folder, *options)
            t.process.communicate()
            assert t.process.returncode == 1 and word in t.info["why"], t.info
        with open(os.path.join(folder, "keys", "tls.crt"), "w") as file:
            file.write("rubbish")
        t = Server(folder)
        t.process.communicate()
        assert t.process.returncode == 1 and "tls.crt" in t.info["why"], t.info


@test
def addresses(s):
    with tempfile.TemporaryDirectory() as folder:
        t = Server(folder, "address=::")
        assert t.info["url"] == f"https://localhost:{t.port}"
        assert t.get("/hello").json()["peer"] == "127.0.0.1"
        if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6"):
            with contextlib.suppress(OSError):
                raw = socket.create_connection(("::1", t.port), timeout=PATIENCE)
                c = Connection(context().wrap_socket(raw, server_hostname="localhost"))
                assert c.ask("/hello").json()["peer"] == "::1"
        t.end()


@test
def ends_at_once(s):
    """With a long poll, a stream, a stalled stream, a WebSocket and an idle client open."""
    with tempfile.TemporaryDirectory() as folder:
        t = Server(folder)
        clients = [t.connect() for _ in range(6)]
        clients[0].send("GET /wait?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n")
        clients[1].send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        clients[2].send("GET /cameras/cam0/live.ws?token=media HTTP/1.1\r\nHost: x\r\n"
                        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert clients[3].ask("/hello").status == 200
        clients[4].send("GET /hel")
        t.until("all are busy", lambda n: n["waits_begun"] and n["stream_bytes"] > 100000
                and n["sockets_opened"])
        ended = t.end()
        print(f"    the end took {ended} ms")
        assert ended < 5000, ended
        for c in clients:
            assert c.is_closed()


def prepare(folder):
    web = os.path.join(folder, "web")
    os.makedirs(os.path.join(web, "assets"))
    for name, content in (("index.html", b"<!doctype html>hello"), (".hidden", b"x"),
                          ("assets/app-1.js", b"let x = 1;"),
                          ("assets/app-1.js.gz", gzip.compress(b"let x = 1;"))):
        with open(os.path.join(web, name), "wb") as file:
            file.write(content)
    os.symlink("/etc/hostname", os.path.join(web, "link.txt"))
    content = hashlib.shake_256(b"petcam").digest(300007)
    with open(os.path.join(folder, "file.bin"), "wb") as file:
        file.write(content)
    return content


def run(options):
    with tempfile.TemporaryDirectory() as folder:
        content = prepare(folder)
        server = Server(folder, "max=512", "per_address=512", *options)
        server.folder, server.content = folder, content
        with open(os.path.join(folder, "web", "late.txt"), "w") as file:
            file.write("not there at the start")
        only = sys.argv[2:]
        tls_only = {"versions", "alpn", "certificate", "resumption", "plain_http_on_the_tls_port",
                    "rubbish_on_the_tls_port", "refused_starts", "too_many_from_one_address",
                    "too_many_at_all", "two_hundred_clients", "no_more_descriptors", "addresses",
                    "safe_mode", "dashboard_not_built", "ends_at_once", "idle_clients_go_later",
                    "long_polls_are_not_cut"}
        # Those that wait do so side by side.
        waiting = {"idle_clients_go_later", "long_polls_are_not_cut", "slow_bodies",
                   "dripping_heads"}
        failures, threads = [], []

        def one(function):
            try:
                function(server)
                print(f"ok {function.__name__}{' plain' if server.plain else ''}", flush=True)
            except BaseException as error:
                failures.append(function.__name__)
                import traceback
                traceback.print_exception(error)

        for function in tests:
            name = function.__name__
            if (only and name not in only) or (server.plain and name in tls_only):
                continue
            if name in waiting:
                threads.append(threading.Thread(target=one, args=(function,)))
                threads[-1].start()
                continue
            one(function)
            if failures:
                break
        for thread in threads:
            thread.join()
        server.end()
        if failures:
            sys.exit(f"failed: {', '.join(failures)}")


run(())
run(("plain=1",))
