"""What the stock theme needs so that every reader can use the pages, and no page asks a stranger.

The templates next to the pages replace two of the theme's; here is what no template can reach.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.util import logging

logger = logging.getLogger(__name__)

BOOK = Path(__file__).parents[2]

# Icons come from web fonts; the same icons as 1.5 MB of script are not needed.
_ICON_SCRIPT = re.compile(r"\s*<(?:script|link)\b[^>]*fontawesome\.js[^>]*>(?:</script>)?")

# The theme brings the whole index to every page, for a search as one types that is not used here.
_SEARCH_SCRIPT = re.compile(
    r'\s*<script src="[^"]*(?:searchtools|language_data|searchindex)\.js[^>]*></script>'
)

# The theme measures every box of a page when it has loaded, which lays out what nobody sees yet.
# scrollers.js does it one by one, when they are seen.
THEME_SCRIPT = Path("_static", "scripts", "pydata-sphinx-theme.js")
_MEASURING = re.compile(
    r',"complete"===document\.readyState\?(\w+)\(\):window\.addEventListener\("load",\1\)'
)

_SYSTEM_THEME = '(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")'

_MENDED = (
    # The children of a list must be list items.
    (re.compile(r' role="doc-biblioentry"'), ' role="listitem"'),
    (re.compile(r'<div class="citation" id'), '<div class="citation" role="listitem" id'),
    # The same id on every theorem of a page.
    (re.compile(r' id="(?:proof|exercise|solution)-content"'), ""),
    # A folded proof needs a title to unfold it by.
    (
        re.compile(r'<div class="proof dropdown admonition" id="proof">\s*<p>Proof\. '),
        '<div class="proof dropdown admonition">\n<p class="admonition-title">Proof</p>\n<p>',
    ),
    (re.compile(r' id="proof">'), ">"),
    # A summary's name must hold the words that it shows, and must not hold a paragraph.
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    (
        re.compile(r'<p class="(collapsed|expanded) admonition-title">(.*?)</p>', re.DOTALL),
        r'<span class="\1 admonition-title">\2</span>',
    ),
    # A table wider than the page scrolls, so a keyboard must be able to reach it.
    (
        re.compile(r'<div class="pst-scrollable-table-container">'),
        r'<div class="table-scroll" tabindex="0">',
    ),
)


# The lines of a long signature are no list of definitions, though they are written as one.
_SIGNATURE_LINES = re.compile(r"<dl>\s*((?:<dd>.*?</dd>\s*)+)</dl>", re.DOTALL)


def _as_lines(match: re.Match[str]) -> str:
    lines = match[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")
    return f'<span class="sig-lines">{lines}</span>'


def mend(body: str) -> str:
    """Return the body of a page without what assistive technology stumbles over."""
    body = _SIGNATURE_LINES.sub(_as_lines, body)
    for pattern, replacement in _MENDED:
        body = pattern.sub(replacement, body)
    return body


def mend_head(html: str) -> str:
    """Return a part of the page's head without the icon script, and with a first colour scheme.

    Without one, the theme complains in the console and a dark page flashes white.
    """
    html = html.replace('getItem("mode") || ""', 'getItem("mode") || "auto"')
    html = html.replace('getItem("theme") || ""', f'getItem("theme") || {_SYSTEM_THEME}')
    return _ICON_SCRIPT.sub("", html)


def without_search(html: str) -> str:
    """Return a part of the page's head without the scripts that only the search page needs."""
    return _SEARCH_SCRIPT.sub("", html)


def use_own_folders(app, config) -> None:
    """Take templates and static files from the book, whatever the configuration names."""
    for folder, paths in (
        ("_templates", config.templates_path),
        ("_static", config.html_static_path),
    ):
        own = BOOK / folder
        if own.is_dir() and own not in [Path(app.confdir, path).resolve() for path in paths]:
            paths.append(str(own))
    config.html_favicon = config.html_favicon or str(BOOK / "_static" / "icon.svg")


def drop_second_header(app, config) -> None:
    """Leave out the theme's top bar, which holds a second search button and nothing else."""
    for part in ("start", "center", "end", "persistent"):
        config.html_theme_options.setdefault(f"navbar_{part}", [])


def unfold_contents(app, config) -> None:
    """Show all levels of a page's contents: what unfolds by scrolling hides from the Tab key."""
    config.html_theme_options.setdefault("show_toc_level", 3)


def add_filter(app) -> None:
    """Give the layout template the filters that it calls."""
    environment = getattr(getattr(app.builder, "templates", None), "environment", None)
    if environment is not None:
        environment.filters |= {"mend_head": mend_head, "without_search": without_search}


def mend_page(app, pagename, templatename, context, doctree) -> None:
    """Mend the body of one page."""
    if "body" in context:
        context["body"] = mend(context["body"])


def measure_no_more(app, exception) -> None:
    """Take the measuring out of the theme's script in the built site."""
    path = Path(app.outdir, THEME_SCRIPT)
    if exception is not None or app.builder.name != "html" or not path.is_file():
        return
    script, found = _MEASURING.subn("", path.read_text("utf-8"))
    if found != 1:
        logger.warning("%s: expected to find once where it measures boxes", path.name, type="book")
    path.write_text(script, "utf-8")


def setup(app) -> dict[str, bool]:
    """Register the style sheet and the mending."""
    app.add_css_file("book.css", priority=900)
    app.add_js_file("scrollers.js", loading_method="defer", priority=700)
    app.add_js_file("settle.js", priority=100)  # before there is anything to lay out
    app.connect("build-finished", measure_no_more)
    app.connect("config-inited", use_own_folders)
    app.connect("config-inited", drop_second_header)
    app.connect("config-inited", unfold_contents)
    app.connect("builder-inited", add_filter)
    app.connect("html-page-context", mend_page, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
