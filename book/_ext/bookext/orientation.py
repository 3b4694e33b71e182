"""What a reader wants to know before a chapter: how long it takes, and what it builds on.

All of it is counted or looked up, nothing is typed.
"""

from __future__ import annotations

import re
from html import escape

from docutils import nodes

WORDS_A_MINUTE = 200
SECONDS_A_FORMULA = 6  # a displayed one; those in the text are read with it
_HEADING = re.compile(r"</h1>")


def reading_minutes(doctree: nodes.document) -> int:
    """Return the minutes that the page takes to read, code left out, folded parts included."""
    words = sum(
        len(text.split())
        for text in doctree.findall(nodes.Text)
        if not isinstance(text.parent, nodes.literal_block | nodes.math | nodes.math_block)
    )
    formulas = sum(1 for _ in doctree.findall(nodes.math_block))
    return max(1, round(words / WORDS_A_MINUTE + formulas * SECONDS_A_FORMULA / 60))


def builds_on(app, docname: str, doctree: nodes.document) -> list[str]:
    """Return the chapters before this one whose boxes or formulas it refers to, in their order."""
    order = [page for page in app.env.nb_metadata if app.env.nb_metadata[page].get("exec_data")]
    before = [
        page for page in app.env.toctree_includes.get(app.config.root_doc, ()) if page in order
    ]
    before = before[: before.index(docname)] if docname in before else []
    referred = {
        reference["refuri"].partition("#")[0]
        for reference in doctree.findall(nodes.reference)
        if "#" in reference.get("refuri", "")
    }
    return [page for page in before if app.builder.get_relative_uri(docname, page) in referred]


def running_time(seconds: float) -> str:
    """Return a running time in words."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def facts(app, docname: str, doctree: nodes.document) -> str:
    """Return the line that stands below a chapter's title."""
    ran = app.env.nb_metadata[docname]["exec_data"]
    said = [f"Reading: about {reading_minutes(doctree)} min"]
    if ran.get("runtime"):
        said.append(f"running: {running_time(ran['runtime'])} when this page was built")
    links = [
        f'<a href="{escape(app.builder.get_relative_uri(docname, page))}">'
        f"{escape(app.env.titles[page].astext().partition(':')[0])}</a>"
        for page in builds_on(app, docname, doctree)
    ]
    if links:
        said.append("builds on: " + ", ".join(links))
    return f'<p class="chapter-facts">{"; ".join(said)}.</p>'


def add_facts(app, pagename, templatename, context, doctree) -> None:
    """Set the line below the title of each page that computes something."""
    if doctree is None or not app.env.nb_metadata.get(pagename, {}).get("exec_data"):
        return
    line = facts(app, pagename, doctree)
    context["body"] = _HEADING.sub(lambda match: match[0] + "\n" + line, context["body"], count=1)


def setup(app) -> dict[str, bool]:
    """Register the line."""
    app.connect("html-page-context", add_facts, priority=910)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
