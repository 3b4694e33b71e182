// Prints the built book as one PDF: contents, then every page in the order of the book.
//
// The pages are put into one document: ids get the name of their page, links follow them, proofs and
// solutions are unfolded, and figures that answer back show their first picture. It is printed twice:
// on which sheet a heading stands is read off the first print, for the contents of the second.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { SITE, launch } from "./browser.mjs";
import { serve } from "./server.mjs";

const OUT = process.argv[2] || fileURLToPath(new URL("../_build/book.pdf", import.meta.url));
const MOST_BYTES = 15e6;
const LEFT_OUT = ["changelog.html"];
const STYLE = await readFile(new URL("print.css", import.meta.url), "utf8");

// Runs in the browser, on the first page of the book.
async function assemble({ leftOut, style }) {
  const root = new URL(".", location.href);
  const fileOf = (url) => url.pathname.replace(root.pathname, "");
  const paths = ["index.html", ...[...document.querySelectorAll(".bd-sidebar-primary nav a.reference.internal")]
    .map((link) => fileOf(new URL(link.href)))].filter((path) => path !== "" && !leftOut.includes(path));
  const order = [...new Set(paths)];
  const key = (path) => path.replace(/\.html$/, "").replace(/\W/g, "-");
  const contents = document.createElement("nav");
  contents.innerHTML = "<h1>Contents</h1><ol></ol>";
  const chapters = [];
  for (const path of order) {
    const page = new DOMParser().parseFromString(await (await fetch(new URL(path, root))).text(), "text/html");
    const article = page.querySelector("article.bd-article");
    article.id = "";
    article.querySelectorAll(".headerlink, .figure-record, script, noscript, button, .prev-next-area").forEach((e) => e.remove());
    article.querySelectorAll("details").forEach((e) => (e.open = true));
    for (const element of article.querySelectorAll("[id]")) element.id = `${key(path)}--${element.id}`;
    for (const svg of article.querySelectorAll("svg")) {
      for (const part of svg.querySelectorAll("*")) {
        for (const { name, value } of [...part.attributes]) {
          if (/url\(#/.test(value)) part.setAttribute(name, value.replace(/url\(#/g, `url(#${key(path)}--`));
          else if (name === "href" && part.localName === "use") part.setAttribute(name, value.replace("#", `#${key(path)}--`));
        }
      }
    }
    for (const link of article.querySelectorAll("a[href]")) {
      const url = new URL(link.getAttribute("href"), new URL(path, root));
      if (url.origin !== root.origin) continue;
      const file = fileOf(url) || "index.html";
      if (!order.includes(file)) link.removeAttribute("href");
      else link.setAttribute("href", url.hash ? `#${key(file)}--${url.hash.slice(1)}` : `#${key(file)}`);
    }
    for (const image of article.querySelectorAll("img")) image.src = new URL(image.getAttribute("src"), new URL(path, root)).href;
    const chapter = document.createElement("section");
    chapter.id = key(path);
    chapter.className = "printed-page";
    chapter.append(...article.children);
    chapters.push(chapter);
    if (path === "index.html") continue;
    const entry = document.createElement("li");
    const link = (id, text) => `<a href="#${id}"><span>${text}</span><span class="sheet">000</span></a>`;
    const heads = [...chapter.querySelectorAll("section > h2")].map((h) => `<li>${link(h.parentElement.id, h.innerHTML)}</li>`);
    entry.innerHTML = link(chapter.id, chapter.querySelector("h1").innerHTML) + (heads.length ? `<ol>${heads.join("")}</ol>` : "");
    contents.querySelector("ol").append(entry);
  }
  document.documentElement.dataset.theme = document.documentElement.dataset.mode = "light";
  document.body.className = "printed";
  const [title, ...rest] = chapters;
  const container = document.createElement("article");
  container.className = "bd-article";
  container.append(title, contents, ...rest);
  document.body.replaceChildren(container);
  document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
  await document.fonts.ready;
  const ids = new Set([...document.querySelectorAll("[id]")].map((e) => e.id));
  const links = [...document.querySelectorAll("a[href^='#']")].map((a) => decodeURIComponent(a.getAttribute("href").slice(1)));
  return { pages: order.length, links: links.length, broken: [...new Set(links.filter((id) => !ids.has(id)))] };
}

// The sheet of each place that a link leads to, from the file's own list of destinations.
function sheetsOf(pdf) {
  const text = pdf.toString("latin1");
  const found = new Map([...text.matchAll(/^(\d+) 0 obj\s([^]*?)\sendobj/gm)].map(([, number, object]) => [number, object]));
  const first = (pattern, object) => found.get(pattern.exec(object)[1]);
  const catalog = [...found.values()].find((object) => /\/Type\s*\/Catalog/.test(object));
  const below = (number) => {
    const kids = /\/Kids\s*\[([^\]]*)\]/.exec(found.get(number));
    return kids ? [...kids[1].matchAll(/(\d+) 0 R/g)].flatMap(([, kid]) => below(kid)) : [number];
  };
  const sheets = below(/\/Pages (\d+) 0 R/.exec(catalog)[1]);
  const places = first(/\/Dests (\d+) 0 R/, catalog).matchAll(/\/([^\s/[]+)\s*\[(\d+) 0 R/g);
  const plain = (name) => name.replace(/#([0-9A-Fa-f]{2})/g, (_, code) => String.fromCharCode(parseInt(code, 16)));
  return { count: sheets.length, of: new Map([...places].map(([, name, sheet]) => [plain(name), sheets.indexOf(sheet) + 1])) };
}

// Write the sheets into the contents.
function number(entries) {
  for (const link of document.querySelectorAll("nav a")) {
    link.querySelector(".sheet").textContent = entries[decodeURIComponent(link.getAttribute("href").slice(1))];
  }
}

const SETTINGS = {
  format: "A4",
  margin: { top: "18mm", bottom: "18mm", left: "16mm", right: "16mm" },
  displayHeaderFooter: true,
  headerTemplate: "<span></span>",
  footerTemplate: '<div style="width: 100%; text-align: center; font-size: 8px"><span class="pageNumber"></span></div>',
  outline: true,
  tagged: true,
  printBackground: true,
  timeout: 600_000,
};

const server = await serve(SITE, { policy: null });
const browser = await launch();
try {
  const page = await browser.newPage();
  await page.goto(`${server.base}/index.html`);
  const { pages, links, broken } = await page.evaluate(assemble, { leftOut: LEFT_OUT, style: STYLE });
  assert.deepEqual(broken, [], "links of the printed book that lead nowhere");
  await page.emulateMedia({ media: "print", colorScheme: "light" });
  const first = sheetsOf(await page.pdf(SETTINGS));
  await page.evaluate(number, Object.fromEntries(first.of));
  const pdf = await page.pdf(SETTINGS);
  const last = sheetsOf(pdf);
  assert.deepEqual(last, first, "the contents name the sheets of the book that they stand in");
  await writeFile(OUT, pdf);
  console.log(`[pdf] ${OUT}: ${pages} pages of the book on ${last.count} sheets, ${links} links, ${(pdf.length / 1e6).toFixed(1)} MB`);
  assert.ok(pdf.length <= MOST_BYTES, `expected at most ${MOST_BYTES / 1e6} MB`);
} finally {
  await browser.close();
  server.close();
}
