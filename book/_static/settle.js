// While a page loads at its beginning, what is not yet near the window waits: parts of sections (book.css)
// and figures that answer back. It ends soon after the page and its fonts stand, or earlier at the first
// click: a link must lead to a place that no longer moves. An address with a place in it waits for nothing.
(function () {
  "use strict";
  const root = document.documentElement;
  if (location.hash) return;
  root.dataset.loading = "";
  const settle = () => {
    if (!("loading" in root.dataset)) return;
    delete root.dataset.loading;
    window.dispatchEvent(new Event("settled"));
  };
  const idle = window.requestIdleCallback || setTimeout;
  // Not in the same moment, in which the browser has the last fonts to draw.
  const later = () => setTimeout(() => idle(settle), 300);
  window.addEventListener("load", () => document.fonts.ready.then(later));
  window.addEventListener("click", settle, { capture: true, once: true });
})();
