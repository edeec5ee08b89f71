#!/usr/bin/env python3
"""Bytes, messages, replies, access, WebSockets through the whole door. See door_client.py."""
import base64
import contextlib
import gzip
import os
import ssl
import struct
import tempfile
import threading

from door_client import Connection, Server, pattern, run, test


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
        ("GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
         400),
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
def heads_to_the_letter(s):
    """What is no head by RFC 9112 gets one answer, from the front, and no worker."""
    good = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
    for message in ("GET /hello HTTP/1.1\nHost: x\n\n", "GET /hello HTTP/1.1\nHost: x\n\r\n",
                    "GET /hello HTTP/1.1\r\nHost: x\n\r\n", "GET /hello HTTP/1.1\r\nHost: x\r\r\n\r\n",
                    "GET /hello HTTP/1.1\r\nHost : x\r\n\r\n", "GET /hello HTTP/1.1\r\nHost\t: x\r\n\r\n",
                    "GET /hello HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
                    "GET /hello HTTP/1.1\r\n Host: x\r\n\r\n", "GET /hello HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
                    "GET /hello HTTP/1.1\r\nHost: x\0y\r\n\r\n", "GET /hello HTTP/1.1\r\nHost: x\x7f\r\n\r\n",
                    " " + good, "\n" + good, "\r" + good, "\r\n\n" + good, "\t\r\n\r\n",
                    "GET https://x/hello HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
                    "GET\r\n\r\n", "GET /\r\n /hello HTTP/1.1\r\n\r\n"):
        for before in ("", good):  # on a new connection, and on one that was served
            with s.connect() as c:
                if before:
                    c.send(before)
                    assert c.reply().status == 200
                c.send(message + good)
                reply = c.reply()
                assert "malformed" in reply.problem(400), message
                assert reply.headers["connection"] == "close"
                assert c.reply() is None, message
    with s.connect() as c:  # an empty line or two before a request are forgiven
        for _ in range(3):
            c.send("\r\n\r\n" + good + "\r\n")
            assert c.reply().status == 200
    with s.connect() as c:  # what was asked before it is answered
        c.send(good + good.replace("hello", "wait?ms=300") + "rubbish\n\n")
        assert c.reply().status == 200 and c.reply().json() == {"waited": True}
        c.reply().problem(400)
        assert c.reply() is None
    with s.connect() as c:
        c.send(good + "X" * 20000)
        assert c.reply().status == 200
        c.reply().problem(431)


@test
def bytes_of_others(s):
    """Civetweb's buffers are used again: nobody learns what was in them before."""
    secret = "hunter2-hunter2"
    for _ in range(120):  # more than there are workers
        with s.connect() as c:
            c.send("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + "\r\n" * 1000)
            c.reply()
    body = '{"password":"' + secret + '"}'
    head = ("POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n")
    for _ in range(120):
        with s.connect() as c:
            c.send(head + body)
            assert secret in c.reply().body.decode()
    for before in ("", "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"):
        for _ in range(60):
            with s.connect() as c:
                c.send(before + "\r\n\r\n" + "\n" * (len(head) - 15) + "GET / HTTP/")
                c.sock.settimeout(5)
                with contextlib.suppress(TimeoutError):
                    while c.more():
                        if len(before) == 0 or b"400" in c.left:
                            break
                assert secret not in c.left.decode(), c.left


@test
def messages_in_pieces(s):
    """Requests that come joined, or in pieces however slow, are the same requests."""
    kind = "Content-Type: application/json\r\n"
    body = '{"a":"GET /hello HTTP/1.1"}'
    post = f"POST /echo HTTP/1.1\r\nHost: x\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}"
    with s.connect() as c:
        c.send((post + "GET /hello/1 HTTP/1.1\r\nHost: x\r\n\r\n") * 40)
        for _ in range(40):
            assert c.reply().json() == {"a": "GET /hello HTTP/1.1"}
            assert c.reply().json()["path"] == "/hello/1"
    with s.connect() as c:
        for i in range(0, len(post), 7):
            c.send(post[i:i + 7])
        assert c.reply().status == 200
        c.send(post + "GET /hello/2 HT")
        assert c.reply().status == 200
        s.until("the worker is free", lambda n: n["backends"] <= 1)
        c.send("TP/1.1\r\nHost: x\r\n\r\n")
        assert c.reply().json()["path"] == "/hello/2"


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
        reply = c.ask("/echo", kind, "POST", b'{"a": [1, "\xc3\xa9"]}')
        assert reply.json() == {"a": [1, "\u00e9"]}
        assert c.ask("/echo", "Content-Type: Application/JSON; charset=utf-8\r\n", "POST",
                     b'{}').json() == {}
        assert c.ask("/echo", "Content-Type: application/merge-patch+json\r\n", "POST",
                     b'{}').status == 200
        assert "line 1, column 7" in c.ask("/echo", kind, "POST", b'{"a": 1').problem(400)
        assert "duplicate" in c.ask("/echo", kind, "POST", b'{"a": 1, "a": 2}').problem(400)
        assert "object" in c.ask("/echo", kind, "POST", b'[1]').problem(400)
        for bad in (b'{"a":"\xff"}', b'{"a":"\\u0000"}', b'{"a":NaN}', b'{} x', b'\x00',
                    b'{"\xc0\xaf":1}'):
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
        for bad in ("?q=%", "?q=%4", "?q=%zz", "?q=a%00b", "?q=1&q=2", "?q=1&q",
                    "?q=0123456789abcdef", "?%=1&q=1"):
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
                                  (f"{size - 1}-", size - 1, size - 1),
                                  ("5-99999999999", 5, size - 1),
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
        os.mkdir(os.path.join(folder, "web"))  # and one that is far too large
        with open(os.path.join(folder, "web", "index.html"), "wb") as file:
            file.truncate(9 << 20)
        t = Server(folder)
        assert b"not built" in t.get("/").body
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
    for path, extra, wanted in (("/cameras/cam0/live.ws", "", 401),
                                ("/cameras/no/live.ws?token=media", "", 404),
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


run()
run("plain=1", alone={"dashboard_not_built"})
