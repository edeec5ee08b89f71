#!/usr/bin/env python3
"""Plays a running petcam with what people have: ffprobe, ffmpeg, GStreamer, and by hand.

usage: players.py URL --token ACCESS_TOKEN --media-token MEDIA_TOKEN [--camera ID]

URL is the daemon's ("https://localhost:8443"). A certificate of its own is fine. Each check
prints a line; what is not installed is skipped and said. Exit code 1: something failed.
"""
import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hls_client  # noqa: E402
import m3u8_check  # noqa: E402
import websocket  # noqa: E402

CELLS, ROWS = 40, 2  # core/barcode.h


class Skip(Exception):
    pass


def need(program):
    if shutil.which(program) is None:
        raise Skip(f'{program} is not installed')


def run(command, seconds, data=None):
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=seconds, check=False)
    errors = done.stderr.decode('utf-8', 'replace').strip()
    if done.returncode != 0:
        raise AssertionError(f'{command[0]}: exit code {done.returncode}: {errors[-400:]}')
    return done.stdout, errors


def crc12(bits):
    crc = 0xfff
    for bit in bits:
        top = (crc >> 11) & 1
        crc = (crc << 1) & 0xfff
        if top != bit:
            crc ^= 0x80f
    return crc


def barcode(luma, width, cell):
    """The frame number in one picture's corner; None where there is no barcode."""
    means = []
    for row in range(ROWS):
        for column in range(CELLS):
            total = n = 0
            for y in range(row * cell + cell // 4, row * cell + 3 * cell // 4):
                at = y * width + column * cell + cell // 4
                total += sum(luma[at:at + cell // 2])
                n += cell // 2
            means.append(total / n)
    middle = (max(means) + min(means)) / 2
    bits = [1 if mean > middle else 0 for mean in means]
    value = int(''.join(map(str, bits)), 2)
    if bits[:4] != [1, 0, 1, 0] or crc12(bits[:68]) != value & 0xfff:
        return None
    return (value >> 52) & 0xffffff


def frame_numbers(media, width):
    """Decodes an fMP4 stream and reads each frame's barcode. The number of frames, and the
    numbers that were read. ffmpeg's complaints are failures."""
    cell = max(4, width // 64 // 2 * 2)
    strip = (cell * CELLS, cell * ROWS)
    raw, errors = run(['ffmpeg', '-v', 'warning', '-f', 'mp4', '-i', 'pipe:0', '-vf',
                       f'crop={strip[0]}:{strip[1]}:0:0,format=gray', '-fps_mode', 'passthrough',
                       '-enc_time_base', '1/90000',
                       '-f', 'rawvideo', 'pipe:1'], 60, media)
    if errors:
        raise AssertionError(f'ffmpeg: {errors[:400]}')
    size = strip[0] * strip[1]
    pictures = [raw[i:i + size] for i in range(0, len(raw), size)]
    numbers = [barcode(picture, strip[0], cell) for picture in pictures]
    return len(pictures), [number for number in numbers if number is not None]


def check_numbers(frames, numbers, wanted, lost):
    """`lost`: frames that never were in the stream, since the machine was too slow for them."""
    if frames < wanted:
        raise AssertionError(f'{frames} frames, {wanted} were expected')
    if not numbers:
        return f'{frames} frames; no barcode in the picture'
    if len(numbers) != frames:
        raise AssertionError(f'{frames - len(numbers)} of {frames} barcodes are not readable')
    steps = [b - a for a, b in zip(numbers, numbers[1:])]
    missing = sum(step - 1 for step in steps)
    if any(step < 1 for step in steps) or missing > lost:
        raise AssertionError(f'frame numbers jump: {[s for s in steps if s != 1][:5]}; '
                             f'{lost:.0f} were lost before the encoder')
    return (f'{frames} frames, numbers {numbers[0]}..{numbers[-1]}, '
            f'{missing} lost before the encoder')


def time_stamp(text):
    hours, minutes, seconds = text.split(':')
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


class Players:
    def __init__(self, args):
        self.base = args.url.rstrip('/')
        self.token = args.token
        self.media_token = args.media_token
        self.camera = args.camera
        self.seconds = args.seconds
        self.live = f'{self.base}/live?token={args.media_token}'
        self.fetcher = hls_client.Fetcher(self.base, None, True)
        self.reader = hls_client.Fetcher(self.base, args.token, True)
        self.width = self.height = 0
        self.fps = 0.0

    def get(self, url):
        status, body, headers = self.fetcher.get(urllib.parse.urljoin(self.base + '/', url))
        if status != 200:
            raise AssertionError(f'{url}: {status} {body[:200]!r}')
        return body, headers

    def lost(self):
        """Frames that were skipped or dropped before they were encoded, since the start."""
        _, body, _ = self.reader.get(self.base + '/metrics')
        return sum(float(line.split()[-1]) for line in body.decode().splitlines()
                   if line.startswith(('petcam_frames_skipped_source_total{',
                                       'petcam_frames_dropped_encoder_total{')))

    def of_camera(self, rest):
        return f'{self.base}/cameras/{self.camera}/{rest}?token={self.media_token}'

    def check_ffprobe(self):
        need('ffprobe')
        out, errors = run(['ffprobe', '-v', 'error', '-show_streams', '-of', 'json', self.live], 30)
        stream = json.loads(out)['streams'][0]
        if errors or stream['codec_name'] != 'h264':
            raise AssertionError(f'{stream["codec_name"]}: {errors}')
        self.width, self.height = stream['width'], stream['height']
        # Not ffprobe's rate: with frames that come a little early or late it is a guess.
        variant = self.get(self.live)[0].decode()
        self.fps = float(re.search(r'FRAME-RATE=([0-9.]+)', variant).group(1))
        return f'h264 {self.width}x{self.height} at {self.fps:.2f}'

    def check_ffmpeg(self):
        need('ffmpeg')
        # Not warnings: its HLS reader takes the same init segment again after each reload.
        out, errors = run(['ffmpeg', '-v', 'error', '-i', self.live, '-t', str(self.seconds),
                           '-f', 'framemd5', '-'], self.seconds + 30)
        rows = [line.split(b',') for line in out.splitlines() if not line.startswith(b'#')]
        if errors:
            raise AssertionError(errors[:400])
        stamps = [int(row[1]) for row in rows]
        steps = {b - a for a, b in zip(stamps, stamps[1:])}
        if len(rows) < self.seconds * self.fps * 0.9:
            raise AssertionError(f'{len(rows)} frames in {self.seconds} s')
        if max(steps) > 2 * min(steps):
            raise AssertionError(f'time stamps jump: steps {sorted(steps)}')
        return f'{len(rows)} frames decoded'

    def check_gstreamer(self):
        need('gst-launch-1.0')
        if not self.base.startswith('http:'):
            raise Skip('hlsdemux fetches by itself and takes no certificate of our own')
        # It does not end by itself: an EOS from below does not stop a live hlsdemux.
        player = subprocess.Popen(
            ['gst-launch-1.0', '-v', 'souphttpsrc', f'location={self.live}', '!', 'hlsdemux', '!',
             'qtdemux', '!', 'h264parse', '!', 'avdec_h264', '!', 'identity', 'name=probe',
             'silent=false', '!', 'fakesink', 'sync=false'], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        try:
            out, _ = player.communicate(timeout=self.seconds)
        except subprocess.TimeoutExpired:
            player.send_signal(signal.SIGINT)
            out, _ = player.communicate(timeout=20)
        if 'ERROR' in out:
            raise AssertionError(out[out.index('ERROR'):][:400])
        stamps = [time_stamp(match) for match in
                  re.findall(r'probe: last-message = chain .*?pts: ([0-9:.]+)', out)]
        if len(stamps) < self.seconds * self.fps * 0.8:
            raise AssertionError(f'{len(stamps)} frames in {self.seconds} s')
        steps = [b - a for a, b in zip(stamps, stamps[1:])]
        if min(steps) <= 0 or max(steps) > 4 / self.fps:
            raise AssertionError(f'time stamps jump: {min(steps):.3f}..{max(steps):.3f} s')
        return f'{len(stamps)} frames decoded'

    def media_url(self):
        body, _ = self.get(self.live)
        problems, uris = m3u8_check.check_multivariant(body.decode())
        if problems:
            raise AssertionError(problems)
        return urllib.parse.urljoin(self.base + '/', uris[0])

    def check_segments(self):
        """A plain reader: whole segments only, polled as RFC 8216 6.3.4 says."""
        need('ffmpeg')
        url = self.media_url()
        data, have, init = b'', set(), None
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            media = m3u8_check.parse_media(self.get(url)[0].decode())
            for segment in media.segments:
                if segment.uri is None or segment.msn in have:
                    continue
                if init is None:
                    init = segment.map
                    data = self.get(urllib.parse.urljoin(url, init))[0]
                if segment.map != init:
                    raise Skip('a new epoch began in between')
                have.add(segment.msn)
                data += self.get(urllib.parse.urljoin(url, segment.uri))[0]
            time.sleep(media.target / 2)
        if len(have) != max(have) - min(have) + 1:
            raise AssertionError(f'segments are missing among {sorted(have)}')
        samples = sum(n for _, n, _ in hls_client.fragments(data))
        frames, numbers = frame_numbers(data, self.width)
        if frames != samples:
            raise AssertionError(f'{samples} samples, {frames} frames')
        return f'{len(have)} segments, ' + check_numbers(frames, numbers, self.fps,
                                                              self.lost())

    def check_instant(self):
        need('ffmpeg')
        socket = websocket.WebSocket(self.of_camera('live.ws'))
        data, told = b'', None
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            message = socket.message()
            if message is None:
                raise AssertionError('the server closed')
            if message[0] == websocket.TEXT:
                if told is not None:
                    raise Skip('a new epoch began in between')
                told = json.loads(message[1])
            else:
                data += message[1]
        code = socket.close()
        if code != 1000:
            raise AssertionError(f'the close was answered by {code}')
        if (told['width'], told['height']) != (self.width, self.height):
            raise AssertionError(f'told {told}')
        first = next(when for when, _, _ in hls_client.fragments(data))
        if abs(first / 90000 - told['t']) > 0.001:
            raise AssertionError(f'told t {told["t"]}, came {first / 90000}')
        frames, numbers = frame_numbers(data, self.width)
        return check_numbers(frames, numbers, self.seconds * self.fps * 0.8, self.lost())

    def check_progressive(self):
        need('ffmpeg')
        out, errors = run(['ffmpeg', '-v', 'warning', '-i', self.of_camera('live.mp4'), '-t',
                           str(self.seconds), '-c', 'copy', '-f', 'mp4', '-movflags',
                           'frag_keyframe+empty_moov', 'pipe:1'], self.seconds + 30)
        out2, _ = run(['ffprobe', '-v', 'error', '-show_entries', 'format=start_time', '-of',
                       'csv=p=0', self.of_camera('live.mp4')], 30)
        if errors:
            raise AssertionError(errors[:400])
        if abs(float(out2)) > 0.5:
            raise AssertionError(f'starts at {out2.decode().strip()} s')
        frames, numbers = frame_numbers(out, self.width)
        return check_numbers(frames, numbers, self.seconds * self.fps * 0.8, self.lost())

    def check_snapshot(self):
        body, headers = self.get(self.of_camera('snapshot.jpg'))
        if headers['Content-Type'] != 'image/jpeg' or body[:3] != b'\xff\xd8\xff':
            raise AssertionError('no JPEG')
        need('ffprobe')
        out, _ = run(['ffprobe', '-v', 'error', '-f', 'jpeg_pipe', '-show_entries',
                      'stream=width,height', '-of', 'csv=p=0', 'pipe:0'], 20, body)
        if out.decode().strip() != f'{self.width},{self.height}':
            raise AssertionError(f'{out} instead of {self.width}x{self.height}')
        return f'{len(body)} bytes'

    def check_checker(self):
        command = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                                'm3u8_check.py'), f'{self.base}/live', '--token',
                   self.token, '--seconds', str(self.seconds), '--insecure']
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False,
                              timeout=self.seconds + 60)
        if done.returncode != 0:
            raise AssertionError(done.stdout[-2000:])
        return done.stdout.splitlines()[0]


CHECKS = ('ffprobe', 'ffmpeg', 'gstreamer', 'segments', 'instant', 'progressive', 'snapshot',
          'checker')


def play(args, names=CHECKS):
    """Runs the checks, a line each; how many failed."""
    players = Players(args)
    failed = 0
    for name in names:
        try:
            print(f'ok {name}: {getattr(players, "check_" + name)()}', flush=True)
        except Skip as why:
            print(f'skip {name}: {why}', flush=True)
        except (AssertionError, OSError, ValueError, KeyError, subprocess.TimeoutExpired,
                websocket.Refused) as error:
            print(f'FAIL {name}: {type(error).__name__} {error}', flush=True)
            failed += 1
    return failed


def main():
    parser = argparse.ArgumentParser(description='Plays a running petcam.')
    parser.add_argument('url')
    parser.add_argument('--token', required=True, help='access token')
    parser.add_argument('--media-token', required=True)
    parser.add_argument('--camera', default='cam0')
    parser.add_argument('--seconds', type=int, default=5)
    return 1 if play(parser.parse_args()) > 0 else 0


if __name__ == '__main__':
    sys.exit(main())
