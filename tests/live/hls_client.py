"""A Low-Latency HLS client that checks what it is given: blocking reloads, delta updates, hinted
parts asked for before they are there, each part's media parsed, and questions that must be
refused. Used by m3u8_check.py and by the players' test."""
import ssl
import struct
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import m3u8_check


def boxes(data, at=0, end=None):
    end = len(data) if end is None else end
    while at + 8 <= end:
        size, kind = struct.unpack_from('>I4s', data, at)
        head = 8
        if size == 1:
            size = struct.unpack_from('>Q', data, at + 8)[0]
            head = 16
        if size < head or at + size > end:
            raise ValueError(f'box {kind} of {size} bytes at {at} does not fit')
        yield kind.decode('latin1'), at + head, at + size
        at += size
    if at != end:
        raise ValueError('bytes after the last box')


def fragments(data):
    """[(decode time, samples, ticks or None)] of the moofs in a part or segment."""
    found = []
    for kind, start, end in boxes(data):
        if kind != 'moof':
            continue
        for traf, start2, end2 in boxes(data, start, end):
            if traf != 'traf':
                continue
            when, samples, duration, default = None, 0, 0, None
            for box, a, _ in boxes(data, start2, end2):
                flags = struct.unpack_from('>I', data, a)[0]
                if box == 'tfhd':
                    at = a + 8 + (8 if flags & 1 else 0) + (4 if flags & 2 else 0)
                    default = struct.unpack_from('>I', data, at)[0] if flags & 8 else None
                elif box == 'tfdt':
                    form = '>Q' if flags >> 24 == 1 else '>I'
                    when = struct.unpack_from(form, data, a + 4)[0]
                elif box == 'trun':
                    n = struct.unpack_from('>I', data, a + 4)[0]
                    samples += n
                    at = a + 8 + (4 if flags & 1 else 0) + (4 if flags & 4 else 0)
                    width = sum(4 for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit)
                    for i in range(n):
                        if flags & 0x100:
                            duration += struct.unpack_from('>I', data, at + i * width)[0]
                        elif default is not None:
                            duration += default
            found.append((when, samples, duration))
    return found


# ---- command ----


class Fetcher:
    def __init__(self, base, token, insecure):
        self.base = base
        self.context = ssl._create_unverified_context() if insecure else None
        self.token = token

    def get(self, url, timeout=20):
        request = urllib.request.Request(url)
        if self.token:
            request.add_header('Authorization', 'Bearer ' + self.token)
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=self.context) as reply:
                return reply.status, reply.read(), reply.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers


class HintRequest(threading.Thread):
    """A hinted part, asked for before it is there."""

    def __init__(self, fetcher, url, uri):
        super().__init__(daemon=True)
        self.fetcher, self.url, self.uri = fetcher, url, uri
        self.status, self.data = None, b''
        self.start()

    def run(self):
        try:
            self.status, self.data, _ = self.fetcher.get(self.url)
        except OSError as error:
            self.status = str(error)


class Follower:
    def __init__(self, fetcher, media_url):
        self.fetcher, self.url = fetcher, media_url
        self.session = m3u8_check.Session()
        self.media_of = {}  # (msn, part) -> bytes
        self.last = None  # (decode time, duration) of the last frame seen
        self.short = None  # (URI, ticks): a part with less media than its duration, and until when
        self.frames = 0
        self.holes = 0
        self.reloads = 0
        self.deltas = 0

    def complain(self, text):
        self.session.complain(text)

    def ask(self, **directives):
        query = urllib.parse.urlencode({f'_HLS_{k}': v for k, v in directives.items()})
        return self.fetcher.get(self.url + ('?' + query if query else ''))

    def playlist(self, **directives):
        status, body, headers = self.ask(**directives)
        if status != 200:
            self.complain(f'{directives}: {status} {body[:200]!r}')
            return None
        if 'mpegurl' not in headers.get('Content-Type', ''):
            self.complain(f'Content-Type {headers.get("Content-Type")}')
        self.reloads += 1
        text = body.decode('utf-8')
        self.deltas += 1 if '#EXT-X-SKIP' in text else 0
        return self.session.update(text)

    def check_part(self, msn, index, part, data):
        if data is None:
            status, data, _ = self.fetcher.get(urllib.parse.urljoin(self.url, part.uri))
            if status != 200:
                self.complain(f'{part.uri}: {status}')
                return
        self.media_of[(msn, index)] = data
        try:
            found = fragments(data)
        except (ValueError, struct.error) as error:
            self.complain(f'{part.uri}: {error}')
            return
        if not found:
            self.complain(f'{part.uri}: no fragment in it')
            return
        self.frames += sum(samples for _, samples, _ in found)
        for when, _, duration in found:
            if self.last is not None:
                if when <= self.last[0]:
                    self.complain(f'{part.uri}: decode times go back')
                elif when > self.last[0] + self.last[1] * 7 // 4:
                    self.holes += 1
            self.last = (when, duration)
        start, frame = found[0][0], found[0][2]
        if self.short is not None and start < self.short[1]:
            self.complain(f'{self.short[0]}: less media than its duration, and no hole follows')
        self.short = None
        span, said = found[-1][0] + found[-1][2] - start, part.duration * 90000
        if span > said + frame:
            self.complain(f'{part.uri}: holds {span / 90000:.3f} s, lasts {part.duration}')
        elif span < said - frame:
            self.short = (part.uri, start + said - frame * 3 // 2)

    def check_segment(self, segment):
        status, data, _ = self.fetcher.get(urllib.parse.urljoin(self.url, segment.uri))
        if status != 200:
            self.complain(f'{segment.uri}: {status}')
            return
        parts = [self.media_of.get((segment.msn, i)) for i in range(len(segment.parts))]
        if segment.parts and None not in parts and b''.join(parts) != data:
            self.complain(f'{segment.uri} is not its parts joined')

    def refusals(self, media):
        msn, _ = media.last()
        for directives, expected in (
                ({'msn': msn + 10}, 400),
                ({'part': 0}, 400),
                ({'msn': msn + 2, 'part': 1000}, 400),
                ({'msn': 'x'}, 400),
                ({'msn': -1}, 400)):
            status, _, _ = self.ask(**directives)
            if status != expected:
                self.complain(f'{directives} was answered {status}, not {expected}')
        status, _, _ = self.fetcher.get(urllib.parse.urljoin(self.url, f'seg-{msn + 5}.m4s'))
        if status != 404:
            self.complain(f'a segment that is not there was answered {status}')

    def run(self, seconds):
        media = self.playlist()
        if media is None:
            return
        status, data, _ = self.fetcher.get(
            urllib.parse.urljoin(self.url, media.segments[-1].map or ''))
        if status != 200 or [kind for kind, _, _ in boxes(data)][:1] != ['ftyp']:
            self.complain(f'init segment: {status}')
        self.refusals(media)
        until = time.monotonic() + seconds
        done = max((s.msn for s in media.segments if s.uri is not None), default=-1)
        while time.monotonic() < until:
            hint = HintRequest(self.fetcher, urllib.parse.urljoin(self.url, self.session.hinted),
                               self.session.hinted)
            msn, part = media.last()
            asked = {'msn': msn, 'part': part + 1} if part is not None else {'msn': msn + 1,
                                                                             'part': 0}
            if self.reloads % 4 == 3:
                asked['skip'] = 'YES'
            media = self.playlist(**asked)
            if media is None:
                return
            hint.join(10)
            if hint.status != 200:
                self.complain(f'hinted {hint.uri}: {hint.status}')
            if not self.session.new_parts:
                self.complain('a blocking reload was answered with nothing new')
            for msn, index, part in self.session.new_parts:
                self.check_part(msn, index, part, hint.data if part.uri == hint.uri and
                                hint.status == 200 else None)
            for segment in media.segments:
                if segment.uri is not None and segment.msn > done:
                    done = segment.msn
                    self.check_segment(segment)
