#!/usr/bin/env python3
"""tests/bench/run.py - every benchmark, one after another: `./dev bench`; or those that are named: `./dev bench hwpath`.

--quick measures each for a few seconds only. Nothing here passes or fails: figures are for people, and depend
on the machine and on what else it does.
"""

import argparse
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME", help="load, latency, hwpath; none: all")
    args = parser.parse_args()
    env = {**os.environ, "PETCAM_BUILD": os.environ.get("PETCAM_BUILD", str(HERE.parents[1] / "build"))}
    quick = args.quick
    benchmarks = [
        ("load", "Fifteen viewers", [HERE / "load.py", "--seconds", "5" if quick else "30"]),
        ("latency", "Latency in Chromium", [HERE / "latency.py", "--seconds", "10" if quick else "60",
                                            "--runs", "1" if quick else "3"]),
        ("hwpath", "Beside GStreamer and ffmpeg, in the virtual Pi", [
            HERE / "hwpath/compare.py", "--rounds", "1" if quick else "3", "--seconds", "3" if quick else "5"]),
    ]
    known = [name for name, _, _ in benchmarks]
    for name in args.names:
        if name not in known:
            parser.error(f'there is no benchmark "{name}"; there are: {", ".join(known)}')
    status = 0
    for name, title, command in benchmarks:
        if args.names and name not in args.names:
            continue
        print(f"\n## {title}\n", flush=True)
        status |= subprocess.run([sys.executable, *map(str, command)], env=env, check=False).returncode
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())
