"""The theme's icon fonts, cut down to the icons that the pages show.

Font Awesome brings two thousand icons and a CSS rule for each; a page shows about ten. The fonts
would be a quarter of what a first visit fetches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from fontTools import subset

FONTS = Path("_static", "vendor", "fontawesome", "webfonts")
STYLE = Path("_static", "styles", "pydata-sphinx-theme.css")
_RULE = re.compile(r'((?:\.fa-[\w-]+::?before,?)+)\{content:"[^"]*"\}')
_NAME = re.compile(r"\bfa-[\w-]+")
_ESCAPED = re.compile(r"\\([0-9a-fA-F]{4,5})\b")
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_SOURCE = re.compile(r'url\(([^)]*/(fa-\w+-\d+))\.woff2\) format\("woff2"\),url\([^)]*\)[^,;}]*')


def keep_rules(style: str, names: set[str]) -> str:
    """Return a style sheet without the rules of icons that are not among these names."""
    return _RULE.sub(lambda rule: rule[0] if names & set(_NAME.findall(rule[1])) else "", style)


def characters(styles: Iterable[str]) -> set[int]:
    """Return the code points of icons that style sheets name, escaped or as they are."""
    text = "".join(styles)
    escaped = {int(code, 16) for code in _ESCAPED.findall(text)}
    return escaped | {ord(letter) for letter in _PRIVATE.findall(text)}


def cut(source: Path, target: Path, wanted: set[int]) -> None:
    """Write the part of a TrueType font that holds these code points, as WOFF."""
    options = subset.Options(flavor="woff", notdef_outline=True)
    with subset.load_font(str(source), options) as font:
        subsetter = subset.Subsetter(options)
        subsetter.populate(unicodes=wanted)
        subsetter.subset(font)
        subset.save_font(font, str(target), options)


def cut_icons(app, exception) -> None:
    """Cut fonts and rules of the built site down to what its pages and scripts name."""
    site = Path(app.outdir)
    if exception is not None or not (site / STYLE).is_file() or app.builder.name != "html":
        return
    # The theme's icon script, which no page loads, names every icon.
    scripts = [path for path in (site / "_static").rglob("*.js") if path.name != "fontawesome.js"]
    texts = [path.read_text("utf-8") for path in [*site.rglob("*.html"), *scripts]]
    style = keep_rules((site / STYLE).read_text("utf-8"), set(_NAME.findall("".join(texts))))
    others = [path for path in (site / "_static").rglob("*.css") if path != site / STYLE]
    wanted = characters([style, *(path.read_text("utf-8") for path in others)])
    for source in (site / FONTS).glob("*.ttf"):
        cut(source, source.with_suffix(".woff"), wanted)
        source.unlink()
        source.with_suffix(".woff2").unlink()
    (site / STYLE).write_text(_SOURCE.sub(r'url(\1.woff) format("woff")', style), "utf-8")


def setup(app) -> dict[str, bool]:
    """Cut when all pages are written."""
    app.connect("build-finished", cut_icons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
