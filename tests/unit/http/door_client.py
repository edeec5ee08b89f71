"""What test_door.py and test_door_http.py share: the server (door_server.c), a client that
speaks raw bytes, and the running of tests.

The server is built in a hurry: its time-outs are a tenth of what tls_front.c says.
usage of the tests: TEST.py DOOR_SERVER [NAME ..]
"""
import gzip
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
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


def run(*options, alone=(), waiting=()):
    """Each test against one server, with these options; `alone` are left out; those that are
    `waiting` do so side by side."""
    only = sys.argv[2:]
    failures, threads = [], []
    with tempfile.TemporaryDirectory() as folder:
        content = prepare(folder)
        server = Server(folder, "max=512", "per_address=512", *options)
        server.folder, server.content = folder, content
        with open(os.path.join(folder, "web", "late.txt"), "w") as file:
            file.write("not there at the start")

        def one(function):
            try:
                function(server)
                print(f"ok {function.__name__}{' plain' if server.plain else ''}", flush=True)
            except BaseException as error:  # told at the end
                failures.append(function.__name__)
                traceback.print_exception(error)

        for function in tests:
            name = function.__name__
            if (only and name not in only) or name in alone:
                continue
            if name in waiting:
                threads.append(threading.Thread(target=one, args=(function,)))
                threads[-1].start()
            else:
                one(function)
            if failures:
                break
        for thread in threads:
            thread.join()
        server.end()
    if failures:
        sys.exit(f"failed: {', '.join(failures)}")
