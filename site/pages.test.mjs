// Every page, in light and dark and at three widths: for everyone, without faults, without strangers.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { COLOUR_RULES, THEMES, WIDTHS, axe, lighten, open, pages, setTheme, start, unfold } from "./browser.mjs";

const PATHS = await pages();
const { browser, base, stop } = await start();
after(stop);

test("there are pages", () => assert.ok(PATHS.length >= 9, PATHS.join(" ")));

// What makes the page scroll sideways; what stands in a box that scrolls by itself does not.
function overflow(page) {
  return page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    const held = (e) => e !== document.body && (getComputedStyle(e).overflowX !== "visible" || held(e.parentElement));
    const wide = [...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > width + 1 && !held(e.parentElement));
    return wide.slice(-3).map((e) => `sticks out: ${e.outerHTML.slice(0, 120)}`).concat("the page scrolls sideways");
  });
}

// The theme makes boxes that scroll reachable by key a moment after the size has changed.
async function resize(page, width) {
  await page.setViewportSize({ width, height: 900 });
  await page.waitForTimeout(600);
}

describe("pages", { concurrency: 2 }, () => {
  for (const path of PATHS) {
    test(path, async () => {
      const { page, faults, close } = await open(browser, base, path);
      const problems = [];
      const look = async (where, find) => problems.push(...(await find(page)).map((text) => `${where}: ${text}`));
      await unfold(page);
      for (const width of WIDTHS) {
        await resize(page, width);
        for (const theme of THEMES) {
          await setTheme(page, theme);
          await look(`${theme}, ${width} px`, overflow);
        }
      }
      await resize(page, WIDTHS[0]);
      await lighten(page);
      for (const width of WIDTHS) {
        await resize(page, width);
        for (const theme of THEMES) {
          await setTheme(page, theme);
          await look(`${theme}, ${width} px`, (shown) => axe(shown, theme === "light" ? undefined : COLOUR_RULES));
        }
      }
      await close();
      assert.deepEqual([...new Set([...problems, ...faults])], []);
    });
  }
});
