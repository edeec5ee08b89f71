#!/usr/bin/env python3
"""tests/integration/api_test.py - the JSON API of the real daemon, the wrong input above all.

Whatever is sent, the answer is a problem that names what was wrong, and nothing changed.
"""

import base64
import concurrent.futures
import hashlib
import hmac
import json
import pathlib
import re
import socket
import ssl
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.support.petcam import PASSWORD, USERNAME, Petcam
from tests.support.viewers import InstantViewer, watch

DEMO = {"cameras.[0].source": "demo:speed=8", "cameras.[0].width": 320, "cameras.[0].height": 192,
        "storage.post_roll_s": 1.0, "log.level": "debug"}


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def refused(petcam, method, path, status, word="", **more):
    """The answer is this problem."""
    got, headers, data = petcam.request(method, path, **more)
    check(got == status, f"{method} {path}: {got} {data}, not {status}")
    check(headers["Content-Type"] == "application/problem+json", f"{path}: {headers['Content-Type']}")
    check(data["status"] == status and data["type"] == "about:blank" and data["title"], data)
    check(word in data["detail"], f"{method} {path}: {word!r} is not in {data['detail']!r}")
    return headers


def setup_body(code, **changes):
    body = {"setup_code": code, "username": USERNAME, "password": PASSWORD,
            "consent": {"video": True, "audio": False}, "retention_days": 30}
    body.update(changes)
    return {key: value for key, value in body.items() if value is not None}


def test_setup(petcam):
    code = petcam.ready["setup_code"]
    check(code is not None and len(code.replace("-", "")) >= 8, code)
    check(petcam.get("/setup") == (200, {"setup_needed": True}), "GET /setup")
    for path in ("/events", "/cameras", "/live", "/metrics", "/recordings", "/alerts", "/events/stream",
                 "/cameras/cam0/snapshot.jpg", "/cameras/cam0/hls/media.m3u8"):
        headers = refused(petcam, "GET", path, 401)
        check("Bearer" in headers["WWW-Authenticate"], path)
    refused(petcam, "POST", "/session", 409, "set it up", body={"username": "a", "password": "b"})
    wrong = {
        "setup_code": [7, "", None], "username": [7, "", " x", "x\n", "x" * 64, None],
        "password": [7, "short", "x" * 129, USERNAME, None],
        "consent": [True, {}, {"video": True}, {"video": 1, "audio": 0}, {"video": True, "audio": True, "x": 1}, None],
        "retention_days": ["30", -1, 3651, 1.5, None], "surprise": [1]}
    for name, values in wrong.items():
        for value in values:
            body = setup_body(code, **{name: value})
            if name == "password" and value == USERNAME:
                body["username"] = body["password"] = "longowner"
            detail_word = "x" if name == "consent" and value and "x" in str(value) else name
            refused(petcam, "POST", "/setup", 400, detail_word, body=body)
    refused(petcam, "POST", "/setup", 400, body="{", headers={"Content-Type": "application/json"})
    refused(petcam, "POST", "/setup", 400, body=[])
    refused(petcam, "POST", "/setup", 400, body='{"a": 1, "a": 2}', headers={"Content-Type": "application/json"})
    refused(petcam, "POST", "/setup", 415, body="x", headers={"Content-Type": "text/plain"})
    refused(petcam, "POST", "/setup", 413, body=setup_body("x" * 5000))
    refused(petcam, "PUT", "/setup", 405)
    refused(petcam, "POST", "/setup", 403, "code", body=setup_body("WRONG-WRONG"))
    status, data = petcam.post("/setup", setup_body(code.lower().replace("-", " ")))
    check(status == 201 and data["username"] == USERNAME, f"{status} {data}")
    check(petcam.get("/setup") == (200, {"setup_needed": False}), "GET /setup")
    refused(petcam, "POST", "/setup", 409, body=setup_body(code))


def test_tenth_wrong_code():
    with Petcam(DEMO) as petcam:
        code = petcam.ready["setup_code"]
        for _ in range(9):
            refused(petcam, "POST", "/setup", 403, body=setup_body("WRONG-WRONG"))
        headers = refused(petcam, "POST", "/setup", 429, body=setup_body("WRONG-WRONG"))
        check(50 <= int(headers["Retry-After"]) <= 60, headers["Retry-After"])
        refused(petcam, "POST", "/setup", 429, body=setup_body(code))
        check("the new setup code is " in petcam.log(), petcam.log())
        check(petcam.get("/setup") == (200, {"setup_needed": True}), "nothing changed")


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt(key, claims, header=None):
    text = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode())
                    for part in (header or {"alg": "HS256", "typ": "JWT"}, claims))
    return f"{text}.{base64url(hmac.new(key, text.encode(), hashlib.sha256).digest())}"


def test_tokens(petcam):
    key_path = petcam.root / "data" / "keys" / "jwt.key"
    key = key_path.read_bytes()
    check(len(key) == 32 and key_path.stat().st_mode & 0o7777 == 0o600, "jwt.key")
    claims = json.loads(base64.urlsafe_b64decode(petcam.token.split(".")[1] + "=="))
    check(claims["iss"] == "petcam" and claims["aud"] == "api" and claims["role"] == "owner", claims)
    check(jwt(key, claims) == petcam.token, "a token is a plain JWT")
    check(petcam.get("/events", token=jwt(key, claims))[0] == 200, "a token of the same claims")
    now = int(time.time())
    forged = [
        jwt(key, {**claims, "iat": now - 100, "exp": now - 1}),
        jwt(b"0" * 32, claims),
        jwt(key, {**claims, "aud": "media"}),
        jwt(key, {**claims, "sid": "A" * 22}),
        jwt(key, claims, {"alg": "none", "typ": "JWT"}),
        jwt(key, claims, {"alg": "none", "typ": "JWT"}).rsplit(".", 1)[0] + ".",
        jwt(key, claims, {"alg": "HS512", "typ": "JWT"}),
        petcam.token[:-1], petcam.token + "A", petcam.token[:-1] + ("A" if petcam.token[-1] != "A" else "B"),
        petcam.token.rsplit(".", 1)[0], petcam.token.upper(), petcam.media_token, "", "x", "a.b.c", "." * 50, "A" * 8000]
    for token in forged:
        refused(petcam, "GET", "/events", 401, token=token)
    # A viewer may read, and no more.
    viewer = jwt(key, {**claims, "role": "viewer"})
    check(petcam.get("/events", token=viewer)[0] == 200, "viewer")
    for method, path, body in (("DELETE", "/recordings/1", None), ("PATCH", "/events/1", {"keep": True}),
                               ("POST", "/alerts/1/ack", None), ("POST", "/alerts/config", {})):
        refused(petcam, method, path, 403, token=viewer, body=body)
    # The media token: pictures only.
    media = petcam.media_token
    for path in ("/cameras/cam0/snapshot.jpg", "/live"):
        petcam.wait_for(lambda p=path: petcam.request("GET", f"{p}?token={media}", token=None)[0] == 200)
        refused(petcam, "GET", f"{path}?token={petcam.token}", 401, token=None)
        refused(petcam, "GET", f"{path}?token={media}x", 401, token=None)
        refused(petcam, "GET", f"{path}?token={jwt(key, {**claims, 'aud': 'media', 'exp': now - 1})}", 401, token=None)
    refused(petcam, "GET", f"/events?token={media}", 401, token=None)
    status, _, playlist = petcam.request("GET", f"/live?token={media}", token=None)
    child = next(line for line in playlist.decode().splitlines() if line and not line.startswith("#"))
    check(child.startswith(f"/cameras/cam0/hls/~{media}/"), child)
    status, _, data = petcam.request("GET", child, token=None)
    check(status == 200 and data.startswith(b"#EXTM3U"), f"{child}: {status}")
    refused(petcam, "GET", child.replace("~", "~x"), 401, token=None)
    for secret in (petcam.token, petcam.media_token, PASSWORD):
        check(secret not in petcam.log(), "a secret stands in the log")


def test_access(petcam):
    """Every route of routes.c, and everybody who may not."""
    root = pathlib.Path(__file__).resolve().parents[2]
    routes = re.findall(r'\{ PC_(\w+), "([^"]+)", PC_(\w+),', (root / "http" / "routes.c").read_text())
    check(len(routes) > 25 and {level for _, _, level in routes} == {"OPEN", "VIEWER", "OWNER", "MEDIA"}, routes)
    key = (petcam.root / "data" / "keys" / "jwt.key").read_bytes()
    claims = json.loads(base64.urlsafe_b64decode(petcam.token.split(".")[1] + "=="))
    now = int(time.time())
    media = jwt(key, {**claims, "aud": "media"})
    for method, pattern, level in routes:
        def status(query="", token=None, media_token=media, method=method, pattern=pattern, **headers):
            path = pattern.replace("/cameras/{id}", "/cameras/cam0").replace("{id}", "999999999")
            path = path.replace("{token}", media_token).replace("{file}", "init-0.mp4")
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            return petcam.request(method, path + query, token=token, headers=headers)[0]
        what = f"{method} {pattern}"
        if level == "OPEN":
            check(status() not in (401, 403) and status(token="wrong") not in (401, 403), what)
            if method == "POST":
                check(status(Origin="https://evil.example") == 403, f"{what}: another site")
            continue
        wrong_media = media[:-2] + ("AA" if media[-2:] != "AA" else "BA")
        check(status(media_token=wrong_media) == 401, f"{what}: nobody")
        for token in ("wrong", "", media, jwt(key, {**claims, "exp": now - 1}), jwt(key, {**claims, "sid": "A" * 22})):
            check(status(token=token) == 401, f"{what}: {token}")
        check(status(f"?token={petcam.token}", media_token=petcam.token) == 401, f"{what}: the access token on the URL")
        check(status("?token=" + jwt(key, {**claims, "aud": "media", "exp": now - 1}), media_token="x") == 401, what)
        cookie = {"Cookie": f"__Host-petcam={petcam.token}"}
        if level != "MEDIA":
            check(status(f"?token={media}") == 401, f"{what}: a media token")
            check(status(Cookie=f"__Host-petcam={media}") == 401, f"{what}: a media token as cookie")
        check(status(media_token="x", Cookie=f"petcam={petcam.token}") == 401, f"{what}: another cookie")
        check(status(media_token="x", Cookie="; ".join([cookie["Cookie"]] * 2)) == 401, f"{what}: two cookies")
        if level == "OWNER":
            check(status(token=jwt(key, {**claims, "role": "viewer"})) == 403, f"{what}: a viewer")
        if method != "GET":
            for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}):
                check(status(**cookie, **headers) == 403, f"{what}: {headers}")
            check(status(token=petcam.token, Origin="https://evil.example") == 403, f"{what}: a token of another site")
    check(petcam.get("/events")[0] == 200, "the login goes on")


def test_cookie(petcam):
    status, headers, data = petcam.request("POST", "/session", token=None,
                                           body={"username": USERNAME, "password": PASSWORD})
    check(status == 200 and set(data) == {"access_token", "token_type", "expires_in", "media_token"}, data)
    cookie = headers["Set-Cookie"]
    for word in ("__Host-petcam=", "HttpOnly", "Secure", "SameSite=Strict", "Path=/"):
        check(word in cookie, cookie)
    check("Domain" not in cookie and headers["Cache-Control"] == "no-store", headers)
    cookie = cookie.split(";")[0]
    ours = {"Cookie": cookie, "Origin": f"https://127.0.0.1:{petcam.port}"}
    check(petcam.get("/events", token=None, headers={"Cookie": cookie})[0] == 200, "cookie")
    for origin in ("https://evil.example", "null", f"http://127.0.0.1:{petcam.port}", "https://127.0.0.1"):
        refused(petcam, "DELETE", "/session", 403, token=None, headers={"Cookie": cookie, "Origin": origin})
    refused(petcam, "DELETE", "/session", 403, token=None, headers={"Cookie": cookie})
    refused(petcam, "GET", "/events", 401, token="wrong", headers={"Cookie": cookie})
    status, headers, _ = petcam.request("DELETE", "/session", token=None, headers=ours)
    check(status == 204 and "Max-Age=0" in headers["Set-Cookie"], f"{status}")
    refused(petcam, "GET", "/events", 401, token=None, headers=ours)
    refused(petcam, "GET", "/events", 401, token=data["access_token"])
    refused(petcam, "GET", f"/live?token={data['media_token']}", 401, token=None)
    check(petcam.get("/events")[0] == 200, "another login goes on")


def test_login_input(petcam):
    for body, word in (({}, "username"), ({"username": USERNAME}, "password"), ({"username": 1, "password": "x"}, "username"),
                       ({"username": USERNAME, "password": "x", "otp": 1}, "otp"),
                       ({"username": USERNAME, "password": "x" * 513}, "password")):
        refused(petcam, "POST", "/session", 400, word, token=None, body=body)


def test_guessing():
    """Run last on its daemon: the address is slowed down."""
    with Petcam(DEMO) as petcam:
        petcam.setup()
        answers = []
        for i in range(6):
            name = USERNAME if i % 2 == 0 else f"nobody{i}"
            answers.append(petcam.post("/session", {"username": name, "password": "wrong"}, token=None))
        check(all(answer == answers[0] and answer[0] == 401 for answer in answers), answers)
        headers = refused(petcam, "POST", "/session", 429, token=None, body={"username": USERNAME, "password": PASSWORD})
        check(int(headers["Retry-After"]) >= 1, headers)
        check(petcam.get("/events")[0] == 200, "whoever is in stays in")
        petcam.wait_for(lambda: petcam.post("/session", {"username": USERNAME, "password": PASSWORD}, token=None)[0] == 200)


def test_logins_at_once(petcam):
    """Twenty at once, and live requests between: nobody waits for scrypt but who asked for it."""
    def login(_):
        return petcam.post("/session", {"username": USERNAME, "password": PASSWORD}, token=None, timeout=60)[0]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        logins = [pool.submit(login, i) for i in range(20)]
        check(petcam.get("/version")[0] == 200, "/version meanwhile")
        results = [f.result() for f in logins]
    check(set(results) <= {200, 429, 503} and results.count(200) >= 1, results)


def test_events(petcam):
    events = petcam.wait_for(lambda: petcam.get("/events")[1]["items"], timeout=60)
    keys = ["event_id", "timestamp", "duration", "event_type", "camera", "pet", "score", "zones", "evidence", "media",
            "keep"]
    check(list(events[0]) == keys, list(events[0]))
    petcam.wait_for(lambda: len(petcam.get("/events")[1]["items"]) >= 3, timeout=60)
    for query, word in (
            ("limit=0", "limit"), ("limit=-1", "limit"), ("limit=501", "limit"), ("limit=1e2", "limit"), ("limit=", "limit"),
            ("limit=99999999999999999999999", "limit"), ("limit=1&limit=2", "limit"), ("pet=-1", "pet"), ("pet=x", "pet"),
            ("type=dancing", "type"), ("type=motion,", "type"), ("camera=../etc", "camera"), ("camera=", "camera"),
            ("after=yesterday", "after"), ("after=2026-02-30T00:00:00Z", "after"), ("before=12", "before"),
            ("cursor=x", "cursor"), ("cursor=", "cursor"), ("limt=1", "limt"), ("limit=%zz", "limit"), ("type=%00", "type")):
        refused(petcam, "GET", f"/events?{query}", 400, word)
    # All pages together are the whole, in order, whatever comes in meanwhile.
    status, first = petcam.get("/events?limit=1")
    check(status == 200 and len(first["items"]) == 1 and first["next_cursor"], first)
    seen, cursor = [first["items"][0]], first["next_cursor"]
    while cursor:
        status, page = petcam.get(f"/events?limit=1&cursor={cursor}")
        check(status == 200, page)
        seen += page["items"]
        cursor = page["next_cursor"]
    starts = [(e["timestamp"], e["event_id"]) for e in seen]
    check(starts == sorted(starts, reverse=True) and len(set(starts)) == len(starts), starts)
    cursor = first["next_cursor"]
    for i in range(0, len(cursor), 5):
        changed = cursor[:i] + ("A" if cursor[i] != "A" else "B") + cursor[i + 1:]
        refused(petcam, "GET", f"/events?cursor={changed}", 400, "cursor")
    refused(petcam, "GET", f"/recordings?cursor={cursor}", 400, "cursor")
    # Filters.
    event = seen[-1]
    for e in petcam.get(f"/events?type={event['event_type']}&limit=500")[1]["items"]:
        check(e["event_type"] == event["event_type"], e)
    check(petcam.get("/events?camera=other") == (200, {"items": [], "next_cursor": None}), "camera=other")
    for e in petcam.get(f"/events?after={event['timestamp']}&limit=500")[1]["items"]:
        check(e["timestamp"] >= event["timestamp"], e)
    for e in petcam.get(f"/events?before={event['timestamp']}")[1]["items"]:
        check(e["timestamp"] < event["timestamp"], e)
    # One.
    path = f"/events/{event['event_id']}"
    status, one = petcam.get(path)
    check(status == 200 and one["event_id"] == event["event_id"], one)
    for bad in ("x", "0", "-1", "1.0", "99999999999999999999"):
        refused(petcam, "GET", f"/events/{bad}", 400)
        refused(petcam, "GET", f"/events/{bad}/clip.mp4", 400)
    refused(petcam, "GET", "/events/999999999", 404)
    refused(petcam, "GET", "/events/999999999/thumbnail.jpg", 404)
    refused(petcam, "PATCH", "/events/999999999", 404, body={"keep": True})
    for body, word in (({}, "keep"), ({"keep": 1}, "keep"), ({"keep": True, "pet_id": 2}, "pet_id")):
        refused(petcam, "PATCH", path, 400, word, body=body)
    check(petcam.get(path)[1]["keep"] is False, "nothing changed")
    for keep in (True, False):
        status, _, data = petcam.request("PATCH", path, body={"keep": keep})
        check(status == 200 and data["keep"] is keep and petcam.get(path)[1]["keep"] is keep, data)


def test_recordings(petcam):
    recording = petcam.wait_for(lambda: next(
        (r for r in petcam.get("/recordings")[1]["items"] if not r["open"]), None), timeout=90)
    path = f"/recordings/{recording['recording_id']}"
    check(petcam.get(path)[1] == recording, "one as in the list")
    status, headers, whole = petcam.request("GET", f"{path}/media.mp4")
    size = recording["bytes"]
    check(status == 200 and len(whole) == size and headers["Accept-Ranges"] == "bytes", f"{status} {len(whole)} {size}")
    etag = headers["ETag"]
    for text, part in (("0-0", whole[:1]), (f"{size - 5}-", whole[-5:]), ("-7", whole[-7:]),
                       (f"10-{size * 2}", whole[10:]), (f"-{size * 2}", whole)):
        status, headers, data = petcam.request("GET", f"{path}/media.mp4", headers={"Range": f"bytes={text}"})
        check(status == 206 and data == part, f"Range {text}: {status}")
    for text in (f"{size}-", f"{size + 10}-{size + 20}"):
        headers = refused(petcam, "GET", f"{path}/media.mp4", 416, headers={"Range": f"bytes={text}"})
        check(headers["Content-Range"] == f"bytes */{size}", headers["Content-Range"])
    check(petcam.request("GET", f"{path}/media.mp4", headers={"If-None-Match": etag})[0] == 304, "If-None-Match")
    status, _, data = petcam.request("GET", f"{path}/media.mp4", headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    check(status == 200 and len(data) == size, "If-Range")
    status, headers, data = petcam.request("HEAD", f"{path}/media.mp4")
    check(status == 200 and int(headers["Content-Length"]) == size and data == b"", "HEAD")
    check(petcam.request("GET", f"{path}/media.mp4?token={petcam.media_token}", token=None)[0] == 200, "media token")
    refused(petcam, "GET", "/recordings/999999999", 404)
    refused(petcam, "GET", "/recordings/999999999/media.mp4", 404)
    refused(petcam, "DELETE", "/recordings/999999999", 404)
    refused(petcam, "DELETE", "/recordings/x", 400)
    refused(petcam, "GET", "/recordings?type=motion", 400, "type")
    files = set((petcam.root / "data" / "recordings").rglob("*.mp4"))
    check(petcam.request("DELETE", path)[0] == 204, "DELETE")
    check(len(set(files) - set((petcam.root / "data" / "recordings").rglob("*.mp4"))) == 1, "the file is gone")
    refused(petcam, "GET", path, 404)
    refused(petcam, "DELETE", path, 404)


def test_alerts(petcam):
    check(petcam.get("/alerts/config") == (200, {"items": [], "next_cursor": None}), "no rules yet")
    rule = {"pet_id": None, "no_event_threshold": 120, "quiet_hours": {"from": "22:30", "to": "06:00"}, "channels": ["app"]}
    status, data = petcam.post("/alerts/config", rule)
    check(status == 201 and {key: data[key] for key in rule} == rule and data["config_id"] > 0, f"{status} {data}")
    wrong = {
        "pet_id": [0, -1, "1", True, 999999], "no_event_threshold": [0, -5, 43201, "120", 1.5, None],
        "quiet_hours": [True, "night", [], {}, {"from": "22:30"}, {"from": "24:00", "to": "06:00"},
                        {"from": "6:00", "to": "07:00"}, {"from": "06:00", "to": "06:00"}],
        "channels": [None, "app", [], [1], ["fax"], ["app", "app"]], "days": [1]}
    for name, values in wrong.items():
        for value in values:
            refused(petcam, "POST", "/alerts/config", 400, name, body={**rule, name: value})
    check(petcam.get("/alerts/config")[1]["items"] == [data], "nothing changed")
    status, again = petcam.post("/alerts/config", {**rule, "no_event_threshold": 60, "quiet_hours": None})
    check(status == 200 and again["no_event_threshold"] == 60 and again["quiet_hours"] is None, f"{status} {again}")
    check(len(petcam.get("/alerts/config")[1]["items"]) == 1, "it was replaced")
    status, data = petcam.get("/alerts")
    check(status == 200 and isinstance(data["items"], list), data)
    refused(petcam, "POST", "/alerts/999999/ack", 404)
    refused(petcam, "POST", "/alerts/x/ack", 400)


def test_health(petcam):
    petcam.wait_for(lambda: petcam.get("/health")[1]["status"] == "ok", timeout=30)
    check(petcam.get("/health", token=None) == (200, {"status": "ok"}), "strangers learn one word")
    health = petcam.get("/health")[1]
    check(health["cameras"][0]["last_frame_ms_ago"] < 2000 and health["storage"]["disk_bytes"] > 0, health)
    status, camera = petcam.get("/cameras/cam0")
    check(status == 200 and camera["state"] == "ok" and (camera["width"], camera["height"]) == (320, 192), camera)
    check(petcam.get("/cameras")[1]["items"][0]["id"] == "cam0", "/cameras")
    refused(petcam, "GET", "/cameras/cam9", 404)
    status, headers, data = petcam.request("GET", "/metrics")
    check(status == 200 and b'petcam_frames_captured_total{camera="cam0"} ' in data, data[:500])
    status, version = petcam.get("/version", token=None)
    check(status == 200 and version["name"] == "petcam" and version["time"].endswith("Z"), version)


def read_events(stream, n, timeout):
    """The first n messages of a stream as (id, kind, data)."""
    found, fields = [], {}
    stream.fp.raw._sock.settimeout(timeout) if hasattr(stream.fp, "raw") else None
    while len(found) < n:
        line = stream.readline().decode()
        check(line, "the stream ended")
        if line == "\n":
            if "event" in fields:
                found.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.rstrip("\n").partition(": ")
            fields[name] = value
    return found


def test_stream(petcam):
    connection = petcam.connection(timeout=60)
    connection.request("GET", "/events/stream", headers={"Authorization": f"Bearer {petcam.token}"})
    response = connection.getresponse()
    check(response.status == 200 and response.headers["Content-Type"] == "text/event-stream", response.status)
    (name, kind, data), = read_events(response, 1, 60)
    check(kind == "event" and data["event_id"] > 0 and "evidence" in data, data)
    check(data["event_id"] == petcam.get(f"/events/{data['event_id']}")[1]["event_id"], data)
    connection.close()
    # What came meanwhile comes first.
    connection = petcam.connection(timeout=60)
    connection.request("GET", "/events/stream", headers={"Authorization": f"Bearer {petcam.token}", "Last-Event-ID": name})
    (_, kind, _), = read_events(connection.getresponse(), 1, 60)
    check(kind == "event", kind)
    connection.close()
    refused(petcam, "GET", "/events/stream", 400, headers={"Last-Event-ID": "x"})
    # It ends with the session.
    token = petcam.post("/session", {"username": USERNAME, "password": PASSWORD}, token=None)[1]["access_token"]
    connection = petcam.connection(timeout=30)
    connection.request("GET", "/events/stream", headers={"Authorization": f"Bearer {token}"})
    response = connection.getresponse()
    check(petcam.request("DELETE", "/session", token=token)[0] == 204, "logout")
    response.read()
    connection.close()


def raw(petcam, data, timeout=20):
    """Bytes in, bytes out, until the daemon closes."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((petcam.host, petcam.port), timeout) as plain:
        with context.wrap_socket(plain) as tls:
            try:
                tls.sendall(data)
                answer = b""
                while piece := tls.recv(65536):
                    answer += piece
            except (ConnectionError, ssl.SSLError):
                pass
            return answer


def test_protocol(petcam):
    host = f"Host: 127.0.0.1:{petcam.port}\r\n"
    for head, statuses in (
            (f"GET /version HTTP/1.1\r\n{host}X: {'x' * 65536}\r\n\r\n", (b"431",)),
            (f"POST /session HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n", (b"413",)),
            (f"POST /session HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: -1\r\n\r\n", (b"400", b"411")),
            (f"POST /session HTTP/1.1\r\n{host}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", (b"400",)),
            ("GET /version HTTP/1.1\r\nConnection: close\r\n\r\n", (b"400",)),
            (f"GET /../etc/passwd HTTP/1.1\r\n{host}Connection: close\r\n\r\n", (b"400", b"404")),
            (f"GET //version HTTP/1.1\r\n{host}Connection: close\r\n\r\n", (b"400", b"404")),
            (f"GET /%76ersion HTTP/1.1\r\n{host}Connection: close\r\n\r\n", (b"400", b"404")),
            (f"BREW /version HTTP/1.1\r\n{host}Connection: close\r\n\r\n", (b"405", b"400", b"501")),
            (f"GET /version HTTP/1.1\n{host}\n", (b"400",)),
            (f"GET /version HTTP/1.1\r\n{host}X: a\r\n b\r\n\r\n", (b"400",)),
            (f"GET /version HTTP/1.1\r\n{host}X : a\r\n\r\n", (b"400",)),
            (f"GET https://127.0.0.1/version HTTP/1.1\r\n{host}Connection: close\r\n\r\n", (b"400",)),
            (f"GET /version HTTP/1.1\r\n{host}{host}\r\n", (b"400",)),
            ("GET /version HTTP/1.0\r\n\r\n", (b"200",))):
        answer = raw(petcam, head.encode())
        code = answer[9:12] if answer else b""
        check(code in statuses, f"{head[:60]!r}: {answer[:200]!r}")
    check(petcam.get("/version")[0] == 200, "it goes on")


def test_slow(petcam):
    """A head, and a body, that do not come: the client is let go, in its time, with a word if it can be."""
    host = f"Host: 127.0.0.1:{petcam.port}\r\n"
    half = (f"GET /version HTTP/1.1\r\n{host}X: ",
            f"POST /session HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: 90\r\n\r\n{{")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        head, body = pool.map(lambda text: raw(petcam, text.encode(), timeout=40), half)
    check(head == b"", head)
    check(body.startswith(b"HTTP/1.1 408 ") and b"within" in body, body)
    check(petcam.get("/version")[0] == 200, "it goes on")


def test_blocking_reload(petcam):
    """What cannot come is refused at once; nobody waits for it with a worker."""
    path = "/cameras/cam0/hls/"
    playlist = petcam.wait_for(lambda: petcam.request("GET", path + "media.m3u8")[2].decode())
    last = int(re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", playlist)[1]) + playlist.count("#EXTINF")
    for query in ("_HLS_msn=-1", "_HLS_msn=", "_HLS_msn=x", "_HLS_part=1", f"_HLS_msn={last}&_HLS_msn={last}",
                  f"_HLS_msn={last + 1000}", "_HLS_msn=9223372036854775807", "_HLS_msn=9223372036854775808",
                  f"_HLS_msn={last}&_HLS_part=-1", f"_HLS_msn={last + 1}&_HLS_part=9223372036854775807"):
        refused(petcam, "GET", f"{path}media.m3u8?{query}", 400)
    check(petcam.get(f"{path}media.m3u8?_HLS_msn=0")[0] == 200, "what is there already")
    for name in ("seg-999999999999999999.m4s", "seg-99999999999999999999.m4s", "seg--1.m4s", "seg-01.m4s", "seg-.m4s",
                 f"part-{last + 9}.0.m4s", f"part-{last}.999999999999999999.m4s", "init-0.mp4", "init-4294967297.mp4", "x"):
        refused(petcam, "GET", path + name, 404)


def test_stop(petcam):
    """It ends in seconds whatever is open, and says nothing bad."""
    host = f"Host: 127.0.0.1:{petcam.port}\r\nAuthorization: Bearer {petcam.token}\r\n"
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    clients = []
    for text in ("GET /events/stream", "GET /cameras/cam0/live.mp4", "GET /cameras/cam0/hls/media.m3u8?_HLS_msn=1",
                 "POST /session HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 90", "GET /vers") * 4:
        tls = context.wrap_socket(socket.create_connection((petcam.host, petcam.port), 20))
        version = " HTTP/1.1" if "HTTP" not in text else ""
        tls.sendall((text if text.endswith("vers") else f"{text}{version}\r\n{host}\r\n").encode())
        clients.append(tls)
    begun = time.monotonic()
    check(petcam.stop() == 0, "exit status")
    check(time.monotonic() - begun < 10, f"it took {time.monotonic() - begun:.1f} s")
    check(" error " not in petcam.log(), petcam.log()[-3000:])
    for tls in clients:
        tls.close()


def test_logout_ends_views(petcam):
    """A live view, by WebSocket or progressive, ends soon after its login does."""
    petcam.login()
    socket_viewer = InstantViewer(petcam, 9)
    thread = threading.Thread(target=watch, args=([socket_viewer], 15))
    thread.start()
    connection = petcam.connection(timeout=15)
    connection.request("GET", "/cameras/cam0/live.mp4", headers={"Authorization": f"Bearer {petcam.token}"})
    response = connection.getresponse()
    check(response.status == 200 and response.read(1000), "live.mp4")
    petcam.wait_for(lambda: socket_viewer.frames > 0)
    check(petcam.request("DELETE", "/session")[0] == 204, "log out")
    while response.read(65536):
        pass  # a view that went on would run into the connection's time-out
    connection.close()
    thread.join()
    check(socket_viewer.errors == ["closed by the server"], f"the WebSocket went on: {socket_viewer.errors}")
    petcam.login()


def test_restart(root):
    """Logins, rules and the owner outlive the daemon."""
    with Petcam(DEMO, root=root) as petcam:
        petcam.setup()
        token = petcam.token
        petcam.post("/alerts/config", {"pet_id": None, "no_event_threshold": 60, "quiet_hours": None, "channels": ["app"]})
    with Petcam(DEMO, root=root) as petcam:
        check(petcam.ready["setup_code"] is None, petcam.ready)
        check(petcam.get("/events", token=token)[0] == 200, "the login of before")
        check(len(petcam.get("/alerts/config", token=token)[1]["items"]) == 1, "the rule")
        refused(petcam, "POST", "/setup", 409, body=setup_body("WRONG-WRONG"))


def main():
    import shutil
    import tempfile
    with Petcam(DEMO) as petcam:
        test_setup(petcam)
        petcam.login()
        for test in (test_health, test_tokens, test_access, test_cookie, test_login_input, test_events, test_recordings, test_alerts,
                     test_stream, test_protocol, test_blocking_reload, test_slow,
                     test_logins_at_once, test_logout_ends_views, test_stop):
            test(petcam)
            print(f"ok {test.__name__}", flush=True)
    test_tenth_wrong_code()
    print("ok test_tenth_wrong_code", flush=True)
    test_guessing()
    print("ok test_guessing", flush=True)
    root = tempfile.mkdtemp(prefix="petcam-test-")
    try:
        test_restart(root)
        print("ok test_restart", flush=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
