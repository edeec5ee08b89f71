#!/usr/bin/env python3
"""The checker over everything that hls_dump prints; and over playlists that it must refuse.

usage: test_playlists.py HLS_DUMP
"""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../live'))
import m3u8_check  # noqa: E402


def scenes(dump):
    return subprocess.run([dump], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.split()


def check_scene(dump, scene):
    output = subprocess.run([dump, scene], stdout=subprocess.PIPE, text=True, check=True).stdout
    session = m3u8_check.Session(pdt_tolerance=0.05)
    counts = {'full': 0, 'delta': 0}
    for block in output.split('=== ')[1:]:
        kind, _, text = block.partition('\n')
        counts[kind] += 1
        media = session.update(text)
        if kind == 'full' and media.skipped:
            session.complain('a delta where a whole playlist was asked for')
    last = session.before
    print(f'{scene}: {counts["full"]} whole, {counts["delta"]} delta, '
          f'part target {last.part_target}, {len(last.segments)} segments, '
          f'{session.hints_kept} hints kept')
    assert counts["full"] > 40 and counts["delta"] > 10, counts
    assert session.hints_kept > 40
    return [f'{scene}: {problem}' for problem in dict.fromkeys(session.problems)]


GOOD = '''#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6,CAN-SKIP-UNTIL=6.0
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-MAP:URI="i.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z
#EXTINF:1.00000,
s7.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:01.000Z
#EXT-X-PART:DURATION=0.20000,URI="p8.0",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.20000,URI="p8.1"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p8.2"
'''

# What one change to GOOD must be found out by (a word of the sentence).
BAD = [
    ('#EXTM3U\n', '', 'EXTM3U'),
    ('VERSION:9', 'VERSION:5', 'need 6'),
    ('TARGETDURATION:1\n', 'TARGETDURATION:1\n#EXT-X-TARGETDURATION:1\n', 'twice'),
    ('#EXT-X-TARGETDURATION:1\n', '', 'TARGETDURATION'),
    ('HOLD-BACK=0.6', 'HOLD-BACK=0.5', 'PART-HOLD-BACK'),
    ('CAN-SKIP-UNTIL=6.0', 'CAN-SKIP-UNTIL=5.0', 'CAN-SKIP-UNTIL'),
    ('#EXT-X-PART-INF:PART-TARGET=0.2\n', '', 'PART-INF'),
    ('#EXT-X-MAP:URI="i.mp4"\n', '', 'EXT-X-MAP'),
    ('#EXTINF:1.00000,\n', '', 'EXTINF'),
    ('#EXTINF:1.00000,', '#EXTINF:1.6,', 'target duration'),
    ('#EXTINF:1.00000,', '#EXTINF:1.00000', 'comma'),
    ('00:00:01.000Z', '00:00:01Z', 'milliseconds'),
    ('DURATION=0.20000,URI="p8.0"', 'DURATION=0.21000,URI="p8.0"', 'target 0.2'),
    (',INDEPENDENT=YES', '', 'INDEPENDENT'),
    ('URI="p8.1"\n', 'URI="p8.1"\n#EXT-X-DISCONTINUITY\n', 'after the first'),
    ('#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p8.2"\n', '', 'PRELOAD-HINT'),
    ('TYPE=PART,URI="p8.2"', 'TYPE=PART,URI="p8.1"', 'listed already'),
    ('URI="p8.1"', 'URI=p8.1', 'quoted'),
    ('#EXT-X-MEDIA-SEQUENCE:7\n', '#EXT-X-SKIP:SKIPPED-SEGMENTS=0\n', 'no segment'),
]

# Successors of GOOD that must be found out.
BAD_NEXT = [
    ('SEQUENCE:7', 'SEQUENCE:6', 'went back'),
    ('PART-TARGET=0.2', 'PART-TARGET=0.21', 'part_target changed'),
    ('#EXTINF:1.00000,', '#EXTINF:1.10000,', 'changed'),
    ('URI="p8.0"', 'URI="p8.x"', 'parts changed'),
    ('URI="p8.1"\n', 'URI="p8.1"\n#EXT-X-PART:DURATION=0.20000,URI="p8.x"\n', 'hinted'),
    ('00:00:01.000Z', '00:00:01.900Z', 'tags of the growing'),
    ('#EXT-X-PART:DURATION=0.20000,URI="p8.1"\n', '', 'went back'),
]


def check_checker():
    problems = []
    found = m3u8_check.check_media(m3u8_check.parse_media(GOOD))
    problems += [f'found in a good playlist: {p}' for p in found]
    for old, new, word in BAD:
        assert old in GOOD, old
        found = m3u8_check.check_media(m3u8_check.parse_media(GOOD.replace(old, new, 1)))
        if not any(word in p for p in found):
            problems.append(f'"{old}" -> "{new}": not found out ({found})')
    for old, new, word in BAD_NEXT:
        assert old in GOOD, old
        session = m3u8_check.Session()
        session.update(GOOD)
        session.update(GOOD.replace(old, new, 1))
        if not any(word in p for p in session.problems):
            problems.append(f'then "{old}" -> "{new}": not found out ({session.problems})')
    return problems


def main():
    problems = check_checker()
    for scene in scenes(sys.argv[1]):
        problems += check_scene(sys.argv[1], scene)
    for problem in problems[:40]:
        print('PROBLEM', problem)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
