// tests/e2e/latency.mjs - frame-true latency of both players, read from the picture itself.
//
//   latency.mjs --seconds N --players instant,hls
//
// The demo room writes frame number and capture time into each frame (core/barcode.h). Whenever
// Chromium presents one (requestVideoFrameCallback) the strip is drawn into a small canvas and read;
// the latency is the time when the frame is expected on the screen, or now if that is later, less
// the time in the strip. Both clocks are this machine's. It runs in the dashboard's own live page
// over HTTPS: drawing, encoding, muxing, TLS, the browser's demuxer, decoder and renderer are in it.
//
// Prints one line "@result JSON" a player.
import { readBarcode } from "./barcode.mjs";
import { launch, logIn, openPage, url, waitLive } from "./browser.mjs";

const SETTLE_MS = 5000;
/** Longer between two presented frames is a stall. */
const GAP_MS = 250;

function option(name, otherwise) {
  const at = process.argv.indexOf(name);
  return at < 0 ? otherwise : process.argv[at + 1];
}

/** In the page: watches the video for a while. */
function watch(read, seconds, gapMs) {
  const video = document.querySelector(".stage video");
  const width = video.videoWidth;
  const height = Math.max(4, (width >> 6) & ~1) * 2;
  const rect = { x: 0, y: 0, width: 40 * (height / 2), height };
  const canvas = new OffscreenCanvas(rect.width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  return new Promise((resolve) => {
    const seen = { latencies: [], rates: {}, waits: 0, gaps: [], unreadable: 0, first: -1, last: -1, frames: 0, seeks: 0, readMs: 0 };
    const startMs = performance.now();
    let before = -1;
    video.addEventListener("waiting", () => seen.waits++);
    video.addEventListener("seeking", () => seen.seeks++);
    const onFrame = (_, metadata) => {
      const nowMs = performance.now();
      const shownMs = Math.max(nowMs, metadata.expectedDisplayTime);
      if (before >= 0 && shownMs - before > gapMs) {
        seen.gaps.push(Math.round(shownMs - before));
      }
      before = shownMs;
      // A view of the strip alone: drawing from the video itself converts the whole picture.
      const strip = new VideoFrame(video, { visibleRect: rect });
      context.drawImage(strip, 0, 0);
      strip.close();
      const pixels = context.getImageData(0, 0, rect.width, height).data;
      const code = read(pixels, rect.width, height, height / 2, performance.timeOrigin + nowMs);
      if (code === null) {
        seen.unreadable++;
      } else if (code.frame !== seen.last) {
        seen.frames++;
        seen.first = seen.first < 0 ? code.frame : seen.first;
        seen.last = code.frame;
        seen.latencies.push(performance.timeOrigin + shownMs - code.utcMs);
      }
      seen.rates[video.playbackRate] = (seen.rates[video.playbackRate] ?? 0) + 1;
      seen.readMs += performance.now() - nowMs;
      if (nowMs - startMs < seconds * 1000) {
        video.requestVideoFrameCallback(onFrame);
      } else {
        resolve({ ...seen, seconds: (nowMs - startMs) / 1000 });
      }
    };
    video.requestVideoFrameCallback(onFrame);
    // A picture that stands still for good must end too.
    setTimeout(() => resolve({ ...seen, seconds: (performance.now() - startMs) / 1000 }), seconds * 1000 + 5000);
  });
}

function summary(player, seen) {
  const sorted = seen.latencies.map(Math.round).sort((a, b) => a - b);
  const at = (part) => (sorted.length === 0 ? null : sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]);
  return {
    player, seconds: Math.round(seen.seconds), frames: seen.frames, sent: seen.last - seen.first + 1,
    p50: at(0.5), p95: at(0.95), p99: at(0.99), max: sorted.at(-1) ?? null, min: sorted[0] ?? null,
    waiting: seen.waits, gaps: seen.gaps, seeks: seen.seeks, unreadable: seen.unreadable,
    rates: seen.rates, readMs: Math.round((seen.readMs / Math.max(1, seen.frames)) * 10) / 10,
  };
}

const seconds = Number(option("--seconds", "60"));
const browser = await launch();
const { page } = await openPage(browser, { viewport: { width: 1280, height: 800 } });
await page.goto(url);
await logIn(page);
await waitLive(page);
for (const player of option("--players", "instant,hls").split(",")) {
  await page.goto("about:blank");
  await page.goto(`${url}/#/live${player === "hls" ? "?player=hls" : ""}`);
  await waitLive(page);
  await page.waitForTimeout(SETTLE_MS);
  const used = await page.locator(".stage video").getAttribute("data-player");
  if (used !== player) {
    throw new Error(`the page plays by ${used}, not by ${player}`);
  }
  const seen = await page.evaluate(`(${watch})(${readBarcode}, ${seconds}, ${GAP_MS})`);
  console.log(`@result ${JSON.stringify(summary(player, seen))}`);
}
await browser.close();
process.exit(0);
