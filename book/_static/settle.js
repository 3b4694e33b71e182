// While a page loads, the parts of its sections that are far from the window wait (book.css). Once it is
// shown, whole sections are laid out, so that links lead to places that no longer move.
(function () {
  "use strict";
  const settle = () => (document.documentElement.dataset.settled = "");
  window.addEventListener("load", () => (window.requestIdleCallback || setTimeout)(settle));
})();
