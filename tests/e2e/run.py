"""tests/e2e/run.py - a browser test: starts the daemon, then node with the script.

    run.py SCRIPT.mjs [--set path=value]...

The script writes "@stop", "@start" or "@kill" on a line of its own to have that done to the
daemon, and reads "done" when it has been.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from petcam import BUILD, ROOT, Petcam, skip  # noqa: E402


def chromium():
    for name in ("chromium", "chromium-browser"):
        path = shutil.which(name)
        if path is not None:
            return path
    return skip("chromium is not installed")


def check():
    """The browser's path; skips where something that the tests need is not there."""
    if shutil.which("node") is None:
        skip("node is not installed")
    if not (ROOT / "http" / "web" / "node_modules" / "playwright-core").is_dir():
        skip("http/web/node_modules is missing: run npm ci there")
    if not (ROOT / "http" / "web" / "dist" / "index.html").is_file():
        skip("the dashboard is not built: run npm run build in http/web")
    return chromium()


def spawn(petcam, script, arguments, more_env=None):
    env = {
        **os.environ,
        "CHROMIUM": check(),
        "PETCAM_URL": f"{petcam.scheme}://localhost:{petcam.port}",
        "PETCAM_CODE": petcam.ready.get("setup_code") or "",
        "PETCAM_SCREENSHOTS": str(BUILD / "screenshots"),
        **(more_env or {}),
    }
    return subprocess.Popen(["node", str(HERE / script), *arguments], env=env, text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def serve(petcam, node):
    """Does what the script asks for until it ends; its exit status."""
    petcam.settings["http.port"] = petcam.port  # the same address when started again
    verbs = {"@stop": petcam.stop, "@start": petcam.start, "@kill": petcam.kill}
    try:
        for line in node.stdout:
            verb = verbs.get(line.strip())
            if verb is None:
                print(line, end="", flush=True)
                continue
            verb()
            node.stdin.write("done\n")
            node.stdin.flush()
        return node.wait()
    finally:
        if node.poll() is None:
            node.kill()
            node.wait()


def main(arguments):
    script, *rest = arguments
    settings = {"cameras.[0].source": "demo"}
    while rest:
        option, pair, *rest = rest
        if option != "--set":
            sys.exit(__doc__)
        path, value = pair.split("=", 1)
        settings[path] = json.loads(value)
    check()
    with Petcam(settings=settings) as petcam:
        status = serve(petcam, spawn(petcam, script, []))
        if status != 0:
            print("log of petcamd:\n" + petcam.log()[-4000:])
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
