// A box that scrolls must be reachable by key, and a box that does not should not be a stop on the way.
// Boxes are measured when they are first laid out and whenever their size changes, never all at once.
(function () {
  "use strict";
  const BOXES = "pre, .cell_output > .output, .math-scroll, .table-scroll, .picture";
  const sizes = new ResizeObserver((entries) => {
    const measured = entries.map(({ target: box }) => [box, box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight]);
    for (const [box, scrolls] of measured) box.tabIndex = scrolls ? 0 : -1;
  });
  document.querySelectorAll(BOXES).forEach((box) => sizes.observe(box));
})();
