#!/usr/bin/env python3
"""tests/integration/test_start.py - what petcamd says and does when it cannot start as asked."""

import os
import pathlib
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.support.petcam import BUILD, Petcam


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def petcamd(*args, timeout=15, **more):
    return subprocess.run([str(BUILD / "petcamd" / "petcamd"), *map(str, args)], capture_output=True, text=True,
                          timeout=timeout, check=False, **more)


def test_command_line():
    check(petcamd("--version").stdout.startswith("petcam "), "--version")
    check("--ready-file" in petcamd("--help").stdout, "--help")
    check("storage.max_usage" in petcamd("--settings").stdout, "--settings")
    done = petcamd("--frobnicate")
    check(done.returncode == 2 and "frobnicate" in done.stderr, done.stderr)
    done = petcamd("serve")
    check(done.returncode == 2 and "serve" in done.stderr, done.stderr)


def test_check():
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "petcam.cfg"
        config.write_text("http: { port = 0; };\nstorage: {\n  max_usages = 0.5;\n};\n")
        done = petcamd("--config", config, "--check")
        check(done.returncode == 2, done.returncode)
        check(f"{config}:3: storage.max_usages: no such setting" in done.stderr, done.stderr)
        config.write_text("http: { port = 0; };\n")
        check(petcamd("--config", config, "--check").returncode == 0, "a valid file")
        done = petcamd("--config", f"{folder}/none.cfg", "--check")
        check(done.returncode == 2 and "none.cfg" in done.stderr, done.stderr)


def test_safe_mode():
    """A faulty file: petcam serves, says so, and touches nothing else."""
    with Petcam({"http.prot": 1}) as petcam:
        status, version = petcam.get("/version")
        check(status == 200, status)
        status, health = petcam.get("/health")
        check(status == 503 and health["status"] == "failed", f"{status} {health}")
        status, problem = petcam.post("/setup", {"setup_code": "x"})
        check(status == 503 and "http.prot" in problem["detail"], problem)
        check(petcam.get("/events")[0] in (401, 503), "events in safe mode")
        check(not (petcam.root / "data" / "petcam.db").exists(), "safe mode made a database")
        check("--set: http.prot: no such setting" in petcam.log(), petcam.log())
        check(version is not None, "version")


def test_port_in_use():
    with socket.socket() as other, tempfile.TemporaryDirectory() as folder:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = petcamd("--set", f"http.port={port}", "--set", "http.address=127.0.0.1", "--set",
                       f"storage.root={folder}/data", "--set", "cameras.[0].source=demo")
        check(done.returncode == 4, f"{done.returncode} {done.stderr}")
        check(f"{port}" in done.stderr and "in use" in done.stderr, done.stderr)


def test_unwritable_root():
    done = petcamd("--set", "storage.root=/proc/petcam", "--set", "http.port=0")
    check(done.returncode == 3 and "/proc/petcam" in done.stderr, f"{done.returncode} {done.stderr}")
    with tempfile.NamedTemporaryFile() as file:
        done = petcamd("--set", f"storage.root={file.name}", "--set", "http.port=0")
        check(done.returncode == 3 and file.name in done.stderr, f"{done.returncode} {done.stderr}")


def test_full_root():
    """A full data folder: refused with a sentence, or served without recording."""
    if os.geteuid() != 0:
        print("not root: skipped the full file system")
        return
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], check=False,
                                 capture_output=True)
        if mounted.returncode != 0:
            print("no mount here: skipped the full file system")
            return
        try:
            fd = os.open(f"{folder}/filler", os.O_WRONLY | os.O_CREAT)
            try:
                while os.write(fd, b"\0" * 4096):
                    pass
            except OSError:
                pass
            os.close(fd)
            done = petcamd("--set", f"storage.root={folder}/data", "--set", "http.port=0")
            check(done.returncode == 3, f"{done.returncode} {done.stderr}")
            check("No space left" in done.stderr, done.stderr)
        finally:
            subprocess.run(["umount", folder], check=False)


def test_two_on_one_root():
    with Petcam({"cameras.[0].source": "demo"}) as petcam:
        done = petcamd("--set", f"storage.root={petcam.root}/data", "--set", "http.port=0")
        check(done.returncode == 3, f"{done.returncode} {done.stderr}")
        check(petcam.get("/version")[0] == 200, "the first one must go on")


if __name__ == "__main__":
    for test in (test_command_line, test_check, test_safe_mode, test_port_in_use, test_unwritable_root,
                 test_full_root, test_two_on_one_root):
        test()
        print(f"ok {test.__name__}", flush=True)
