// Shows the theorem, equation or reference that a link leads to, when the link is pointed at or
// takes the focus. Escape closes the preview; the pointer may move onto it.
(function () {
  "use strict";
  const root = document.documentElement.dataset.content_root || "./";
  const pages = new Map(); // page -> promise of {id: markup}
  const arrived = new Map(); // page -> what a page's script calls back with
  let box, timer;

  window.bookPreviews = (page, found) => arrived.get(page)(found);

  function previewsOf(page) {
    if (!pages.has(page)) {
      pages.set(page, new Promise((resolve) => {
        arrived.set(page, resolve);
        const script = document.createElement("script");
        script.src = `${root}previews/${page}.js`;
        script.onerror = () => resolve({});
        document.head.append(script);
      }));
    }
    return pages.get(page);
  }

  // The page and the id that a link leads to, if it leads into the book.
  function target(link) {
    const url = new URL(link.href);
    const base = new URL(root, location.href);
    if (!url.hash || !url.href.startsWith(base.href)) return null;
    const page = url.pathname.slice(base.pathname.length).replace(/(\.html|\/?)$/, "") || "index";
    return { page, id: decodeURIComponent(url.hash.slice(1)) };
  }

  function close() {
    clearTimeout(timer);
    if (box) box.remove();
    box = undefined;
  }

  function place(link) {
    const at = link.getBoundingClientRect();
    const left = Math.min(at.left, document.documentElement.clientWidth - box.offsetWidth - 12);
    const below = at.bottom + box.offsetHeight < innerHeight || at.top < box.offsetHeight;
    box.style.left = `${Math.max(0, left) + scrollX}px`;
    box.style.top = `${(below ? at.bottom : at.top - box.offsetHeight) + scrollY}px`;
  }

  async function show(link) {
    const { page, id } = target(link);
    const markup = (await previewsOf(page))[id];
    if (!markup || !link.matches(":hover, :focus")) return;
    close();
    box = document.createElement("div");
    box.className = "preview";
    box.setAttribute("role", "tooltip");
    box.innerHTML = markup;
    box.querySelectorAll("[tabindex], a").forEach((inner) => inner.setAttribute("tabindex", "-1"));
    box.addEventListener("mouseenter", () => clearTimeout(timer));
    box.addEventListener("mouseleave", leave);
    document.body.append(box);
    place(link);
  }

  function leave() {
    clearTimeout(timer);
    timer = setTimeout(close, 250);
  }

  const linkOf = (event) => {
    const link = event.target.closest && event.target.closest(".bd-article a[href*='#']:not(.headerlink)");
    return link && typeof link.href === "string" && target(link) ? link : null;
  };
  for (const [begin, end, wait] of [["mouseover", "mouseout", 150], ["focusin", "focusout", 0]]) {
    document.addEventListener(begin, (event) => {
      const link = linkOf(event);
      if (!link || (begin === "focusin" && !link.matches(":focus-visible"))) return;
      clearTimeout(timer);
      timer = setTimeout(() => show(link), wait);
    });
    document.addEventListener(end, (event) => linkOf(event) && leave());
  }
  document.addEventListener("keydown", (event) => event.key === "Escape" && close());
})();
