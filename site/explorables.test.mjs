// Figures that answer back: by key, finger and mouse, without JavaScript, and from a link.
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { SITE, drawn, open, pages, start } from "./browser.mjs";

const STAGE = /data-explorable="([\w-]+)"/g;
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
const FIGURES = [];
for (const path of await pages()) {
  for (const [, name] of (await readFile(join(SITE, path), "utf8")).matchAll(STAGE)) FIGURES.push([path, name]);
}
const SCRIPTS = join(SITE, "_static", "explorables");
const NAMES = (await readdir(SCRIPTS)).map((file) => file.replace(".js", "")).sort();
const DRAGGED = [];
for (const name of NAMES) if ((await readFile(join(SCRIPTS, `${name}.js`), "utf8")).includes("dragged:")) DRAGGED.push(name);

const { browser, base, stop } = await start();
after(stop);

const stageOf = (page, name) => page.locator(`[data-explorable="${name}"]`);
const sliderOf = (page, name) => stageOf(page, name).locator("input[type=range]").first();
async function shown(page, name) {
  const stage = stageOf(page, name);
  // It is drawn when it comes near the window.
  await stage.evaluate((e) => e.querySelector("svg g > *") || e.scrollIntoView({ block: "center", behavior: "instant" }));
  await stage.locator("svg g > *").first().waitFor({ state: "attached" });
  return { picture: await stage.locator("svg").innerHTML(), text: await stage.locator("[aria-live]").textContent() };
}

// The address is written 250 ms after the last move, by a timer that was set before this one.
const addressWritten = (page) => page.evaluate(() => new Promise((written) => setTimeout(written, 300)));

// Some presses that can move this control.
async function press(control) {
  const [value, most] = await control.evaluate((e) => [e.value, e.max]);
  const key = (await control.getAttribute("type")) === "range" && value !== most ? "ArrowRight" : "ArrowDown";
  for (let i = 0; i < 4; i += 1) await control.press(key);
}

async function drag(page, kind, { x, y }, { dx, dy }) {
  if (kind === "mouse") {
    await page.mouse.move(x, y);
    await page.mouse.down();
    await page.mouse.move(x + dx, y + dy, { steps: 4 });
    await page.mouse.up();
    return;
  }
  const cdp = await page.context().newCDPSession(page);
  const touch = (type, ...touchPoints) => cdp.send("Input.dispatchTouchEvent", { type, touchPoints });
  await touch("touchStart", { x, y });
  for (let i = 1; i <= 4; i += 1) await touch("touchMove", { x: x + (dx * i) / 4, y: y + (dy * i) / 4 });
  await touch("touchEnd");
}

async function dragsHandle(page, name, kind) {
  const handle = stageOf(page, name).locator(".handle");
  const before = await shown(page, name);
  await handle.evaluate((e) => e.scrollIntoView({ block: "center", behavior: "instant" }));
  await drawn(page);
  const box = await handle.boundingBox();
  const scrolled = await page.evaluate(() => scrollY);
  const by = { dx: 40, dy: -30 };
  await drag(page, kind, { x: box.x + box.width / 2, y: box.y + box.height / 2 }, by);
  assert.equal(await page.evaluate(() => scrollY), scrolled, "the page does not scroll with it");
  const now = await handle.boundingBox();
  const off = Math.hypot(now.x - box.x - by.dx, now.y - box.y - by.dy);
  assert.ok(off < 8, `${kind}: the point is ${off} px from where it was dragged`);
  assert.notEqual((await shown(page, name)).text, before.text);
}

test("every explorable is in a chapter", () => {
  assert.deepEqual([...new Set(FIGURES.map(([, name]) => name))].sort(), NAMES);
});

// The figure alone on a page, under a policy that allows nothing but files of this host.
describe("under default-src 'self' alone", { concurrency: 2 }, () => {
  for (const name of NAMES) {
    test(`${name}: each control moves the picture by key, and Reset brings it back`, async () => {
      const { page, faults, close } = await open(browser, base, `bare/${name}`);
      const first = await shown(page, name);
      const texts = new Set();
      for (const control of await stageOf(page, name).locator("input, select").all()) {
        const before = await shown(page, name);
        await press(control);
        const now = await shown(page, name);
        assert.notEqual(now.picture, before.picture, await control.getAttribute("id"));
        assert.ok(!/NaN|undefined|Infinity/.test(now.picture + now.text));
        texts.add(now.text);
      }
      assert.ok(texts.size > 1, "the live text follows");
      await stageOf(page, name).getByRole("button", { name: "Reset" }).press("Enter");
      assert.deepEqual(await shown(page, name), first);
      await close();
      assert.deepEqual(faults, []);
    });

    test(`${name}: its state is in the address, through reload, back and a link`, async () => {
      const { page, faults, close } = await open(browser, base, `bare/${name}`);
      const first = await shown(page, name);
      const control = sliderOf(page, name);
      const untouched = await control.inputValue();
      for (let i = 0; i < 3; i += 1) await control.press("ArrowLeft");
      const value = await control.inputValue();
      assert.notEqual(value, untouched);
      const key = (await control.getAttribute("id")).replace(`${name}-`, `${name}.`);
      await addressWritten(page);
      assert.equal(new URL(page.url()).searchParams.get(key), value);
      const [address, left] = [page.url(), await shown(page, name)];
      const kept = async (how) => {
        assert.equal(await control.inputValue(), value, how);
        assert.deepEqual(await shown(page, name), left, how);
      };
      const elsewhere = `${base}/bare/${NAMES.find((other) => other !== name)}`;
      await page.reload();
      await kept("reload");
      await page.goto(elsewhere);
      await page.goBack();
      await kept("back");
      await page.goto(elsewhere);
      await page.goto(address);
      await kept("a link");
      await page.goto(`${base}/bare/${name}?${key}=1e9`);
      assert.equal(await control.inputValue(), untouched, "an illegal value is not taken");
      assert.deepEqual(await shown(page, name), first);
      await close();
      assert.deepEqual(faults, []);
    });
  }
});

describe("in the chapter", { concurrency: 3 }, () => {
  for (const [path, name] of FIGURES) {
    test(`${name} in ${path}: by key, and reload keeps it`, async () => {
      const { page, faults, close } = await open(browser, base, path);
      const first = await shown(page, name);
      await press(sliderOf(page, name));
      const moved = await shown(page, name);
      assert.notEqual(moved.picture, first.picture);
      if (DRAGGED.includes(name)) await dragsHandle(page, name, "mouse");
      const left = await shown(page, name);
      await addressWritten(page);
      assert.ok(page.url().includes(`${name}.`));
      await page.reload();
      assert.deepEqual(await shown(page, name), left);
      await close();
      assert.deepEqual(faults, []);
    });

    test(`${name} in ${path}: by finger, on a phone`, async () => {
      const { page, faults, close } = await open(browser, base, path, PHONE);
      if (DRAGGED.includes(name)) await dragsHandle(page, name, "touch");
      const before = await shown(page, name);
      const slider = sliderOf(page, name);
      await slider.evaluate((e) => e.scrollIntoView({ block: "center", behavior: "instant" }));
      const box = await slider.boundingBox();
      assert.ok(box.height >= 24, "a target of at least 24 px");
      await page.touchscreen.tap(box.x + box.width * 0.9, box.y + box.height / 2);
      assert.notEqual((await shown(page, name)).picture, before.picture);
      await close();
      assert.deepEqual(faults, []);
    });

    test(`${name} in ${path}: without JavaScript there is a picture and a sentence`, async () => {
      const { page, close } = await open(browser, base, path, { javaScriptEnabled: false });
      const stage = stageOf(page, name);
      assert.ok(await stage.locator("svg[role=img][aria-label]").isVisible());
      assert.match(await stage.locator(".explorable-says").textContent(), /\.$/);
      await close();
    });
  }
});
