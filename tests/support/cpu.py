"""tests/support/cpu.py - CPU seconds of a daemon's threads, by name, from /proc."""

import os
import pathlib

TICKS = os.sysconf("SC_CLK_TCK")

# What libx264 and the stand-ins for a camera use, apart from what petcam itself does.
ENCODER = ("encoder",)
SOURCE = ("demo", "file")


def threads(pid):
    """CPU seconds so far, summed by thread name."""
    found = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
            fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        found[name] = found.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / TICKS
    return found


def between(before, after):
    return {name: after[name] - before.get(name, 0.0) for name in after}


def share(used, names):
    return sum(seconds for name, seconds in used.items() if name in names)


def rss_kb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0
