#!/usr/bin/env python3
"""tests/bench/hwpath/compare.py - `./dev bench hwpath`: petcam beside GStreamer and ffmpeg, in the virtual Pi.

    compare.py [--rounds 3] [--seconds 5] [--json FILE] [--markdown FILE] [--check]

What is measured, and how: inside.py. Prints a table of medians with their spread, and of ratios to petcam, and where
petcam is not the best; with --check that is the exit status. docs/hardware-path.md has figures and what they mean.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BUILD = ROOT / "build"

# What is compared; less is better of all of them.
ROWS = [
    ("ms_per_frame", "wall time a frame, saturated, ms", "{:.2f}"),
    ("calls_per_frame", "system calls a frame", "{:.1f}"),
    ("faults_per_frame", "page faults a frame, saturated", "{:.3f}"),
    ("bytes_per_frame", "bytes copied a frame", "{:,.0f}"),
    ("peak_kb", "peak memory of the process (VmHWM), kB", "{:,.0f}"),
]
# For understanding; not compared.
NOTES = [
    ("fps", "frames a second, saturated", "{:.1f}"),
    ("traced_fps", "frames a second while calls were counted, of 30", "{:.1f}"),
    ("call_bytes_per_frame", "of the bytes: by system calls", "{:,.0f}"),
    ("copied_bytes_per_frame", "of the bytes: by memcpy and memmove of 4 KiB and more", "{:,.0f}"),
    ("small_copied_bytes_per_frame", "beside: by smaller memcpy and memmove", "{:,.0f}"),
    ("peak_with_output_kb", "peak memory and HLS files on the tmpfs, kB", "{:,.0f}"),
]


def shim():
    """tests/support/copy_count.c, built."""
    path = BUILD / "copy_count.so"
    source = ROOT / "tests/support/copy_count.c"
    if not path.exists() or path.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["cc", "-O2", "-fno-builtin", "-shared", "-fPIC", "-o", path, source], check=True)
    return path


def column(results, program, name):
    return [r[name] for r in results if r["program"] == program]


def cell(values, form):
    middle, low, high = (form.format(v) for v in (statistics.median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"


def tables(results):
    programs = list(dict.fromkeys(r["program"] for r in results))
    lines = ["| | " + " | ".join(programs) + " |", "|---|" + "---|" * len(programs)]
    for name, title, form in ROWS + NOTES:
        lines.append(f"| {title} | " + " | ".join(cell(column(results, p, name), form) for p in programs) + " |")
    others = [p for p in programs if not p.startswith("petcam")]
    worse = []
    for mine in (p for p in programs if p.startswith("petcam") and others):
        lines += ["", f"How many times that of \"{mine}\" (median of the rounds' ratios, lowest to highest):", "",
                  "| | " + " | ".join(others) + " |", "|---|" + "---|" * len(others)]
        for name, title, _ in ROWS:
            ours, cells = column(results, mine, name), []
            for other in others:
                ratios = [b / a if a > 0 else float("inf") if b > 0 else 1.0
                          for a, b in zip(ours, column(results, other, name))]
                middle = statistics.median(ratios)
                cells.append(f"{middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
                if middle <= 1:
                    worse.append(f"{title}: {other} has {middle:.2f} of {mine}'s")
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n", worse


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--markdown", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = pathlib.Path(folder) / "hwpath.json"
        limit = int(60 + args.rounds * 4 * (4 * args.seconds + 60))
        status = subprocess.run(
            [ROOT / "tests/virtual-pi/vpi", "run", "--memory", "2048", "--timeout", str(limit), "--share", folder,
             "--env", f"PETCAM_BUILD={BUILD}", "--", "python3", HERE / "inside.py", "--rounds", str(args.rounds),
             "--seconds", str(args.seconds), "--shim", shim(), "--json", found, "--only", args.only],
            check=False).returncode
        if status != 0:
            return status
        results = json.loads(found.read_text())
    text, worse = tables(results)
    print("\n" + text)
    print("\n".join(worse) if worse else "petcam is better than both on each.")
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")
    if args.markdown:
        args.markdown.write_text(text)
    return 1 if worse and args.check else 0


if __name__ == "__main__":
    sys.exit(main())
