// Finding one's way: search finds every theorem, Tab reaches everything, and figures stay readable
// when the theme changes.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { SITE, drawn, open, pages, start, unfold } from "./browser.mjs";

const PATHS = await pages();
const { browser, base, stop } = await start();
after(stop);

// Theorems that have a name, by page; and the pages with figures.
const plain = (html) => html.replace(/<[^>]*>/g, "").replace(/&amp;/g, "&").replace(/&#?\w+;/g, " ");
const BOX = /<div class="proof (?:theorem|lemma|proposition|corollary)[^>]*>\s*<p class="admonition-title">(.*?)<\/p>/gs;
const NAMED = [];
const WITH_FIGURES = [];
for (const path of PATHS) {
  const html = await readFile(join(SITE, path), "utf8");
  if (/<svg [^>]*class="themed|data-explorable/.test(html)) WITH_FIGURES.push(path);
  for (const [, title] of html.matchAll(BOX)) {
    const name = /\((.*)\)\s*$/s.exec(plain(title))?.[1];
    if (name) NAMED.push([path, name]);
  }
}

test("search finds each theorem by its name", async () => {
  assert.ok(NAMED.length >= 15, `${NAMED.length} theorems with a name`);
  const { page, faults, close } = await open(browser, base, "search.html");
  for (const [path, name] of NAMED) {
    const words = name.replace(/[^\p{L}\p{N}\s]/gu, " ");
    await page.goto(`${base}/search.html?q=${encodeURIComponent(words)}`);
    await page.waitForFunction(() => /finished|did not match/.test(document.querySelector(".search-summary")?.textContent || ""));
    const addresses = await page.$$eval("#search-results li a", (links) => links.map((a) => a.origin + a.pathname));
    const found = addresses.map((address) => address.replace(`${base}/`, ""));
    assert.ok(found.includes(path), `${name} stands on ${path}; found: ${found.join(", ") || "nothing"}`);
  }
  await close();
  assert.deepEqual(faults, []);
});

// Whether an element comes to rest at the upper edge of the window, or the page ends before that.
function leadsTo(page, id) {
  return page.evaluate(async (name) => {
    const top = () => document.getElementById(name).getBoundingClientRect().top;
    for (let still = 0, last; still < 30; last = top()) {
      await new Promise(requestAnimationFrame);
      still = top() === last ? still + 1 : 0;
    }
    const ended = scrollY + innerHeight > document.documentElement.scrollHeight - 2;
    return top() > -2 && top() < (ended ? innerHeight : 150) ? "there" : `${top()} px from the upper edge`;
  }, id);
}

// What is far away has not been laid out when a reader jumps there.
describe("a link to a place leads there", { concurrency: 2 }, () => {
  for (const path of WITH_FIGURES) {
    test(path, async () => {
      const { page, faults, close } = await open(browser, base, path);
      const ids = await page.$$eval(".bd-article :is(section section, figure, .proof)[id]", (all) => all.map((e) => e.id));
      const found = {};
      for (const id of new Set([...ids.slice(-2), ids[ids.length >> 1]])) {
        await page.goto("about:blank");
        await page.goto(`${base}/${path}#${id}`);
        found[`#${id}`] = await leadsTo(page, id);
      }
      await page.goto("about:blank");
      await page.goto(`${base}/${path}`);
      const links = await page.locator("#pst-page-toc-nav a").all();
      for (const link of new Set([links.at(-1), links[0], links.at(-2)].filter(Boolean))) {
        const id = (await link.getAttribute("href")).slice(1);
        await link.click();
        found[`click, ${id}`] = await leadsTo(page, id);
      }
      await close();
      assert.deepEqual(Object.entries(found).filter(([, where]) => where !== "there"), []);
      assert.deepEqual(faults, []);
    });
  }
});

describe("Tab reaches everything", { concurrency: 2 }, () => {
  for (const path of PATHS) {
    test(path, async () => {
      const { page, close } = await open(browser, base, path);
      await unfold(page);
      await drawn(page); // boxes that scroll become reachable by key
      const wanted = await page.evaluate(() => {
        const operable = "a[href], button, input, select, textarea, summary, [tabindex='0'], [onclick]";
        const all = [...document.querySelectorAll(operable)].filter(
          (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: false }) && !e.disabled && !e.closest("dialog, [inert]"),
        );
        all.forEach((e, i) => (e.dataset.wanted = i));
        window.reached = new Set();
        window.unseen = new Set();
        document.addEventListener("focusin", ({ target }) => {
          window.reached.add(target.dataset.wanted);
          const { outlineStyle, boxShadow } = getComputedStyle(target);
          if (target.matches(":focus-visible") && outlineStyle === "none" && boxShadow === "none") window.unseen.add(target.outerHTML.slice(0, 120));
        });
        return all.length;
      });
      const cdp = await page.context().newCDPSession(page);
      const tab = (type) => cdp.send("Input.dispatchKeyEvent", { type, key: "Tab", code: "Tab", windowsVirtualKeyCode: 9 });
      for (let sent = 0; sent < wanted + 20; sent += 50) {
        await Promise.all(Array.from({ length: 50 }, () => [tab("rawKeyDown"), tab("keyUp")]).flat());
      }
      const { missed, unseen } = await page.evaluate(() => ({
        missed: [...document.querySelectorAll("[data-wanted]")].filter((e) => !window.reached.has(e.dataset.wanted)).map((e) => e.outerHTML.slice(0, 120)),
        unseen: [...window.unseen],
      }));
      await close();
      assert.deepEqual({ missed: missed.slice(0, 5), unseen: unseen.slice(0, 5) }, { missed: [], unseen: [] });
    });
  }
});

// Contrast of what a figure draws against the page, for texts and for lines and dots.
function faintMarks(page) {
  return page.evaluate(() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const known = new Map();
    const light = (colour) => {
      if (!known.has(colour)) {
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => (v / 255 <= 0.04045 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
        known.set(colour, 0.2126 * r + 0.7152 * g + 0.0722 * b);
      }
      return known.get(colour);
    };
    const paper = light(getComputedStyle(document.body).backgroundColor);
    const contrast = (colour) => (Math.max(light(colour), paper) + 0.05) / (Math.min(light(colour), paper) + 0.05);
    const faint = new Set();
    for (const svg of document.querySelectorAll("svg.themed, .explorable-stage svg")) {
      for (const text of svg.querySelectorAll("text")) {
        const colour = getComputedStyle(text).fill;
        if (contrast(colour) < 4.5) faint.add(`text ${colour}: ${contrast(colour).toFixed(2)}`);
      }
      const marks = svg.querySelectorAll("[id^='line2d'] path, path.curve, circle:not(.handle), use");
      for (const mark of marks) {
        const { stroke, fill, strokeOpacity } = getComputedStyle(mark);
        const colours = [stroke, fill].filter((colour) => colour !== "none"); // one of them is enough
        if (strokeOpacity === "1" && colours.length && Math.max(...colours.map(contrast)) < 3) faint.add(`mark ${colours}`);
      }
    }
    return [...faint];
  });
}

describe("the theme switch keeps figures readable", { concurrency: 3 }, () => {
  for (const path of ["index.html", ...WITH_FIGURES]) {
    test(path, async () => {
      const { page, faults, close } = await open(browser, base, path);
      await unfold(page);
      const seen = new Map(); // mode of the switch -> what is faint
      for (let i = 0; i < 3; i += 1) {
        seen.set(await page.evaluate(() => document.documentElement.dataset.mode), await faintMarks(page));
        await page.locator("button.theme-switch-button:visible").first().click();
      }
      await close();
      assert.deepEqual(Object.fromEntries(seen), { auto: [], dark: [], light: [] });
      assert.deepEqual(faults, []);
    });
  }
});
