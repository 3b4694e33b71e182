// The site as a folder on a disk: every page opens from its file, and search, previews and figures work.
import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { SITE, launch, open, pages, unfold } from "./browser.mjs";

const BASE = pathToFileURL(SITE).href;
const PATHS = (await pages()).filter((path) => path !== "404.html"); // only a server shows that one
let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

describe("from a file", { concurrency: 2 }, () => {
  for (const path of PATHS) {
    test(`${path}: formulas and figures are there, and files to download`, async () => {
      const { page, faults, close } = await open(browser, BASE, path);
      await unfold(page);
      const { fonts, formulas, figures, files } = await page.evaluate(async () => {
        await document.fonts.ready;
        const sizes = (what) => [...document.querySelectorAll(what)].map((e) => e.getBoundingClientRect().width);
        return {
          fonts: [...document.fonts].filter((font) => font.status === "error").map((font) => font.family),
          formulas: sizes(".bd-article .math .katex-html"),
          figures: sizes(".bd-article :is(svg.themed, .explorable-stage > svg, img)"),
          files: [...document.querySelectorAll("a[download], a[href$='.ipynb'], a[href$='.csv']")].map((a) => a.href),
        };
      });
      await close();
      assert.deepEqual(fonts, []);
      assert.deepEqual([...formulas, ...figures].filter((width) => width === 0), []);
      for (const file of files.filter((href) => href.startsWith("file:"))) assert.ok((await stat(fileURLToPath(file))).size > 0, file);
      assert.deepEqual(faults, []);
    });
  }
});

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
