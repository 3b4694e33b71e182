"""Below every figure: its numbers as CSV, and where it comes from.

A drawn figure's SVG file carries its numbers (`prompt_attention.plotting.numbers`); the numbers of
a figure that answers back are those of its first picture, written by its own script.
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from docutils import nodes
from myst_nb.core.read import read_myst_markdown_notebook
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.osutil import relative_uri

from .explorable import Stage, numbers_of
from .provenance import commit, origin, versions

logger = logging.getLogger(__name__)

ROOT = Path(__file__).parents[3]
FOLDER = "numbers"
_DESCRIPTION = ".//{http://purl.org/dc/elements/1.1/}description"


class FigureRecord(nodes.General, nodes.Element):
    """The line below a figure: a link to its numbers, and folded, how it was made."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of a figure: facts, the code that made it, and its numbers as CSV."""

    facts: dict[str, str]
    code: str
    numbers: str
    name: str = field(default="")

    def csv(self) -> str:
        """Return the file that readers download: the facts as comments, then the table."""
        facts = {"figure": self.name, **self.facts}
        return (
            "".join(f"# {key}: {value}\n" for key, value in facts.items() if value) + self.numbers
        )

    def html(self, link: str) -> str:
        """Return the line below the figure."""
        terms = "".join(
            f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>"
            for key, value in self.facts.items()
            if value
        )
        code = f"<pre tabindex='0'>{html.escape(self.code)}</pre>" if self.code else ""
        return (
            f'<div class="figure-record"><a href="{html.escape(link)}" download>'
            f'Numbers<span class="visually-hidden"> of {html.escape(self.name)}</span> (CSV)</a>'
            f"<details><summary>How it was made</summary><dl>{terms}</dl>{code}</details></div>\n"
        )


def numbers_in(svg: str) -> str | None:
    """Return the table that an SVG file carries, or None where it carries none."""
    description = ElementTree.fromstring(svg).find(_DESCRIPTION)
    return None if description is None else description.text


def common_facts(root: Path) -> dict[str, str]:
    """Return what all figures of a build share."""
    return {
        "commit": commit(root),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }


def _cell_of(node: nodes.Node) -> nodes.Element | None:
    while node is not None and not (isinstance(node, nodes.Element) and "cell_index" in node):
        node = node.parent
    return node


def _outermost(node: nodes.Node) -> nodes.Node:
    """Return the figure around a picture, or the picture."""
    around = node
    while around is not None and not isinstance(around, nodes.figure):
        around = around.parent
    return around or node


class AddRecords(SphinxPostTransform):
    """Set a record below every figure of a page, and write its numbers."""

    default_priority = 7  # before pictures are inlined, which is when their files are let go
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        """Visit the figures of one page."""
        if self.app.builder.name != "html":
            return
        page = Path(self.env.doc2path(self.env.docname))
        self._cells = None
        for image in list(self.document.findall(nodes.image)):
            path = Path(self.env.srcdir, image["uri"])
            if path.suffix == ".svg" and "jupyter_execute" in path.parts:
                self._set(image, self._drawn(image, page, path.read_text("utf-8")))
        for stage in list(self.document.findall(Stage)):
            self._set(stage, self._explorable(stage["name"]))

    def _drawn(self, image: nodes.image, page: Path, svg: str) -> Record | None:
        numbers, cell = numbers_in(svg), _cell_of(image)
        if numbers is None or cell is None:
            logger.warning(
                "figure without its numbers: expected plotting.use_style() before it",
                location=image,
                type="book",
                subtype="record",
            )
            return None
        if self._cells is None:
            self._cells = read_myst_markdown_notebook(page.read_text("utf-8")).cells
        until = self._cells[: cell["cell_index"] + 1]
        made = origin([each.source for each in until if each.cell_type == "code"])
        facts = {
            "seeds": ", ".join(made.seeds),
            "parameters": "; ".join(f"{key} = {value}" for key, value in made.parameters.items()),
        }
        return Record(facts={**self._shared, **facts}, code=made.code, numbers=numbers)

    def _explorable(self, name: str) -> Record | None:
        found = numbers_of(name)
        if found is None:
            return None
        state, numbers = found
        facts = {
            "script": f"book/_static/explorables/{name}.js",
            "parameters": "; ".join(f"{key} = {json.dumps(v)}" for key, v in state.items()),
        }
        return Record(facts={"commit": self._shared["commit"], **facts}, code="", numbers=numbers)

    @property
    def _shared(self) -> dict[str, str]:
        return self.app.bookext_facts

    def _set(self, node: nodes.Element, record: Record | None) -> None:
        if record is None:
            return
        around = _outermost(node)
        name = (around.get("names") or around.get("ids") or ["figure"])[0]
        docname = self.env.docname
        record = Record(**{**vars(record), "name": f"{docname}, {name}"})
        file = f"{FOLDER}/{docname.replace('/', '-')}-{name}.csv"
        target = Path(self.app.outdir, file)
        target.parent.mkdir(exist_ok=True)
        target.write_text(record.csv(), "utf-8")
        link = relative_uri(self.app.builder.get_target_uri(docname), file)
        around.parent.insert(
            around.parent.index(around) + 1, FigureRecord("", markup=record.html(link))
        )


def visit_record(translator, node: FigureRecord) -> None:
    """Write the line below a figure."""
    translator.body.append(node["markup"])
    raise nodes.SkipNode


def read_facts(app) -> None:
    """Look up commit and versions once for each build."""
    app.bookext_facts = common_facts(ROOT)


def setup(app) -> dict[str, bool]:
    """Register the transform and the node."""
    app.add_node(FigureRecord, html=(visit_record, None))
    app.add_post_transform(AddRecords)
    app.connect("builder-inited", read_facts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
