// tests/e2e/browser.mjs - Chromium driven by playwright-core, and what the tests share.
//
// The wrapper (run.py) gives PETCAM_URL, PETCAM_CODE (first-run code), PETCAM_SCREENSHOTS and
// CHROMIUM, restarts the daemon on request, and reads the exit status.
import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { join } from "node:path";
import assert from "node:assert/strict";
import { readBarcode } from "./barcode.mjs";

const { chromium } = createRequire(new URL("../../http/web/package.json", import.meta.url))("playwright-core");

export const url = process.env.PETCAM_URL;
export const owner = { name: "owner", password: "correct horse battery" };

export const sizes = {
  phone: { width: 360, height: 740 },
  tablet: { width: 820, height: 1180 },
  desktop: { width: 1440, height: 900 },
};

export async function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
    ],
  });
}

/** A page whose complaints are collected in `faults`; `allow` names those that a step means to cause,
 * until `allowNothing`. */
export async function openPage(browser, options = {}) {
  const context = await browser.newContext({
    ignoreHTTPSErrors: true, viewport: sizes.desktop, locale: "en-GB", reducedMotion: "reduce", ...options,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const faults = [];
  const allowed = [];
  const note = (text) => {
    if (!allowed.some((each) => each.test(text))) {
      faults.push(text);
    }
  };
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") {
      note(`${message.text()} (${message.location().url})`);
    }
  });
  page.on("pageerror", (error) => note(`exception: ${error.message}`));
  return { page, context, faults, allow: (pattern) => allowed.push(pattern), allowNothing: () => (allowed.length = 0) };
}

const shots = process.env.PETCAM_SCREENSHOTS ?? "screenshots";

export async function screenshot(page, name) {
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`) });
}

/** Nothing may stick out of a narrow page. */
export async function assertNoSideways(page) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `the page is ${over} px wider than the screen`);
}

export async function firstRun(page, code) {
  await page.getByLabel("First-run code").fill(code);
  await page.getByLabel("Your name").fill(owner.name);
  await page.getByLabel("Password", { exact: true }).fill(owner.password);
  await page.getByLabel("Password again").fill(owner.password);
  await page.getByRole("button", { name: "Start" }).click();
}

export async function logIn(page, password = owner.password) {
  await page.getByLabel("Name").fill(owner.name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
}

export async function waitLive(page, timeout = 20_000) {
  await page.locator(".pill.on").waitFor({ timeout });
}

/** In the page: the barcode in what the video shows now. */
function readShown(read) {
  const video = document.querySelector(".stage video");
  if (video === null || video.videoWidth === 0) {
    return null;
  }
  const nowMs = performance.timeOrigin + performance.now();
  const cell = Math.max(4, (video.videoWidth >> 6) & ~1);
  const canvas = new OffscreenCanvas(40 * cell, 2 * cell);
  const { width, height } = canvas;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(video, 0, 0, width, height, 0, 0, width, height);
  const code = read(context.getImageData(0, 0, width, height).data, width, height, cell, nowMs);
  return code === null ? null : { ...code, ageMs: nowMs - code.utcMs };
}

/** {frame, utcMs, ageMs}, or null where it cannot be read. */
export async function shownBarcode(page) {
  return page.evaluate(`(${readShown})(${readBarcode})`);
}

/** Asks until the answer is neither null nor false. */
export async function until(what, question, timeoutMs = 20_000) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await question();
    if (answer !== null && answer !== false && answer !== undefined) {
      return answer;
    }
    assert.ok(Date.now() < deadline, `not within ${timeoutMs / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Asks the wrapper to do something to the daemon ("stop", "start", "kill"), and waits until it has. */
export async function daemon(verb) {
  console.log(`@${verb}`);
  const { value } = await lines.next();
  assert.equal(value, "done");
}

/** Runs the steps, each with its name, and exits; a failed one leaves a screenshot. */
export async function main(steps) {
  const browser = await launch();
  const view = await openPage(browser);
  let status = 0;
  for (const [name, step] of Object.entries(steps)) {
    const startMs = Date.now();
    try {
      await step(view, browser);
      assert.deepEqual(view.faults.splice(0), [], "the page complains");
      view.allowNothing();
      console.log(`ok ${name} (${((Date.now() - startMs) / 1000).toFixed(1)} s)`);
    } catch (error) {
      console.log(`FAILED ${name}: ${error.stack}`);
      if (view.faults.length > 0) {
        console.log("the page said:", view.faults);
      }
      await screenshot(view.page, `failed-${name.replace(/\W+/g, "-")}`).catch(() => undefined);
      status = 1;
      break;
    }
  }
  await browser.close();
  process.exit(status);
}
