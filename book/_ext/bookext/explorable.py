"""The directive ``explorable``: a figure that answers back, without a kernel.

The picture is drawn by ``_static/explorables/<name>.js``. While the book is built, node runs that
same file for the static picture of readers without JavaScript; where node is missing they get the
text alternative. Only pages that hold an explorable load its scripts.
"""

from __future__ import annotations

import json
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from .figures import is_alt_text, themed_svg
from .node import find_node, run_script

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parents[2] / "_static"
SHARED = STATIC / "explorable.js"
PAGE = STATIC / "explorable_page.js"
DRAW = Path(__file__).with_name("explorable_static.js")


class Stage(nodes.General, nodes.Element):
    """The part of the figure that the script takes over; holds the static picture as markup."""


def script_of(name: str) -> Path:
    """Return the path of an explorable's script."""
    return STATIC / "explorables" / f"{name}.js"


def _first_picture(name: str, alt: str) -> dict[str, object] | None:
    if find_node() is None:
        return None
    return json.loads(run_script(str(DRAW), str(SHARED), str(script_of(name)), alt))


def static_picture(name: str, alt: str) -> tuple[str, str] | None:
    """Return SVG and sentence as the script draws them, or None where node is missing."""
    drawn = _first_picture(name, alt)
    return drawn and (drawn["svg"], drawn["text"])


def numbers_of(name: str) -> tuple[dict[str, object], str] | None:
    """Return state and numbers (CSV) of the first picture, or None where node is missing."""
    drawn = _first_picture(name, name)
    return drawn and (drawn["state"], drawn["csv"])


class Explorable(SphinxDirective):
    """``{explorable} name`` with ``:alt:``, and perhaps ``:name:`` and ``:static:``."""

    required_arguments = 1
    has_content = True
    option_spec = {
        "alt": directives.unchanged_required,
        "name": directives.unchanged_required,
        "static": directives.path,
    }

    def run(self) -> list[nodes.Node]:
        """Build the figure: stage and caption."""
        name = self.arguments[0]
        alt = " ".join(self.options.get("alt", "").split())
        if not script_of(name).is_file():
            known = ", ".join(sorted(path.stem for path in script_of("x").parent.glob("*.js")))
            raise self.error(f"explorable {name!r}: expected one of {known}")
        if not is_alt_text(alt):
            raise self.error(
                f"explorable {name!r}: expected :alt: to say what it shows, got {alt!r}"
            )
        if not self.content:
            raise self.error(f"explorable {name!r}: expected a caption")
        for path in (SHARED, PAGE, script_of(name)):
            self.env.note_dependency(str(path))

        figure = nodes.figure(classes=["explorable"])
        self.set_source_info(figure)
        figure += Stage("", name=name, alt=alt, **self._fallback(name, alt))
        figure += self._caption()
        self.add_name(figure)
        return [figure]

    def _fallback(self, name: str, alt: str) -> dict[str, str]:
        if "static" in self.options:
            relative, path = self.env.relfn2path(self.options["static"])
            self.env.note_dependency(relative)
            if not Path(path).is_file():
                raise self.error(f"explorable {name!r}: :static: names no file: {relative}")
            svg = themed_svg(Path(path).read_text("utf-8"), alt=alt, prefix=f"static-{name}")
            return {"svg": svg, "text": ""}
        svg, text = static_picture(name, alt) or ("", alt)
        return {"svg": svg, "text": text}

    def _caption(self) -> nodes.caption:
        holder = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, holder)
        caption = nodes.caption()
        self.set_source_info(caption)
        for child in holder.children:
            if caption.children:
                caption += nodes.Text(" ")
            caption.extend(child.children if isinstance(child, nodes.paragraph) else [child])
        return caption


def visit_stage_html(translator, node: Stage) -> None:
    """Write the stage with the static picture in it."""
    name, alt = translator.attval(node["name"]), translator.attval(node["alt"])
    translator.body.append(
        f'<div class="explorable-stage" data-explorable="{name}" data-alt="{alt}">{node["svg"]}'
    )
    if node["text"]:
        translator.body.append(f'<p class="explorable-says">{translator.encode(node["text"])}</p>')
    translator.body.append(
        "<noscript><p>With JavaScript, this figure has sliders.</p></noscript></div>\n"
    )
    raise nodes.SkipNode


def visit_stage_text(translator, node: Stage) -> None:
    """Stand in for the picture in formats other than HTML."""
    raise nodes.SkipNode


def add_scripts(app, pagename, templatename, context, doctree) -> None:
    """Load the shared script and each explorable's own, on the pages that hold one."""
    if doctree is None:
        return
    names = dict.fromkeys(stage["name"] for stage in doctree.findall(Stage))
    if names:
        for number, path in enumerate((SHARED, PAGE)):
            app.add_js_file(path.name, loading_method="defer", priority=600 + number)
    for name in names:
        app.add_js_file(f"explorables/{name}.js", loading_method="defer", priority=610)


def setup(app) -> dict[str, bool]:
    """Register the directive, its node and the per-page scripts."""
    other = (visit_stage_text, None)
    app.add_node(Stage, html=(visit_stage_html, None), latex=other, text=other, man=other)
    app.add_directive("explorable", Explorable)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
