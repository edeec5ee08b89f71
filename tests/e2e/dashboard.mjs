// tests/e2e/dashboard.mjs - the dashboard in Chromium, from the first run to the logout.
import assert from "node:assert/strict";
import { drawBarcode, readBarcode } from "./barcode.mjs";
import {
  assertNoSideways, daemon, firstRun, logIn, main, openPage, owner, screenshot, shownBarcode, sizes, until, url,
  waitLive,
} from "./browser.mjs";

/** Live, and not old: what the picture says of itself. */
async function assertFresh(page, maxAgeMs) {
  const first = await until("a readable barcode", () => shownBarcode(page));
  const next = await until("a later frame", async () => {
    const code = await shownBarcode(page);
    return code !== null && code.frame !== first.frame && code.ageMs < maxAgeMs ? code : null;
  });
  assert.ok(next.ageMs > -50, `${next.ageMs} ms old: from the future`);
}

async function looks(page, name) {
  for (const [size, viewport] of Object.entries(sizes)) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme });
      await assertNoSideways(page);
      await screenshot(page, `${name}-${size}-${colorScheme}`);
    }
  }
  await page.setViewportSize(sizes.desktop);
  await page.emulateMedia({ colorScheme: "light" });
}

const cards = (page) => page.locator(".events-page .event:not(.placeholder)");

await main({
  "the barcode's twin": async () => {
    const pixels = new Uint8ClampedArray(1280 * 40 * 4);
    const nowMs = 1795334400000;
    drawBarcode(pixels, 1280, 123456, nowMs - 77);
    assert.deepEqual(readBarcode(pixels, 1280, 40, 20, nowMs), { frame: 123456, utcMs: nowMs - 77 });
    for (let y = 0; y < 20; y++) {
      for (let at = (y * 1280 + 600) * 4; at < (y * 1280 + 620) * 4; at++) {
        pixels[at] = 255 - pixels[at]; // one cell turned over
      }
    }
    assert.equal(readBarcode(pixels, 1280, 40, 20, nowMs), null);
  },

  "first run": async ({ page, allow }) => {
    allow(/status of 403/);
    await page.goto(url);
    await page.getByRole("heading", { name: "Welcome to petcam" }).waitFor();
    await looks(page, "setup");
    await firstRun(page, "WRONG-CODES");
    await page.getByRole("alert").waitFor();
    await screenshot(page, "setup-wrong-code");
    await firstRun(page, process.env.PETCAM_CODE);
    await waitLive(page);
  },

  "live plays, at once": async ({ page }) => {
    assert.equal(await page.locator(".stage video").getAttribute("data-player"), "instant");
    await assertFresh(page, 500);
    await page.getByText(/^\d+ ms$/).waitFor();
  },

  "events come by themselves": async ({ page }) => {
    await page.locator(".recent .event .thumb img").first().waitFor({ timeout: 90_000 });
    await looks(page, "live");
  },

  "the list of events": async ({ page }) => {
    await page.getByRole("link", { name: "Events", exact: true }).click();
    await cards(page).first().waitFor();
    const image = page.locator(".events-page .thumb img").first();
    await image.waitFor();
    await until("the thumbnail", () => image.evaluate((each) => each.complete && each.naturalWidth > 100));
    await looks(page, "events");
  },

  "a clip plays and seeks": async ({ page }) => {
    const finished = page.locator(".events-page .event:not(.going-on)", { has: page.locator(".play") });
    await finished.first().waitFor({ timeout: 60_000 });
    await finished.first().locator(".event-open").click();
    const video = page.locator("dialog.clip video");
    await until("the clip to play", () => video.evaluate((each) => each.currentTime > 0.5), 30_000);
    const duration = await video.evaluate((each) => each.duration);
    assert.ok(duration > 3, `${duration} s: its pre-roll alone is 3 s`);
    await looks(page, "clip");
    for (const part of [0.8, 0.1]) {
      await video.evaluate((each, to) => {
        each.pause();
        each.currentTime = to;
      }, duration * part);
      await until("a seek", () => video.evaluate(
        (each, to) => !each.seeking && each.readyState >= 2 && Math.abs(each.currentTime - to) < 0.2, duration * part));
    }
    await page.keyboard.press("Escape");
    await video.waitFor({ state: "detached" });
  },

  "keep, and it stays kept": async ({ page }) => {
    const star = page.locator(".events-page .star").last();
    await star.click();
    await page.locator('.events-page .star[aria-pressed="true"]').waitFor();
    await page.reload();
    await page.locator('.events-page .star[aria-pressed="true"]').waitFor();
    await page.locator('.events-page .star[aria-pressed="true"]').click();
    await page.locator('.events-page .star[aria-pressed="true"]').waitFor({ state: "detached" });
  },

  "filters": async ({ page }) => {
    await page.getByLabel("What").selectOption("motion");
    await cards(page).first().waitFor();
    const titles = await cards(page).locator("b").allTextContents();
    assert.ok(titles.every((title) => title === "Moving"), `${titles}`);
    await page.getByLabel("Day").fill("2001-02-03");
    await page.getByText("Nothing fits.").waitFor();
    assert.equal(await cards(page).count(), 0);
    await screenshot(page, "events-none");
    await page.getByLabel("Day").fill("");
    await cards(page).first().waitFor();
    await page.getByLabel("What").selectOption("");
  },

  "health": async ({ page }) => {
    await page.getByRole("link", { name: "Health" }).click();
    await page.getByText("1280 × 720").waitFor();
    await looks(page, "health");
    await page.getByRole("combobox").selectOption("360");
    await page.reload();
    await until("the rule to be kept", async () => (await page.getByRole("combobox").inputValue()) === "360");
  },

  "Low-Latency HLS where it is asked for": async ({ page }) => {
    const loaded = (name) => page.evaluate(
      (part) => performance.getEntriesByType("resource").some((each) => each.name.includes(part)), name);
    assert.equal(await loaded("/assets/hls"), false, "hls.js is loaded before it is needed");
    await page.goto("about:blank");
    await page.goto(`${url}/#/live?player=hls`);
    await waitLive(page);
    assert.equal(await page.locator(".stage video").getAttribute("data-player"), "hls");
    assert.ok(await loaded("/assets/hls"));
    await assertFresh(page, 3000);
    await screenshot(page, "live-hls");
  },

  "the daemon starts again under the page": async ({ page, allow }) => {
    allow(/net::ERR_|WebSocket connection|status of 503/); // gone; and no frame yet
    for (const player of ["hls", "instant"]) {
      await page.goto("about:blank");
      await page.goto(`${url}/#/live${player === "hls" ? "?player=hls" : ""}`);
      await waitLive(page);
      await daemon(player === "hls" ? "stop" : "kill");
      await page.locator(".stage-message").waitFor();
      await screenshot(page, `live-away-${player}`);
      await daemon("start");
      await waitLive(page, 30_000);
      assert.equal(await page.locator(".stage video").getAttribute("data-player"), player);
      await assertFresh(page, player === "hls" ? 3000 : 500);
    }
  },

  "a hidden page lets go and comes back": async ({ page, faults }, browser) => {
    // Another page of the same context in front; Chromium headless does not hide by itself.
    await page.evaluate(() => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
      document.dispatchEvent(new Event("visibilitychange"));
    });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await page.evaluate(() => {
      delete document.hidden;
      document.dispatchEvent(new Event("visibilitychange"));
    });
    await assertFresh(page, 500);
    assert.equal(browser.isConnected(), true);
    assert.deepEqual(faults, []);
  },

  "a session that ended": async ({ page, context, allow }) => {
    allow(/status of 401/);
    await page.getByRole("link", { name: "Events", exact: true }).click();
    await cards(page).first().waitFor();
    await context.clearCookies();
    await page.getByRole("link", { name: "Health" }).click();
    await page.getByRole("heading", { name: "Log in to petcam" }).waitFor();
  },

  "log in, the wrong way first": async ({ page, allow }) => {
    allow(/status of 401/);
    await looks(page, "login");
    await logIn(page, "not the password");
    await page.getByRole("alert").waitFor();
    assert.equal(await page.getByRole("alert").textContent(), "Name or password is not right.");
    await screenshot(page, "login-wrong");
    await logIn(page);
    await page.getByRole("heading", { name: "Health" }).waitFor();
  },

  "log out": async ({ page, allow }) => {
    allow(/status of 401/);
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("heading", { name: "Log in to petcam" }).waitFor();
    await page.reload();
    await page.getByRole("heading", { name: "Log in to petcam" }).waitFor();
    const status = await page.evaluate(async () => (await fetch("/cameras")).status);
    assert.equal(status, 401);
  },

  "a phone watches": async (_, browser) => {
    const { page, faults, allow } = await openPage(browser, {
      viewport: sizes.phone, deviceScaleFactor: 2, hasTouch: true, isMobile: true,
    });
    allow(/status of 401/);
    await page.goto(url);
    await page.getByLabel("Name").fill(owner.name);
    await page.getByLabel("Password").fill(owner.password);
    await page.getByRole("button", { name: "Log in" }).click();
    await waitLive(page);
    await assertFresh(page, 800);
    await assertNoSideways(page);
    await screenshot(page, "live-phone-touch");
    assert.deepEqual(faults, []);
  },
});
