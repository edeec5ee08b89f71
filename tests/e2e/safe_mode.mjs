// tests/e2e/safe_mode.mjs - wrong settings: the dashboard says which, and nothing else.
import assert from "node:assert/strict";
import { assertNoSideways, main, screenshot, sizes, url } from "./browser.mjs";

await main({
  "safe mode names the setting": async ({ page, allow }) => {
    allow(/status of 503/);
    await page.goto(url);
    await page.getByRole("heading", { name: "Safe mode" }).waitFor();
    assert.match(await page.locator(".faults").textContent(), /http\.prot/);
    await screenshot(page, "safe-mode-desktop");
    await page.setViewportSize(sizes.phone);
    await assertNoSideways(page);
    await screenshot(page, "safe-mode-phone");
  },
});
