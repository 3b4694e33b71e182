// The site as a folder on a disk: every page opens from its file, and search, previews and figures work.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { SITE, launch, open } from "./browser.mjs";

const BASE = pathToFileURL(SITE).href;
let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

test("a chapter from a file: its figure moves, its links show what they lead to", async () => {
  const { page, faults, close } = await open(browser, BASE, "ten-minutes.html");
  const slider = page.locator("[data-explorable] input[type=range]").first();
  const before = await page.locator("[data-explorable] [aria-live]").textContent();
  await slider.press("ArrowRight");
  assert.notEqual(await page.locator("[data-explorable] [aria-live]").textContent(), before);
  await page.locator(".bd-article a[href='dynamics.html#G1']").first().hover();
  await page.locator(".preview .admonition-title").waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await page.locator(".preview").count(), 0);
  await close();
  assert.deepEqual(faults, []);
});

test("search from a file", async () => {
  const { page, faults, close } = await open(browser, BASE, "search.html?q=double+descent");
  await page.locator("#search-results li a").first().waitFor();
  await close();
  assert.deepEqual(faults, []);
});
