// Serves a built site on this machine only, compressed and under a content security policy.
import { createServer } from "node:http";
import { readFile, stat } from "node:fs/promises";
import { join, extname, normalize } from "node:path";
import { gzipSync } from "node:zlib";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".csv": "text/csv; charset=utf-8",
  ".json": "application/json",
  ".woff2": "font/woff2",
};
const COMPRESSED = new Set([".html", ".js", ".css", ".svg", ".csv", ".json"]);

// What the theme needs besides 'self': its inline scripts and styles, and icons written as data.
export const POLICY =
  "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:";
// What the explorables need.
export const STRICT_POLICY = "default-src 'self'";

// A page that holds one explorable and nothing of the theme.
const bare = (name) => `<!doctype html><html lang="en"><title>${name}</title>
<link rel="icon" href="../_static/icon.svg"><link rel="stylesheet" href="../_static/book.css">
<div data-explorable="${name}" data-alt="A picture"></div>
<script src="../_static/explorable.js"></script><script src="../_static/explorable_page.js"></script><script src="../_static/explorables/${name}.js"></script></html>`;

// The path at which a site expects to stand, since its 404 page is shown for any address: that of its own address.
async function placeOf(folder) {
  const address = /<link rel="canonical" href="([^"]+)"/.exec(await readFile(join(folder, "index.html"), "utf8"));
  return address ? new URL(".", address[1]).pathname : "/";
}

// Start a server for a site's folder; {"bare/<name>"} is the page above, under the strict policy.
export async function serve(folder, { policy = POLICY } = {}) {
  const place = await placeOf(folder);
  const cache = new Map();
  async function load(path) {
    if (!cache.has(path)) {
      const file = join(folder, normalize(decodeURIComponent(path)));
      const body = await readFile((await stat(file)).isDirectory() ? join(file, "index.html") : file);
      cache.set(path, { body, packed: COMPRESSED.has(extname(file) || ".html") && gzipSync(body) });
    }
    return cache.get(path);
  }
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://host");
    const path = pathname.startsWith(place) ? pathname.slice(place.length) : undefined;
    const figure = /^bare\/([\w-]+)$/.exec(path);
    try {
      const { body, packed } = figure ? { body: bare(figure[1]) } : await load(path);
      response.writeHead(200, {
        "content-type": TYPES[figure ? ".html" : extname(path) || ".html"] || "application/octet-stream",
        ...(policy && { "content-security-policy": figure ? STRICT_POLICY : policy }),
        ...(packed && { "content-encoding": "gzip" }),
      });
      response.end(packed || body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return { base: `http://127.0.0.1:${server.address().port}${place.slice(0, -1)}`, close: () => server.close() };
}
