#!/usr/bin/env python3
"""A checker of HLS playlists, written from RFC 8216bis.

As a library: parse_media(), check_media(), check_multivariant(), and Session, which also
holds what changes from one reload to the next against the rules. Each returns or collects
problems as sentences; none means that nothing was found.

As a command:  m3u8_check.py URL [--token T] [--seconds N] [--insecure]
follows a live stream as a Low-Latency client does: blocking reloads, delta updates, hinted
parts, each part's media parsed; asks for what must be refused too. Exit code 1: problems.
"""
import argparse
import datetime
import re
import sys
import urllib.parse

EPSILON = 0.00002  # two units of the last place that durations are written with

ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s][^,]*)(?:,|$)')
DECIMAL = re.compile(r'^\d+(\.\d+)?$')
INTEGER = re.compile(r'^\d{1,20}$')

MEDIA_TAGS = {
    'EXT-X-VERSION', 'EXT-X-TARGETDURATION', 'EXT-X-SERVER-CONTROL', 'EXT-X-PART-INF',
    'EXT-X-INDEPENDENT-SEGMENTS', 'EXT-X-MEDIA-SEQUENCE', 'EXT-X-DISCONTINUITY-SEQUENCE',
    'EXT-X-SKIP', 'EXT-X-DISCONTINUITY', 'EXT-X-MAP', 'EXT-X-PROGRAM-DATE-TIME', 'EXT-X-PART',
    'EXTINF', 'EXT-X-GAP', 'EXT-X-PRELOAD-HINT', 'EXT-X-ENDLIST',
}
MULTIVARIANT_TAGS = {'EXT-X-VERSION', 'EXT-X-INDEPENDENT-SEGMENTS', 'EXT-X-STREAM-INF'}
# Those that may stand once only.
SINGLE_TAGS = {
    'EXT-X-VERSION', 'EXT-X-TARGETDURATION', 'EXT-X-SERVER-CONTROL', 'EXT-X-PART-INF',
    'EXT-X-INDEPENDENT-SEGMENTS', 'EXT-X-MEDIA-SEQUENCE', 'EXT-X-DISCONTINUITY-SEQUENCE',
    'EXT-X-SKIP', 'EXT-X-ENDLIST',
}
# Those that must stand before the first segment.
HEAD_TAGS = {'EXT-X-MEDIA-SEQUENCE', 'EXT-X-DISCONTINUITY-SEQUENCE', 'EXT-X-SERVER-CONTROL',
             'EXT-X-PART-INF', 'EXT-X-TARGETDURATION', 'EXT-X-VERSION', 'EXT-X-SKIP'}


def attributes(text, problems, where):
    """An attribute list as a dict; quoted strings keep their quotes."""
    found = {}
    at = 0
    while at < len(text):
        match = ATTRIBUTE.match(text, at)
        if match is None:
            problems.append(f'{where}: malformed attribute list at "{text[at:at + 30]}"')
            break
        if match.group(1) in found:
            problems.append(f'{where}: {match.group(1)} twice')
        found[match.group(1)] = match.group(2)
        at = match.end()
    if text.endswith(','):
        problems.append(f'{where}: attribute list ends with a comma')
    return found


def quoted(found, name, problems, where):
    value = found.get(name)
    if value is None or len(value) < 3 or value[0] != '"' or value[-1] != '"':
        problems.append(f'{where}: {name} must be a quoted string, is {value}')
        return ''
    return value[1:-1]


def number(text, problems, where):
    if text is None or not DECIMAL.match(text):
        problems.append(f'{where}: "{text}" is no decimal number')
        return 0.0
    return float(text)


def integer(text, problems, where):
    if text is None or not INTEGER.match(text):
        problems.append(f'{where}: "{text}" is no decimal integer')
        return 0
    return int(text)


class Part:
    def __init__(self, uri, duration, independent, gap):
        self.uri, self.duration, self.independent, self.gap = uri, duration, independent, gap

    def key(self):
        return (self.uri, self.duration, self.independent, self.gap)


class Segment:
    def __init__(self, msn):
        self.msn = msn
        self.uri = None  # None: it is still growing
        self.duration = None
        self.map = None
        self.pdt = None
        self.discontinuity = False
        self.discontinuity_sequence = 0
        self.gap = False
        self.parts = []

    def key(self):
        return (self.uri, self.duration, self.map, self.pdt, self.discontinuity_sequence, self.gap)


class Media:
    def __init__(self):
        self.version = 1
        self.target = 0
        self.part_target = None
        self.control = {}
        self.independent = False
        self.media_sequence = 0
        self.discontinuity_sequence = 0
        self.skipped = 0
        self.segments = []  # those that are listed; the last may be growing
        self.hints = []  # (type, uri)
        self.ended = False
        self.problems = []

    def last(self):
        """(msn, part index) of the last part, or of the last segment (part None)."""
        for segment in reversed(self.segments):
            if segment.parts:
                return segment.msn, len(segment.parts) - 1
            if segment.uri is not None:
                return segment.msn, None
        return None


def parse_date(text):
    try:
        return datetime.datetime.fromisoformat(text.replace('Z', '+00:00')).timestamp()
    except ValueError:
        return None


def parse_media(text):
    media = Media()
    problems = media.problems
    lines = text.split('\n')
    if not text.endswith('\n'):
        problems.append('the last line has no end')
    if lines[0].rstrip('\r') != '#EXTM3U':
        problems.append('the first line is not #EXTM3U')
    seen = set()
    state = {'segment': None, 'map': None, 'sequence': 0, 'discontinuities': 0, 'msn': None}

    def current():
        if state['segment'] is None:
            if state['msn'] is None:
                state['msn'] = media.media_sequence + media.skipped
                state['discontinuities'] = media.discontinuity_sequence
            state['segment'] = Segment(state['msn'])
        return state['segment']

    for at, line in enumerate(lines[1:], 2):
        line = line.rstrip('\r')
        where = f'line {at}'
        if line == '':
            continue
        if not line.startswith('#'):
            segment = current()
            if segment.duration is None:
                problems.append(f'{where}: a segment without EXTINF')
                segment.duration = 0.0
            segment.uri = line
            finish(state, media)
            continue
        if not line.startswith('#EXT'):
            continue  # a comment
        name, _, value = line[1:].partition(':')
        if name not in MEDIA_TAGS:
            problems.append(f'{where}: {name} does not belong into a media playlist of ours')
            continue
        if name in SINGLE_TAGS and name in seen:
            problems.append(f'{where}: {name} twice')
        seen.add(name)
        if name in HEAD_TAGS and (media.segments or state['segment'] is not None):
            problems.append(f'{where}: {name} after the first segment')
        tag(media, state, current, name, value, where)
    if state['segment'] is not None:
        finish(state, media)
    if 'EXT-X-TARGETDURATION' not in seen:
        problems.append('no EXT-X-TARGETDURATION')
    return media


def finish(state, media):
    segment = state['segment']
    if segment.discontinuity:
        state['discontinuities'] += 1
    segment.discontinuity_sequence = state['discontinuities']
    segment.map = state['map']
    media.segments.append(segment)
    state['segment'] = None
    state['msn'] += 1


def tag(media, state, current, name, value, where):
    problems = media.problems
    if name == 'EXT-X-VERSION':
        media.version = integer(value, problems, where)
    elif name == 'EXT-X-TARGETDURATION':
        media.target = integer(value, problems, where)
    elif name == 'EXT-X-MEDIA-SEQUENCE':
        media.media_sequence = integer(value, problems, where)
    elif name == 'EXT-X-DISCONTINUITY-SEQUENCE':
        media.discontinuity_sequence = integer(value, problems, where)
    elif name == 'EXT-X-INDEPENDENT-SEGMENTS':
        media.independent = True
    elif name == 'EXT-X-ENDLIST':
        media.ended = True
    elif name == 'EXT-X-SERVER-CONTROL':
        media.control = attributes(value, problems, where)
    elif name == 'EXT-X-PART-INF':
        found = attributes(value, problems, where)
        media.part_target = number(found.get('PART-TARGET'), problems, where)
    elif name == 'EXT-X-SKIP':
        found = attributes(value, problems, where)
        media.skipped = integer(found.get('SKIPPED-SEGMENTS'), problems, where)
        if media.skipped == 0:
            problems.append(f'{where}: EXT-X-SKIP of no segment')
    elif name == 'EXT-X-PRELOAD-HINT':
        found = attributes(value, problems, where)
        if found.get('TYPE') not in ('PART', 'MAP'):
            problems.append(f'{where}: hint of TYPE {found.get("TYPE")}')
        media.hints.append((found.get('TYPE'), quoted(found, 'URI', problems, where)))
    else:
        segment_tag(media, state, current(), name, value, where)


def segment_tag(media, state, segment, name, value, where):
    problems = media.problems
    if segment.parts and name in ('EXT-X-DISCONTINUITY', 'EXT-X-MAP', 'EXT-X-PROGRAM-DATE-TIME'):
        problems.append(f'{where}: {name} after the first EXT-X-PART of its segment')
    if name == 'EXT-X-DISCONTINUITY':
        segment.discontinuity = True
    elif name == 'EXT-X-MAP':
        found = attributes(value, problems, where)
        state['map'] = quoted(found, 'URI', problems, where)
    elif name == 'EXT-X-PROGRAM-DATE-TIME':
        segment.pdt = parse_date(value)
        if segment.pdt is None or not re.search(r'\.\d{3}', value) or not re.search(
                r'(Z|[+-]\d\d:\d\d)$', value):
            problems.append(f'{where}: date "{value}" lacks milliseconds or zone')
    elif name == 'EXT-X-GAP':
        segment.gap = True
    elif name == 'EXTINF':
        duration, comma, _ = value.partition(',')
        if comma == '':
            problems.append(f'{where}: EXTINF without its comma')
        segment.duration = number(duration, problems, where)
    elif name == 'EXT-X-PART':
        found = attributes(value, problems, where)
        for flag in ('INDEPENDENT', 'GAP'):
            if found.get(flag) not in (None, 'YES'):
                problems.append(f'{where}: {flag}={found[flag]}')
        segment.parts.append(Part(quoted(found, 'URI', problems, where),
                                  number(found.get('DURATION'), problems, where),
                                  'INDEPENDENT' in found, 'GAP' in found))


def check_media(media):
    """The rules that one playlist must keep by itself."""
    problems = list(media.problems)
    check_head(media, problems)
    after = sum(s.duration if s.uri is not None else sum(p.duration for p in s.parts)
                for s in media.segments)
    for segment in media.segments:
        check_segment(media, segment, after, problems)
        after -= segment.duration or 0
    for segment in media.segments[:-1]:
        if segment.uri is None:
            problems.append(f'segment {segment.msn} has no URI, but another follows')
    kinds = [kind for kind, _ in media.hints]
    if len(kinds) != len(set(kinds)):
        problems.append('more than one hint of a TYPE')
    if media.ended and media.hints:
        problems.append('a hint in a playlist that has ended')
    if media.part_target is not None and not media.ended and 'PART' not in kinds:
        problems.append('no EXT-X-PRELOAD-HINT for the next part')
    listed = {part.uri for segment in media.segments for part in segment.parts}
    problems += [f'hint {uri} is listed already' for _, uri in media.hints if uri in listed]
    return problems


def check_head(media, problems):
    control = media.control
    has_parts = any(segment.parts for segment in media.segments)
    if media.target < 1:
        problems.append(f'target duration {media.target}')
    if has_parts and media.part_target is None:
        problems.append('parts, but no EXT-X-PART-INF')
    if media.part_target is not None:
        hold = number(control.get('PART-HOLD-BACK'), problems, 'PART-HOLD-BACK')
        if hold + EPSILON / 4 < 3 * media.part_target:
            problems.append(f'PART-HOLD-BACK {hold} is below 3 x {media.part_target}')
    if 'HOLD-BACK' in control and number(control['HOLD-BACK'], problems,
                                         'HOLD-BACK') < 3 * media.target:
        problems.append('HOLD-BACK is below three target durations')
    if 'CAN-SKIP-UNTIL' in control and number(control['CAN-SKIP-UNTIL'], problems,
                                              'CAN-SKIP-UNTIL') < 6 * media.target:
        problems.append('CAN-SKIP-UNTIL is below six target durations')
    if media.skipped > 0 and 'CAN-SKIP-UNTIL' not in control:
        problems.append('EXT-X-SKIP without CAN-SKIP-UNTIL')
    needed = 9 if media.skipped > 0 else 6 if any(s.map for s in media.segments) else 3
    if media.version < needed:
        problems.append(f'version {media.version}, but its tags need {needed}')


def check_segment(media, segment, after, problems):
    name = f'segment {segment.msn}'
    if segment.map is None and media.skipped == 0:
        problems.append(f'{name}: no EXT-X-MAP applies')
    if segment.uri is not None and int(segment.duration + 0.5) > media.target:
        problems.append(f'{name}: {segment.duration} s, target duration {media.target}')
    if segment.uri is None and not segment.parts:
        problems.append(f'{name}: tags of a segment that has neither parts nor URI')
    if not segment.parts or media.part_target is None:
        return
    if media.independent and not segment.parts[0].independent:
        problems.append(f'{name}: first part not INDEPENDENT, all segments are said to be')
    total = sum(part.duration for part in segment.parts)
    if segment.uri is not None and abs(total - segment.duration) > media.part_target + EPSILON:
        problems.append(f'{name}: parts make {total:.5f} s, EXTINF {segment.duration:.5f}')
    if segment.uri is not None and after > 3 * media.target + EPSILON:
        problems.append(f'{name}: parts listed {after:.3f} s from the end')
    for i, part in enumerate(segment.parts):
        if part.duration > media.part_target:
            problems.append(f'{part.uri}: {part.duration} s, target {media.part_target}')
        follower = segment.parts[i + 1] if i + 1 < len(segment.parts) else None
        if (follower is not None and not part.independent and not part.gap and
                not follower.gap and part.duration + EPSILON < 0.85 * media.part_target):
            problems.append(f'{part.uri}: {part.duration} s is below 85 % of the target')


class Session:
    """Successive versions of one live playlist."""

    def __init__(self, pdt_tolerance=0.1):
        self.problems = []
        self.before = None  # Media, whole
        self.segments = {}  # msn -> Segment, as last seen
        self.uris = {}  # URI -> what it names
        self.hinted = None
        self.new_parts = []  # of the last update: (msn, index, Part)
        self.pdt_tolerance = pdt_tolerance
        self.hints_kept = 0

    def complain(self, text):
        self.problems.append(text)

    def update(self, text):
        """Takes a whole playlist or a delta update; the Media as it now stands, whole."""
        media = parse_media(text)
        self.problems += check_media(media)
        if media.skipped > 0:
            self.merge(media)
        before = self.before
        if before is not None:
            self.check_constants(before, media)
            self.check_removed(before, media)
        self.new_parts = []
        for segment in media.segments:
            self.check_known(segment)
        self.check_dates(media)
        self.check_hint(media)
        self.before = media
        return media

    def merge(self, delta):
        if self.before is None:
            self.complain('a delta update as the first answer')
            return
        known = {s.msn: s for s in self.before.segments}
        wanted = range(delta.media_sequence, delta.media_sequence + delta.skipped)
        missing = [msn for msn in wanted if msn not in known]
        if missing:
            self.complain(f'the delta skips segments that were never listed: {missing}')
        boundary = float(delta.control.get('CAN-SKIP-UNTIL', 0))
        ends = [s for s in delta.segments if s.uri is not None]
        if sum(s.duration for s in ends) + EPSILON < boundary:
            self.complain('the delta skips segments within the skip boundary')
        skipped = [known[msn] for msn in wanted if msn in known]
        base = delta.discontinuity_sequence + sum(1 for s in skipped if s.discontinuity)
        current_map = skipped[-1].map if skipped else None
        for segment in delta.segments:
            base += 1 if segment.discontinuity else 0
            segment.discontinuity_sequence = base
            if segment.map is None:
                segment.map = current_map
            current_map = segment.map
        delta.segments = skipped + delta.segments

    def check_constants(self, before, media):
        for what in ('version', 'target', 'part_target', 'control', 'independent'):
            if getattr(before, what) != getattr(media, what):
                self.complain(f'{what} changed from {getattr(before, what)} to '
                              f'{getattr(media, what)}')
        if media.media_sequence < before.media_sequence:
            self.complain('EXT-X-MEDIA-SEQUENCE went back')
        if media.discontinuity_sequence < before.discontinuity_sequence:
            self.complain('EXT-X-DISCONTINUITY-SEQUENCE went back')
        if before.last() is not None:
            if media.last() is None or media.last() < before.last():
                self.complain(f'the end went back from {before.last()} to {media.last()}')

    def check_removed(self, before, media):
        removed = [s for s in before.segments if s.msn < media.media_sequence]
        if removed and media.segments:
            left = sum(s.duration for s in media.segments if s.uri is not None)
            if left + EPSILON < 3 * media.target:
                self.complain('segments removed, and less than three target durations left')
        listed = {s.msn for s in media.segments}
        lost = [s.msn for s in before.segments if s.msn >= media.media_sequence and
                s.msn not in listed]
        if lost:
            self.complain(f'segments {lost} vanished from the middle')

    def check_known(self, segment):
        known = self.segments.get(segment.msn)
        name = f'segment {segment.msn}'
        if known is not None:
            if known.uri is not None and known.key() != segment.key():
                self.complain(f'{name} changed from {known.key()} to {segment.key()}')
            if known.uri is None and (known.map, known.pdt, known.discontinuity_sequence) != (
                    segment.map, segment.pdt, segment.discontinuity_sequence):
                self.complain(f'the tags of the growing {name} changed')
            old, new = [p.key() for p in known.parts], [p.key() for p in segment.parts]
            if new and old != new[:len(old)]:
                self.complain(f'{name}: parts changed from {old} to {new}')
            if known.uri is not None and len(new) > len(old):
                self.complain(f'{name}: parts added after its end')
            if old and not new and segment.uri is None:
                self.complain(f'{name}: parts of the growing segment removed')
        start = len(known.parts) if known is not None else 0
        for i, part in enumerate(segment.parts):
            self.name(part.uri, (segment.msn, i))
            if i >= start:
                self.new_parts.append((segment.msn, i, part))
        if segment.uri is not None:
            self.name(segment.uri, (segment.msn, None))
        if known is None or segment.parts or segment.uri != known.uri:
            if known is not None and not segment.parts:
                segment.parts = known.parts  # removed from the list, not from the world
                self.segments[segment.msn] = segment
            else:
                self.segments[segment.msn] = segment

    def name(self, uri, what):
        if self.uris.setdefault(uri, what) != what:
            self.complain(f'{uri} names {self.uris[uri]} and {what}')

    def check_dates(self, media):
        for one, two in zip(media.segments, media.segments[1:]):
            if one.pdt is None or two.pdt is None or one.uri is None:
                continue
            step = two.pdt - one.pdt
            if two.discontinuity_sequence == one.discontinuity_sequence:
                if abs(step - one.duration) > self.pdt_tolerance:
                    self.complain(f'segment {two.msn}: dates say {step:.3f} s after the one '
                                  f'before, which lasts {one.duration:.3f}')
            elif step < -1:
                self.complain(f'segment {two.msn}: its date is before the last one')

    def check_hint(self, media):
        if self.hinted is not None and self.new_parts:
            _, _, part = self.new_parts[0]
            if part.uri != self.hinted:
                self.complain(f'hinted {self.hinted}, but {part.uri} came')
            else:
                self.hints_kept += 1
        parts = [uri for kind, uri in media.hints if kind == 'PART']
        self.hinted = parts[0] if parts else None


def check_multivariant(text):
    """(problems, URIs of the variants)"""
    problems, uris, pending = [], [], False
    lines = text.split('\n')
    if lines[0].rstrip('\r') != '#EXTM3U':
        problems.append('the first line is not #EXTM3U')
    for at, line in enumerate(lines[1:], 2):
        line = line.rstrip('\r')
        where = f'line {at}'
        if line.startswith('#EXT'):
            name, _, value = line[1:].partition(':')
            if name not in MULTIVARIANT_TAGS:
                problems.append(f'{where}: {name} does not belong into a multivariant playlist')
            if name == 'EXT-X-STREAM-INF':
                found = attributes(value, problems, where)
                if integer(found.get('BANDWIDTH'), problems, where) == 0:
                    problems.append(f'{where}: no BANDWIDTH')
                if not re.match(r'^"avc1\.[0-9a-fA-F]{6}"$', found.get('CODECS', '')):
                    problems.append(f'{where}: CODECS={found.get("CODECS")}')
                if not re.match(r'^\d+x\d+$', found.get('RESOLUTION', '')):
                    problems.append(f'{where}: RESOLUTION={found.get("RESOLUTION")}')
                if 'FRAME-RATE' in found:
                    number(found['FRAME-RATE'], problems, where)
                pending = True
        elif line and not line.startswith('#'):
            if not pending:
                problems.append(f'{where}: a URI without EXT-X-STREAM-INF')
            uris.append(line)
            pending = False
    if not uris or pending:
        problems.append('no variant')
    return problems, uris


def main():
    parser = argparse.ArgumentParser(description='Checks a live HLS stream.')
    parser.add_argument('url', help='of the multivariant playlist')
    parser.add_argument('--token', help='access token, sent as Authorization')
    parser.add_argument('--seconds', type=float, default=10)
    parser.add_argument('--insecure', action='store_true', help='any certificate will do')
    args = parser.parse_args()
    import hls_client  # it needs this module, as a library
    fetcher = hls_client.Fetcher(args.url, args.token, args.insecure)
    status, body, headers = fetcher.get(args.url)
    if status != 200:
        print(f'{args.url}: {status} {body[:200]!r}')
        return 1
    problems, uris = check_multivariant(body.decode('utf-8'))
    if uris:
        follower = hls_client.Follower(fetcher, urllib.parse.urljoin(args.url, uris[0]))
        follower.run(args.seconds)
        problems += follower.session.problems
        print(f'{follower.reloads} reloads, {follower.deltas} deltas, '
              f'{follower.session.hints_kept} hints kept, {follower.frames} frames, '
              f'{follower.holes} holes')
    for problem in dict.fromkeys(problems):
        print('PROBLEM', problem)
    print(f'{len(problems)} problems')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
