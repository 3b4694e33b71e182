// Figures that answer back: by key, finger and mouse, without JavaScript, and from a link.
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { after, describe, test } from "node:test";
import { join } from "node:path";
import { SITE, open, pages, start } from "./browser.mjs";

const STAGE = /data-explorable="([\w-]+)"/g;
const FIGURES = [];
for (const path of await pages()) {
  for (const [, name] of (await readFile(join(SITE, path), "utf8")).matchAll(STAGE)) FIGURES.push([path, name]);
}
const NAMES = (await readdir(join(SITE, "_static", "explorables"))).map((file) => file.replace(".js", ""));

const { browser, base, stop } = await start();
after(stop);

const stageOf = (page, name) => page.locator(`[data-explorable="${name}"]`);
async function shown(page, name) {
  const stage = stageOf(page, name);
  return { picture: await stage.locator("svg").innerHTML(), text: await stage.locator("[aria-live]").textContent() };
}

test("every explorable is in a chapter", () => {
  assert.deepEqual([...new Set(FIGURES.map(([, name]) => name))].sort(), NAMES.sort());
});

describe("explorables", { concurrency: 2 }, () => {
  for (const [path, name] of FIGURES) {
    test(`${name}: each control moves the picture by key, and Reset brings it back`, async () => {
      const { page, faults, close } = await open(browser, base, path);
      const first = await shown(page, name);
      for (const control of await stageOf(page, name).locator("input, select").all()) {
        const before = await shown(page, name);
        await control.focus();
        const [value, most] = await control.evaluate((e) => [e.value, e.max]);
        const key = (await control.getAttribute("type")) === "range" && value !== most ? "ArrowRight" : "ArrowDown";
        for (let i = 0; i < 4; i += 1) await control.press(key);
        const now = await shown(page, name);
        assert.notEqual(now.picture, before.picture, await control.getAttribute("id"));
        assert.ok(!/NaN|undefined|Infinity/.test(now.picture + now.text));
      }
      assert.notEqual((await shown(page, name)).text, first.text);
      await stageOf(page, name).getByRole("button", { name: "Reset" }).press("Enter");
      assert.deepEqual(await shown(page, name), first);
      await close();
      assert.deepEqual(faults, []);
    });

    test(`${name}: its state is in the address, through reload, back and a link`, async () => {
      const { page, close } = await open(browser, base, path);
      const control = stageOf(page, name).locator("input[type=range]").first();
      for (let i = 0; i < 3; i += 1) await control.press("ArrowLeft");
      const value = await control.inputValue();
      const key = (await control.getAttribute("id")).replace(`${name}-`, `${name}.`);
      await page.waitForURL((url) => url.searchParams.get(key) === value, { waitUntil: "commit" });
      const address = page.url();
      const { text } = await shown(page, name);
      const kept = async (how) => assert.deepEqual([await control.inputValue(), (await shown(page, name)).text], [value, text], how);
      await page.reload();
      await kept("reload");
      await page.goto(`${base}/cite.html`);
      await page.goBack();
      await kept("back");
      await page.goto(`${base}/cite.html`);
      await page.goto(address);
      await kept("a link");
      await page.goto(`${base}/${path}?${key}=1e9`);
      assert.notEqual(await control.inputValue(), "1e9");
      assert.notEqual((await shown(page, name)).text, text, "an illegal value is not taken");
      await close();
    });

    test(`${name}: a finger moves a slider, and the page gives it room`, async () => {
      const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
      const { page, close } = await open(browser, base, path, phone);
      const before = await shown(page, name);
      const slider = stageOf(page, name).locator("input[type=range]").first();
      await slider.scrollIntoViewIfNeeded();
      const box = await slider.boundingBox();
      assert.ok(box.height >= 24, "a target of at least 24 px");
      await page.touchscreen.tap(box.x + box.width * 0.9, box.y + box.height / 2);
      assert.notEqual((await shown(page, name)).picture, before.picture);
      await close();
    });

    test(`${name}: without JavaScript there is a picture and a sentence`, async () => {
      const { page, close } = await open(browser, base, path, { javaScriptEnabled: false });
      const stage = stageOf(page, name);
      assert.ok(await stage.locator("svg[role=img][aria-label]").isVisible());
      assert.match(await stage.locator(".explorable-says").textContent(), /\.$/);
      await close();
    });

    test(`${name}: works under default-src 'self' alone`, async () => {
      const { page, faults, close } = await open(browser, base, `bare/${name}`);
      const before = await shown(page, name);
      await page.locator("input[type=range]").first().press("ArrowLeft");
      assert.notEqual((await shown(page, name)).picture, before.picture);
      await close();
      assert.deepEqual(faults, []);
    });
  }
});

for (const [path, name] of FIGURES.filter(([, name]) => ["flow", "thresholds"].includes(name))) {
  for (const kind of ["mouse", "touch"]) {
    test(`${name}: its point is dragged by ${kind}`, async () => {
      const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
      const { page, close } = await open(browser, base, path, kind === "touch" ? phone : {});
      const handle = stageOf(page, name).locator(".handle");
      await handle.scrollIntoViewIfNeeded();
      const box = await handle.boundingBox();
      const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
      const before = await shown(page, name);
      if (kind === "mouse") {
        await page.mouse.move(x, y);
        await page.mouse.down();
        await page.mouse.move(x + 20, y + 15);
        await page.mouse.move(x + 40, y + 30);
        await page.mouse.up();
      } else {
        const cdp = await page.context().newCDPSession(page);
        const touch = (type, ...touchPoints) => cdp.send("Input.dispatchTouchEvent", { type, touchPoints });
        const scrolled = await page.evaluate(() => scrollY);
        await touch("touchStart", { x, y });
        for (let i = 1; i <= 4; i += 1) await touch("touchMove", { x: x + 10 * i, y: y + 7.5 * i });
        await touch("touchEnd");
        assert.equal(await page.evaluate(() => scrollY), scrolled, "the page does not scroll with it");
      }
      const now = await handle.boundingBox();
      assert.ok(Math.abs(now.x - box.x - 40) < 8 && Math.abs(now.y - box.y - 30) < 8, `${now.x - box.x}, ${now.y - box.y}`);
      assert.notEqual((await shown(page, name)).text, before.text);
      await close();
    });
  }
}
