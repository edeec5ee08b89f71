#!/usr/bin/env python3
"""TLS, limits and time: what the front does with clients good and bad. See door_client.py."""
import contextlib
import os
import random
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time

from door_client import PATIENCE, Connection, Server, context, pattern, run, test


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
def half_heads_behind_a_request(s):
    """Whoever was served and begins to ask again keeps no worker meanwhile."""
    clients = [s.connect() for _ in range(30)]
    for c in clients:
        assert c.ask("/hello").status == 200
        c.send("GET /hello HTTP/1.1\r\nHo")
    s.until("the workers are free", lambda n: n["backends"] <= 1)
    for c in clients[:5]:
        c.send("st: x\r\n\r\n")
        assert c.reply().status == 200
    for c in clients:
        c.sock.close()
    s.until("they are gone", lambda n: n["connections"] <= 1)


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


@test
def chaos(s):
    """Clients that do whatever comes to their mind, at any moment; then all is as before."""
    def client(seed):
        dice = random.Random(seed)
        for _ in range(12):
            with contextlib.suppress(OSError, ssl.SSLError):
                c = s.connect(tls=dice.random() < 0.8)
                c.sock.settimeout(dice.choice((0.01, 0.1, 1)))
                for _ in range(dice.randrange(6)):
                    request = dice.choice((
                        "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n",
                        "GET /bytes/300000 HTTP/1.1\r\nHost: x\r\n\r\n",
                        "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n",
                        "GET /wait?ms=100 HTTP/1.1\r\nHost: x\r\n\r\n",
                        "GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
                        "Content-Type: application/json\r\n\r\n{\"a\": 12}",
                        "\r\n\r\n", "rubbish", "X" * dice.randrange(40000))).encode()
                    while request:
                        n = dice.choice((1, 7, 100, len(request)))
                        c.send(request[:n])
                        request = request[n:] if n < 5 or dice.random() < 0.97 else b""
                    what = dice.randrange(5)
                    if what == 0:
                        for _ in range(dice.randrange(50)):
                            c.sock.recv(65536)
                    elif what == 1:
                        c.sock.recv(dice.randrange(1, 100000))
                    elif what == 2:
                        c.sock.shutdown(socket.SHUT_WR)
                    elif what == 3:
                        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                          struct.pack("ii", 1, 0))
                        break
                c.sock.close()

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    s.until("all are gone", lambda n: n["connections"] <= 12 and n["backends"] <= 8)
    with s.connect() as c:
        assert c.ask("/bytes/1000003").body == pattern(1000003)


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


run(waiting={"idle_clients_go_later", "long_polls_are_not_cut", "slow_bodies", "dripping_heads"})
run("plain=1", waiting={"slow_bodies", "dripping_heads"}, alone={
    "versions", "alpn", "certificate", "resumption", "plain_http_on_the_tls_port",
    "rubbish_on_the_tls_port", "refused_starts", "too_many_from_one_address", "too_many_at_all",
    "two_hundred_clients", "no_more_descriptors", "addresses", "safe_mode", "ends_at_once",
    "idle_clients_go_later", "long_polls_are_not_cut"})
