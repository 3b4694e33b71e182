// Finding one's way: links lead somewhere, search finds every theorem, Tab reaches everything, and
// figures stay readable when the theme changes.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { SITE, open, pages, setTheme, start, unfold } from "./browser.mjs";

const PATHS = await pages();
const { browser, base, stop } = await start();
after(stop);

// Links, ids and named theorems of every page.
const plain = (html) => html.replace(/<[^>]*>/g, "").replace(/&amp;/g, "&").replace(/&#?\w+;/g, " ");
const all = (html, pattern) => [...html.matchAll(pattern)].map((match) => match[1]);
const BOOK = new Map();
for (const path of PATHS) {
  const html = await readFile(join(SITE, path), "utf8");
  const boxes = all(html, /<div class="proof (?:theorem|lemma|proposition|corollary)[^>]*>\s*<p class="admonition-title">(.*?)<\/p>/gs);
  BOOK.set(path, {
    ids: all(html, /\sid="([^"]+)"/g),
    links: all(html, /\s(?:href|src)="([^"]+)"/g).map((link) => link.replace(/&amp;/g, "&")),
    theorems: boxes.map((title) => /\((.*)\)\s*$/s.exec(plain(title))?.[1]).filter(Boolean),
  });
}

test("every link inside the book leads to a page, file or anchor that is there", () => {
  const broken = [];
  for (const [path, { links }] of BOOK) {
    for (const link of links) {
      const url = new URL(link, `${base}/${path}`);
      if (url.origin !== base) continue;
      const file = decodeURIComponent(url.pathname.slice(1));
      const anchor = decodeURIComponent(url.hash.slice(1));
      const target = BOOK.get(file);
      if (!target && !existsSync(join(SITE, file))) broken.push(`${path}: ${file}`);
      else if (target && anchor && !target.ids.includes(anchor)) broken.push(`${path}: ${file}#${anchor}`);
    }
  }
  assert.deepEqual([...new Set(broken)], []);
});

test("ids are unique on every page", () => {
  for (const [path, { ids }] of BOOK) {
    assert.deepEqual(ids.filter((id, i) => ids.indexOf(id) !== i), [], path);
  }
});

test("search finds each theorem by its name", async () => {
  const named = [...BOOK].flatMap(([path, { theorems }]) => theorems.map((name) => [path, name]));
  assert.ok(named.length >= 15, `${named.length} theorems with a name`);
  const { page, faults, close } = await open(browser, base, "search.html");
  for (const [path, name] of named) {
    const words = name.replace(/[^\p{L}\p{N}\s]/gu, " ");
    await page.goto(`${base}/search.html?q=${encodeURIComponent(words)}`);
    await page.waitForFunction(() => /finished|did not match/.test(document.querySelector(".search-summary")?.textContent || ""));
    const found = await page.$$eval("#search-results li a", (links) => links.map((a) => new URL(a.href).pathname.slice(1)));
    assert.ok(found.includes(path), `${name} stands on ${path}; found: ${found.join(", ") || "nothing"}`);
  }
  await close();
  assert.deepEqual(faults, []);
});

describe("Tab reaches everything", { concurrency: 2 }, () => {
  for (const path of PATHS) {
    test(path, async () => {
      const { page, close } = await open(browser, base, path);
      await unfold(page);
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
    const light = (colour) => {
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => (v / 255 <= 0.04045 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
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
        const colour = stroke !== "none" ? stroke : fill;
        if (colour !== "none" && strokeOpacity === "1" && contrast(colour) < 3) faint.add(`mark ${colour}: ${contrast(colour).toFixed(2)}`);
      }
    }
    return [...faint];
  });
}

test("the theme switch keeps figures readable", async () => {
  const seen = [];
  for (const path of PATHS) {
    const { page, close } = await open(browser, base, path);
    if (await page.$("svg.themed, .explorable-stage")) {
      for (const theme of ["light", "dark"]) {
        await setTheme(page, theme);
        for (let i = 0; i < 3 && (await page.evaluate(() => document.documentElement.dataset.theme)) !== theme; i += 1) {
          await page.click(".theme-switch-button");
        }
        seen.push(...(await faintMarks(page)).map((text) => `${path}, ${theme}: ${text}`));
      }
    }
    await close();
  }
  assert.deepEqual(seen, []);
});

test("the switch itself goes through light and dark", async () => {
  const { page, faults, close } = await open(browser, base, "index.html");
  const themes = new Set();
  for (let i = 0; i < 3; i += 1) {
    themes.add(await page.evaluate(() => document.documentElement.dataset.mode));
    await page.locator("button.theme-switch-button:visible").first().click();
  }
  await close();
  assert.deepEqual([...themes].sort(), ["auto", "dark", "light"]);
  assert.deepEqual(faults, []);
});
