"""What a link leads to is shown where the link is: theorems, equations, references.

For each page a small script holds the markup of its boxes. A reader's browser loads it when a link
to that page is first pointed at, which needs no request to another host and works from a folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

FOLDER = "previews"
_BOX = re.compile(
    r'<div\b[^>]*\bclass="(?:proof (?!dropdown)|math notranslate|exercise |citation")[^>]*>'
)
_ID = re.compile(r'\bid="([^"]+)"')
_DIV = re.compile(r"<(/?)div\b[^>]*>")


def element_at(html: str, start: int) -> str:
    """Return the `div` that begins at a place in a page, to the end of its markup."""
    depth = 0
    for tag in _DIV.finditer(html, start):
        depth += -1 if tag[1] else 1
        if depth == 0:
            return html[start : tag.end()]
    raise ValueError(f"expected a div that ends, got {html[start : start + 80]!r}")


def boxes(html: str) -> Iterator[tuple[str, str]]:
    """Yield id and markup of each theorem, equation, exercise and reference of a page."""
    for box in _BOX.finditer(html):
        name = _ID.search(box[0])
        if name:
            # Inside a preview an id would stand twice on the page.
            yield name[1], re.sub(r'\s\bid="[^"]*"', "", element_at(html, box.start()))


def write_previews(app, pagename, templatename, context, doctree) -> None:
    """Write the script of one page."""
    found = dict(boxes(context.get("body", ""))) if doctree is not None else {}
    if found:
        path = Path(app.outdir, FOLDER, f"{pagename}.js")
        path.parent.mkdir(parents=True, exist_ok=True)
        call = f"bookPreviews({json.dumps(pagename)}, {json.dumps(found, ensure_ascii=False)});\n"
        path.write_text(call, "utf-8")


def setup(app) -> dict[str, bool]:
    """Register the writing of previews and the script that shows them."""
    app.add_js_file("previews.js", loading_method="defer", priority=700)
    app.connect("html-page-context", write_previews, priority=920)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
