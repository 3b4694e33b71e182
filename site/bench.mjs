// Size and time to ready of every page, side by side with the stock theme's (stock.py), each load with
// an empty cache and the two sites in turn. Ready is when the page, its formulas and its fonts stand.
// The limit of the ratio is for chapters. The stock theme gets MathJax and its fonts from this machine too:
// no request of either site is intercepted, which would make every one slower.
// Arguments: the folder of the stock site, and names of pages where only some are wanted.
import { cp, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { launch, pages, SITE } from "./browser.mjs";
import { serve } from "./server.mjs";

const [STOCK, ...CHOSEN] = process.argv.slice(2);
const REPEATS = 5;
const MOST = { kilobytes: 600, milliseconds: 1500, ratio: 0.5 };
const MATHJAX = createRequire(import.meta.url).resolve("mathjax/es5/tex-mml-chtml.js");

const middle = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function load(browser, base, path) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const cdp = await context.newCDPSession(page);
  await cdp.send("Network.enable");
  let bytes = 0;
  cdp.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
  await page.goto(`${base}/${path}`, { waitUntil: "load" });
  const milliseconds = await page.evaluate(async () => {
    if (window.MathJax?.startup?.promise) await window.MathJax.startup.promise;
    await document.fonts.ready;
    await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
    return performance.now();
  });
  await context.close();
  return { kilobytes: bytes / 1024, milliseconds };
}

// Where stock.py says that it is.
await cp(dirname(MATHJAX), `${STOCK}/_static/mathjax`, { recursive: true });
const servers = { book: await serve(SITE), stock: await serve(STOCK, { policy: null }) };
const browser = await launch();
await load(browser, servers.book.base, "index.html");
await load(browser, servers.stock.base, "index.html");
let failed = false;
console.log("page                               KB   ready ms | stock KB   ready ms | ratio of times");
const paths = CHOSEN.length ? CHOSEN.map((name) => `${name}.html`) : await pages();
for (const path of paths) {
  const seen = { book: [], stock: [] };
  for (let i = 0; i < REPEATS; i += 1) {
    for (const [name, { base }] of Object.entries(servers)) seen[name].push(await load(browser, base, path));
  }
  const of = (name, what) => middle(seen[name].map((one) => one[what]));
  const ratio = of("book", "milliseconds") / of("stock", "milliseconds");
  // A chapter states results and has a figure that answers back.
  const source = await readFile(`${SITE}/${path}`, "utf8");
  const chapter = source.includes('class="proof') && source.includes("data-explorable=");
  const bad = of("book", "kilobytes") > MOST.kilobytes || of("book", "milliseconds") > MOST.milliseconds || (chapter && ratio > MOST.ratio);
  failed ||= bad;
  const cells = ["book", "stock"].map((name) => `${of(name, "kilobytes").toFixed(0).padStart(5)} ${of(name, "milliseconds").toFixed(0).padStart(10)}`);
  console.log(`${path.padEnd(32)}${cells[0]} |    ${cells[1]} | ${ratio.toFixed(2)}${bad ? "   <- over the limit" : ""}`);
}
await browser.close();
Object.values(servers).forEach((server) => server.close());
process.exitCode = failed ? 1 : 0;
