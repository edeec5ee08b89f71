#!/usr/bin/env python3
"""tests/integration/test_probe.py - petcamctl's command line, and its probe on whatever machine this is.

What it says of media hardware is checked where there is some: tests/virtual-pi/test_probe.py.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.support.petcam import BUILD


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def petcamctl(*args, **more):
    return subprocess.run([str(BUILD / "petcamd" / "petcamctl"), *map(str, args)], capture_output=True, text=True,
                          timeout=120, check=False, **more)


def test_command_line():
    check(petcamctl("--version").stdout.startswith("petcam "), "--version")
    done = petcamctl("--help")
    check(done.returncode == 0 and "probe" in done.stdout, done)
    done = petcamctl()
    check(done.returncode == 2 and "probe" in done.stderr and done.stdout == "", done)
    done = petcamctl("prob")
    check(done.returncode == 2 and '"prob"' in done.stderr, done)
    done = petcamctl("probe", "--help")
    check(done.returncode == 0 and "--json" in done.stdout, done)
    done = petcamctl("probe", "--jsno")
    check(done.returncode == 2 and "jsno" in done.stderr, done)
    done = petcamctl("probe", "now")
    check(done.returncode == 2 and '"now"' in done.stderr, done)
    done = petcamctl("probe", "--config", "/nowhere/petcam.cfg")
    check(done.returncode == 1 and "/nowhere/petcam.cfg" in done.stderr, done)


def test_json():
    done = petcamctl("probe", "--json")
    check(done.returncode == 0 and done.stderr == "", done)
    found = json.loads(done.stdout)
    check({"petcam", "machine", "files", "video", "heaps", "drm", "gpu", "imports", "choices", "advice"} == set(found),
          sorted(found))
    check(found["machine"]["memory_mib"] > 0 and found["machine"]["cpus"] == os.cpu_count(), found["machine"])
    for choice in "encoder", "scaler", "memory":
        check(found["choices"][choice]["ok"], found["choices"][choice])
    nodes = {str(path) for path in pathlib.Path("/dev").glob("video*")}
    check({node["path"] for node in found["video"]} == nodes, found["video"])
    if not any(node.get("role") == "encoder" for node in found["video"]):
        check("libx264" in found["choices"]["encoder"]["text"], found["choices"])
        check(any("hardware H.264" in sentence for sentence in found["advice"]), found["advice"])


def test_words():
    done = petcamctl("probe")
    check(done.returncode == 0 and done.stderr == "", done)
    for words in "petcam ", "Linux", "Video nodes", "What petcam would choose", "encoder: ":
        check(words in done.stdout, f"\"{words}\" is not in:\n{done.stdout}")
    check(all(char == "\n" or " " <= char <= "~" for char in done.stdout), "text that is not printable")


def test_settings():
    """What would be chosen follows the settings; faulty ones are told of and do not end it."""
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "petcam.cfg"
        config.write_text('encoder: { encoder = "libavcodec"; };\ncameras = ( { width = 640; height = 480; } );\n')
        found = json.loads(petcamctl("probe", "--json", "--config", config).stdout)
        check("640x480" in found["choices"]["encoder"]["text"], found["choices"])
        config.write_text("encoder: { encodre = 1; };\n")
        done = petcamctl("probe", "--json", "--config", config)
        check(done.returncode == 0 and "encodre" in done.stderr, done)
        json.loads(done.stdout)


def test_full_disk():
    with open("/dev/full", "w", encoding="ascii") as full:
        for words in ["probe"], ["probe", "--json"]:
            done = subprocess.run([str(BUILD / "petcamd" / "petcamctl"), *words], stdout=full, stderr=subprocess.PIPE,
                                  text=True, timeout=120, check=False)
            check(done.returncode == 1 and "petcamctl probe:" in done.stderr, done)


if __name__ == "__main__":
    for test in (test_command_line, test_json, test_words, test_settings, test_full_disk):
        test()
        print(f"ok {test.__name__}", flush=True)
