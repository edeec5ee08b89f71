"""tests/support/petcam.py - starts the real daemon and talks to it. Standard library only.

    with Petcam(settings={"cameras.[0].source": "demo"}) as petcam:
        petcam.setup()
        status, body = petcam.get("/events")

A test ends itself with skip("why"): exit code 77, as everywhere in tests/.
"""

import http.client
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PETCAM_BUILD", ROOT / "build"))
SHARED = pathlib.Path(os.environ.get("PETCAM_SHARED", ROOT.parent / "shared"))

# How much slower than usual this machine is (the virtual Pi on an emulated processor).
SLOW = float(os.environ.get("PETCAM_VPI_SLOW", "1"))

USERNAME = "owner"
PASSWORD = "correct horse battery"


def skip(why):
    print(f"SKIP: {why}")
    sys.exit(77)


def shared(path):
    """A file of the shared data, or None where it is not there."""
    found = SHARED / path
    return found if found.exists() else None


class Petcam:
    """One daemon on a data root of its own, on a free port."""

    def __init__(self, settings=None, root=None, config=None, env=None, wrapper=()):
        self.own_root = root is None
        self.root = pathlib.Path(root or tempfile.mkdtemp(prefix="petcam-test-"))
        self.config = config
        self.settings = {"http.port": 0, "http.address": "127.0.0.1", "storage.root": str(self.root / "data")}
        self.settings.update(settings or {})
        self.env = {**os.environ, **(env or {})}
        self.wrapper = list(wrapper)
        self.process = None
        self.ready = None
        self.token = None
        self.media_token = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        if self.own_root:
            shutil.rmtree(self.root, ignore_errors=True)

    @property
    def log_path(self):
        return self.root / "petcamd.log"

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def command(self):
        command = [*self.wrapper, str(BUILD / "petcamd" / "petcamd"), "--ready-file", str(self.root / "ready.json")]
        if self.config is not None:
            command += ["--config", str(self.config)]
        for path, value in self.settings.items():
            if isinstance(value, bool):
                value = "true" if value else "false"
            elif isinstance(value, str) and not value.startswith("("):
                value = json.dumps(value)
            command += ["--set", f"{path}={value}"]
        return command

    def start(self, timeout=30 * SLOW):
        ready_path = self.root / "ready.json"
        ready_path.unlink(missing_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, env=self.env)
        deadline = time.monotonic() + timeout
        while not ready_path.exists():
            if self.process.poll() is not None:
                raise RuntimeError(f"petcamd ended with {self.process.returncode}:\n{self.log()}")
            if time.monotonic() > deadline:
                self.process.kill()
                raise RuntimeError(f"petcamd is not ready after {timeout} s:\n{self.log()}")
            time.sleep(0.02)
        self.ready = json.loads(ready_path.read_text())
        url = urllib.parse.urlsplit(self.ready["url"])
        self.host, self.port, self.scheme = "127.0.0.1", url.port, url.scheme
        return self

    def stop(self, timeout=20 * SLOW):
        """Ends it as systemd would; its exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise RuntimeError(f"petcamd did not end within {timeout} s:\n{self.log()}") from None
        status, self.process = self.process.returncode, None
        return status

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    @property
    def url(self):
        return f"{self.scheme}://{self.host}:{self.port}"

    def connection(self, timeout=10 * SLOW):
        if self.scheme == "http":
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=context)

    def request(self, method, path, body=None, headers=None, token="own", timeout=10 * SLOW):
        """Status, headers and body (decoded where it is JSON)."""
        headers = dict(headers or {})
        token = self.token if token == "own" else token
        if token is not None:
            headers.setdefault("Authorization", f"Bearer {token}")
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        connection = self.connection(timeout)
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            data = response.read()
            if "json" in response.headers.get("Content-Type", ""):
                data = json.loads(data)
            return response.status, response.headers, data
        finally:
            connection.close()

    def get(self, path, **more):
        status, _, data = self.request("GET", path, **more)
        return status, data

    def post(self, path, body, **more):
        status, _, data = self.request("POST", path, body=body, **more)
        return status, data

    def setup(self, video=True, audio=False, retention_days=30):
        """First run and login."""
        status, data = self.post("/setup", {
            "setup_code": self.ready["setup_code"], "username": USERNAME, "password": PASSWORD,
            "consent": {"video": video, "audio": audio}, "retention_days": retention_days})
        if status != 201:
            raise RuntimeError(f"/setup: {status} {data}")
        return self.login()

    def login(self):
        status, data = self.post("/session", {"username": USERNAME, "password": PASSWORD}, token=None)
        if status not in (200, 201):
            raise RuntimeError(f"/session: {status} {data}")
        self.token, self.media_token = data["access_token"], data["media_token"]
        return self

    def wait_for(self, question, timeout=20 * SLOW, every=0.1):
        """Asks until the answer is true; the answer."""
        deadline = time.monotonic() + timeout
        while True:
            answer = question()
            if answer:
                return answer
            if self.process.poll() is not None:
                raise RuntimeError(f"petcamd ended with {self.process.returncode}:\n{self.log()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"not within {timeout} s; log:\n{self.log()[-3000:]}")
            time.sleep(every)
