#!/usr/bin/env python3
"""The floors of the house: who includes whom, and what nobody calls.

    tests/layering.py [ROOT]

Reads every C file under ROOT and says, one line each, which include goes up or sideways,
is not written from the root, or reaches for another room's private header, and which
function of CONTRIBUTING's rule 16 is used. Exit status 1 if there was any.
"""
import os
import re
import sys
import tempfile

# A room and those that it stands on. `tests` stands on everything and nobody on it.
FLOORS = {
    "core": set(),
    "config": {"core"},
    "v4l2": {"core"},
    "hwaccel": {"core", "v4l2"},
    "inference": {"core"},
    "storage": {"core"},
    "http": {"core", "storage", "config"},
    "bench": {"core"},
    "petcamd": {"core", "config", "v4l2", "hwaccel", "inference", "storage", "http"},
}
ROOMS = set(FLOORS) | {"tests"}

# The one file that may be C++, behind a C header.
CXX_FILES = {"inference/armnn.cpp"}

BANNED = ["strcpy", "strcat", "sprintf", "vsprintf", "atoi", "atol", "atoll", "atof", "strtok",
          "gets", "alloca", "system"]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)
BANNED_CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
# strtol and its kin: the end pointer must be looked at, and so must errno (not in tests,
# which read what they know).
STRTO_CALL = re.compile(r"\b(strto(?:l|ll|ul|ull|imax|umax|d|f|ld))\s*\(([^;]*?),\s*([^,;]+?)[,)]")
COMMENT_OR_STRING = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def sources(root):
    """Paths, relative to root, of the C and C++ files of the rooms."""
    for room in sorted(ROOMS):
        for folder, folders, names in os.walk(os.path.join(root, room)):
            if os.path.relpath(folder, root) == os.path.join("tests", "virtual-pi"):
                folders[:] = []  # kernel modules: another house, with rules of its own
            folders[:] = sorted(f for f in folders
                                if f not in ("node_modules", "web") and not f.startswith("build"))
            for name in sorted(names):
                if name.endswith((".c", ".h", ".cpp", ".hpp", ".cc")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def blank(match):
    """Spaces instead of a comment or a string: positions and lines stay."""
    return re.sub(r"[^\n]", " ", match.group(0))


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def include_faults(root, path, text):
    room = path.split("/")[0]
    for match in INCLUDE.finditer(text):
        form, target = match.groups()
        other = target.split("/")[0]
        where = f"{path}:{line_of(text, match.start(2))}"
        if form == "<":
            if other in ROOMS and "/" in target and os.path.exists(os.path.join(root, target)):
                yield f"{where}: <{target}> is ours: write it in quotes"
            continue
        if other not in ROOMS or "/" not in target or ".." in target.split("/"):
            yield f'{where}: "{target}" is not written from the root'
            continue
        if not os.path.exists(os.path.join(root, target)):
            yield f'{where}: "{target}" does not exist'
        if room == "tests" or other == room:
            continue
        if other not in FLOORS[room]:
            yield f"{where}: {room} does not stand on {other} ({target})"
        if target.endswith("_internal.h"):
            yield f"{where}: {target} is private to {other}"


def call_faults(path, text):
    code = COMMENT_OR_STRING.sub(blank, text)
    for match in BANNED_CALL.finditer(code):
        yield f"{path}:{line_of(code, match.start())}: {match.group(1)}() is not used here"
    for match in STRTO_CALL.finditer("" if path.startswith("tests/") else code):
        if match.group(3) == "NULL" or "errno" not in code:
            yield (f"{path}:{line_of(code, match.start())}: {match.group(1)}() without looking "
                   "at its end and at errno")


def check(root):
    faults = []
    for path in sources(root):
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = file.read()
        if not path.endswith((".c", ".h")) and path not in CXX_FILES:
            faults.append(f"{path}: C++ lives in {', '.join(sorted(CXX_FILES))} only")
        # Not from inside a comment; strings must stay, they are the includes.
        uncommented = re.sub(r"/\*.*?\*/|//[^\n]*", blank, text, flags=re.S)
        faults += include_faults(root, path, uncommented)
        faults += call_faults(path, text)
    return faults


# What the checker must find, and what it must leave alone: file, text, words of the fault.
SELF_TEST = [
    ("core/a.h", "", None),
    ("core/a_internal.h", "", None),
    ("storage/s.h", '#include "core/a.h"\n', None),
    ("http/h.h", '#include "storage/s.h"\n#include <stdio.h>\n', None),
    ("petcamd/p.h", '#include "http/h.h"\n', None),
    ("tests/t.c", '#include "core/a_internal.h"\n#include "petcamd/p.h"\n', None),
    ("core/ok.c", '/* strcpy(a, b) */ f("system(1)"); x->gets(1); snprintf(a, 1, "b");\n'
                  "/* #include \"http/h.h\" */ mysystem(2); strtok_r(a);\n", None),
    ("core/number.c", "errno = 0; v = strtol(text, &end, 10);\n", None),
    ("tests/number.c", "v = strtol(text, NULL, 10);\n", None),
    ("core/up.c", '#include "storage/s.h"\n', "core does not stand on storage"),
    ("storage/side.c", '#include "inference/i.h"\n', "storage does not stand on inference"),
    ("inference/i.h", "", None),
    ("storage/near.c", '#include "s.h"\n', "not written from the root"),
    ("storage/dots.c", '#include "storage/../core/a.h"\n', "not written from the root"),
    ("storage/angle.c", "#include <core/a.h>\n", "write it in quotes"),
    ("storage/gone.c", '#include "core/gone.h"\n', "does not exist"),
    ("storage/private.c", '  # include "core/a_internal.h"\n', "private to core"),
    ("petcamd/test.c", '#include "tests/t.h"\n', "petcamd does not stand on tests"),
    ("tests/t.h", "", None),
    ("core/copy.c", "\n\n  strcpy(a, b);\n", "core/copy.c:3: strcpy() is not used"),
    ("core/shell.c", "r = system (a);\n", "system() is not used"),
    ("core/print.c", 'sprintf(a, "%d", b);\n', "sprintf() is not used"),
    ("core/end.c", "errno = 0; v = strtol(text, NULL, 10);\n", "strtol() without"),
    ("core/range.c", "v = strtod(text, &end);\n", "strtod() without"),
    ("core/plus.cpp", "", "C++ lives in"),
]


def self_test():
    with tempfile.TemporaryDirectory() as root:
        for path, text, _ in SELF_TEST:
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        faults = check(root)
        for path, _, words in SELF_TEST:
            found = [f for f in faults if f.startswith(path + ":")]
            if len(found) != (words is not None) or (words and words not in found[0]):
                sys.exit(f"layering.py itself is broken: {path} gave {found}, not {words}")


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(
        os.path.abspath(__file__)))
    self_test()
    faults = check(root)
    for fault in faults:
        print(fault)
    n_files = len(list(sources(root)))
    print(f"{n_files} files, {len(faults)} faults")
    sys.exit(1 if faults or n_files == 0 else 0)


if __name__ == "__main__":
    main()
