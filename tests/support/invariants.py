"""tests/support/invariants.py - what must hold of a data root after any crash (DESIGN, "Keeping").

No row that names a missing file, no file without a row, nothing left open or in the garbage, and every
recording decodes with as many frames as its row says. Run on a root that no daemon holds.
"""

import pathlib
import sqlite3
import subprocess


def decoded_frames(path):
    """Frames that decode, and what the decoder complained about."""
    out = subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v:0", "-f", "framemd5", "-"],
                         check=False, capture_output=True, text=True)
    frames = sum(1 for line in out.stdout.splitlines() if not line.startswith("#"))
    return frames, out.stderr.strip()


def broken(data_root, decode=True):
    """Every broken invariant as a sentence; an empty list is what is wanted."""
    root = pathlib.Path(data_root)
    found = []
    database = sqlite3.connect(f"file:{root}/petcam.db?mode=ro", uri=True)
    try:
        check = database.execute("PRAGMA quick_check").fetchone()[0]
        if check != "ok":
            found.append(f"quick_check: {check}")
        rows = database.execute("SELECT recording_id, path, state, frames, bytes FROM recording").fetchall()
        for recording_id, path, state, frames, size in rows:
            file = root / path
            if state != "closed":
                found.append(f"recording {recording_id} is {state}")
            if not file.is_file():
                found.append(f"recording {recording_id}: {path} is missing")
                continue
            if file.stat().st_size != size:
                found.append(f"{path}: {file.stat().st_size} bytes, its row says {size}")
            if decode:
                got, complaint = decoded_frames(file)
                if complaint:
                    found.append(f"{path}: {complaint}")
                if got != frames or got == 0:
                    found.append(f"{path}: {got} frames decode, its row says {frames}")
        named = {row[1] for row in rows}
        for file in (root / "recordings").rglob("*"):
            if file.is_file() and file.suffix == ".mp4" and str(file.relative_to(root)) not in named:
                found.append(f"{file.relative_to(root)} has no row")
            if file.is_file() and file.suffix not in (".mp4", ".jpg") and file.name != "storage.uuid":
                found.append(f"{file.relative_to(root)} was left over")
        garbage = database.execute("SELECT count(*) FROM garbage").fetchone()[0]
        if garbage:
            found.append(f"{garbage} rows in garbage")
        for event_id, path in database.execute(
                "SELECT event_id, media_path FROM event_log WHERE media_path IS NOT NULL"):
            if path not in named:
                found.append(f"event {event_id} names {path}, which has no row")
        for event_id, path in database.execute(
                "SELECT event_id, thumbnail FROM event_log WHERE thumbnail IS NOT NULL"):
            if not (root / path).is_file():
                found.append(f"event {event_id}: thumbnail {path} is missing")
    finally:
        database.close()
    return found


def recorded_until(data_root):
    """UTC ms at which the newest recording ends; 0: none."""
    database = sqlite3.connect(f"file:{data_root}/petcam.db?mode=ro", uri=True)
    try:
        return database.execute("SELECT ifnull(max(timestamp + duration), 0) FROM recording").fetchone()[0]
    finally:
        database.close()
