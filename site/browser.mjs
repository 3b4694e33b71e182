// The browser, the built pages, and what every test of the site asks of them.
import { existsSync, readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { serve } from "./server.mjs";

export const SITE = process.env.SITE || fileURLToPath(new URL("../_build/html", import.meta.url));
export const WIDTHS = [1280, 768, 360];
export const THEMES = ["light", "dark"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] };
// A theme changes colours and nothing else.
export const COLOUR_RULES = { type: "rule", values: ["color-contrast", "link-in-text-block"] };

// The first of the names under which systems know the browser.
export function findChromium() {
  const folders = process.env.PATH.split(delimiter);
  const names = ["chromium", "chromium-browser", "google-chrome"];
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(existsSync);
}

export function launch() {
  return chromium.launch({
    executablePath: findChromium(),
    // No name is looked up but this machine's: a request elsewhere fails, and is seen.
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking",
      "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"],
  });
}

// A browser and a server of the site, and what ends both.
export async function start() {
  const [browser, server] = await Promise.all([launch(), serve(SITE)]);
  const stop = async () => {
    await browser.close();
    server.close();
  };
  return { browser, base: server.base, stop };
}

// Paths of the pages that readers see, from the built folder.
export async function pages() {
  const found = await readdir(SITE, { recursive: true });
  return found.filter((path) => path.endsWith(".html") && !/^_|\/_/.test(path)).sort();
}

// Open a page in a context of its own; `faults` gathers all that a page should not do.
export async function open(browser, base, path, settings = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "light", ...settings });
  context.setDefaultTimeout(120_000); // for a machine that has other work too
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`error: ${error}`));
  page.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(`${base}/`)) faults.push(`asks ${request.url()}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400) faults.push(`${response.status()} for ${response.url()}`);
  });
  await page.goto(`${base}/${path}`, { waitUntil: "load" });
  return { page, faults, close: () => context.close() };
}

// Unfold proofs, solutions and hidden cells and lay out what is far away, so that all of the page is
// looked at; and let colours change at once, not over some frames.
export async function unfold(page) {
  await page.addStyleTag({ content: "* { transition: none !important; content-visibility: visible !important; }" });
  await page.evaluate(() => {
    document.querySelectorAll("details").forEach((details) => (details.open = true));
    document.querySelectorAll(".toggle-hidden").forEach((box) => box.classList.remove("toggle-hidden"));
  });
}

// What follows a change of sizes has run: a frame, and what observes boxes in it.
export const drawn = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));

// Show the page in a theme, as the theme's own script does it.
export function setTheme(page, theme) {
  return page.evaluate((name) => {
    document.documentElement.dataset.mode = name;
    document.documentElement.dataset.theme = name;
  }, theme);
}

// Take out what axe-core would walk through and never judge: the insides of pictures and of the
// visible half of formulas, both hidden from assistive technology. Their sizes stay. The colours in
// pictures have a test of their own.
export function lighten(page) {
  return page.evaluate(() => {
    for (const formula of document.querySelectorAll(".katex-html")) {
      const { width, height } = formula.getBoundingClientRect();
      formula.style.cssText = `display: inline-block; width: ${width}px; height: ${height}px`;
      formula.replaceChildren();
    }
    document.querySelectorAll("svg[role=img]").forEach((picture) => picture.replaceChildren());
  });
}

// Violations of WCAG 2.2 AA and of best practice, one line for each.
export async function axe(page, rules = RULES) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(AXE);
  const found = await page.evaluate(
    (runOnly) => window.axe.run(document, { runOnly, resultTypes: ["violations"], preload: false, iframes: false }),
    rules,
  );
  return found.violations.flatMap((rule) =>
    rule.nodes.slice(0, 3).map((node) => `${rule.id} (${rule.nodes.length}): ${node.target} ${node.html.slice(0, 160)}`),
  );
}
