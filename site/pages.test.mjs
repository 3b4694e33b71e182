// Every page, in light and dark and at three widths: for everyone, without faults, without strangers.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { COLOUR_RULES, SITE, THEMES, WIDTHS, axe, drawn, lighten, open, pages, setTheme, start, unfold } from "./browser.mjs";

const PATHS = await pages();
const { browser, base, stop } = await start();
after(stop);

const met = new Map(); // page -> ids and addresses, as the scripts leave them

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

function idsAndAddresses(page) {
  return page.evaluate(() => ({
    ids: [...document.querySelectorAll("[id]")].map((e) => e.id),
    addresses: [...document.querySelectorAll("a[href], img[src]")].map((e) => (e.localName === "img" ? e.src : e.href?.baseVal ?? e.href)),
  }));
}

describe("pages", { concurrency: 4 }, () => {
  for (const path of PATHS) {
    test(path, async () => {
      const { page, faults, close } = await open(browser, base, path);
      const problems = [];
      const look = async (find, width, theme) => {
        await setTheme(page, theme);
        problems.push(...(await find(page)).map((text) => `${theme}, ${width} px: ${text}`));
      };
      met.set(path, await idsAndAddresses(page));
      await unfold(page);
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        for (const theme of THEMES) await look(overflow, width, theme);
      }
      await lighten(page);
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        await drawn(page); // boxes that now scroll become reachable by key
        for (const theme of THEMES) await look((shown) => axe(shown, theme === "light" ? undefined : COLOUR_RULES), width, theme);
      }
      await close();
      assert.deepEqual([...new Set([...problems, ...faults])], []);
    });
  }
});

// The files of the site are checked by `make links`; this is what a reader's browser sees.
test("every address on a page leads to a file or place of the site that is there", () => {
  assert.equal(met.size, PATHS.length);
  const broken = new Set();
  const root = new URL(`${base}/`);
  for (const [path, { addresses }] of met) {
    for (const address of addresses) {
      const url = new URL(address, `${base}/${path}`);
      if (url.origin !== root.origin) continue;
      const file = decodeURIComponent(url.pathname.replace(root.pathname, ""));
      const place = decodeURIComponent(url.hash.slice(1));
      if (!existsSync(join(SITE, file))) broken.add(`${path}: ${file}`);
      else if (place && met.has(file) && !met.get(file).ids.includes(place)) broken.add(`${path}: ${file}#${place}`);
    }
  }
  assert.deepEqual([...broken], []);
});

test("ids are unique on every page", () => {
  for (const [path, { ids }] of met) assert.deepEqual(ids.filter((id, i) => ids.indexOf(id) !== i), [], path);
});
