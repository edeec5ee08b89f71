#!/usr/bin/env python3
"""Motion on the labelled clips: what is seen, what is missed, what is invented.

    tests/eval/run.py EVAL_MOTION [--all] [options of eval_motion...]

Runs the clips of $PETCAM_SHARED (or ../shared beside the repository) through eval_motion
and compares its motion events with events.csv. For a clip with a still camera every
labelled movement, and every stretch in which a person is there, must lie within an event,
and no event may begin in an empty stretch or cover it; the labels are good to 0.3 s. A
clip whose camera moves must only run. Several phases (the first frame looked at) are
tried, for a camera does not begin when a label does. Exit status: 0, 1 for a violation,
77 without the data.
"""
import csv
import os
import subprocess
import sys

LABEL_ERROR_S = 0.3
STILL = ("v02", "v03", "n01", "n03")
# Something is to be seen while this is the label; the others say nothing about motion.
PRESENT = {"moving", "jumping", "playing", "eating", "interacting", "entering", "leaving",
           "person_present",
           "sitting"}  # v02: the puppy turns its head all the time
# Neither needed nor wrong.
MAY_MOVE = {"lying", "scene_motion"}
PHASES = ("0", "0.04", "0.07")
COLUMNS = "{:<32}{:>6}{:>10}{:>9}{:>9}{:>8}{:>9}  {}"


def shared_folder():
    beside = os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared")
    return os.environ.get("PETCAM_SHARED") or os.path.abspath(beside)


def merged(intervals):
    result = []
    for start, end in sorted(intervals):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        elif end > start:
            result.append((start, end))
    return result


def without(intervals, others):
    """The parts of intervals that lie in none of the others."""
    result = []
    for start, end in intervals:
        for low, high in merged(others):
            if high <= start or low >= end:
                continue
            if low > start:
                result.append((start, low))
            start = max(start, high)
        if start < end:
            result.append((start, end))
    return result


def length(intervals):
    return sum(end - start for start, end in intervals)


def shrunk(intervals):
    return [(s + LABEL_ERROR_S, e - LABEL_ERROR_S) for s, e in intervals
            if e - s > 2 * LABEL_ERROR_S]


def run(program, path, options):
    done = subprocess.run([program, path, *options], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        return None, f"exit status {done.returncode}: {done.stderr.strip()[-200:]}"
    events, clip = [], None
    for line in done.stdout.splitlines():
        words = line.split("\t")
        if words[0] == "event" and words[1] == "motion":
            events.append((float(words[2]), float(words[3])))
        elif words[0] == "clip":
            clip = {"length": float(words[1]), "ms": float(words[4])}
    return (events, clip), None


def judge(labels, events, clip_s):
    """Covered, missed, invented (as lists of stretches), all beyond the labels' error."""
    needed = merged((s, min(e, clip_s)) for s, e, label in labels if label in PRESENT)
    allowed = merged([(s, e) for s, e, label in labels if label in PRESENT | MAY_MOVE])
    empty = shrunk(without([(0.0, clip_s)], allowed))
    # The clip's own ends are no error of the label.
    empty = [(0.0 if s < 2 * LABEL_ERROR_S else s,
              clip_s if e > clip_s - 2 * LABEL_ERROR_S else e) for s, e in empty]
    found = merged(events)
    missed = without(shrunk(needed), found)
    return needed, missed, without(empty, without(empty, found))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program, options = sys.argv[1], sys.argv[2:]
    every = "--all" in options
    options = [option for option in options if option != "--all"]
    folder = os.path.join(shared_folder(), "data", "video")
    table = os.path.join(folder, "events.csv")
    if not os.path.exists(table):
        print(f"SKIP: no labelled clips at {folder} (set PETCAM_SHARED)")
        return 77
    labels = {}
    with open(table, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            labels.setdefault(row["file"], []).append(
                (float(row["start_s"]), float(row["end_s"]), row["label"]))
    print(COLUMNS.format("clip", "phase", "covered s", "missed s", "false s", "events",
                         "ms/frame", "verdict"))
    bad = 0
    for name in sorted(labels, key=lambda name: (not name.startswith(STILL), name)):
        still = name.startswith(STILL)
        for phase in PHASES if still or every else PHASES[:1]:
            got, error = run(program, os.path.join(folder, name), ["--phase", phase, *options])
            if error:
                bad += 1
                print(COLUMNS.format(name[:31], phase, "", "", "", "", "", error))
                continue
            events, clip = got
            needed, missed, false = judge(labels[name], events, clip["length"])
            verdict = "ran"
            if still:
                verdict = "ok" if not missed and not false else "BAD"
                bad += verdict == "BAD"
            for what, where in (("missed", missed), ("false", false)):
                if still and where:
                    verdict += " " + what + " " + ", ".join(f"{s:.1f}-{e:.1f}" for s, e in where)
            covered = length(needed) - length(without(needed, merged(events)))
            print(COLUMNS.format(name[:31], phase, f"{covered:.1f}", f"{length(missed):.1f}",
                                 f"{length(false):.1f}", len(events), f"{clip['ms']:.2f}",
                                 verdict))
    print(f"{bad} violations" if bad else "no violation")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
