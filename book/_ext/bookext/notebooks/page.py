"""One page of the book as a notebook: its cells in order, without outputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import urljoin

import jupytext
import nbformat
from docutils import nodes
from sphinx.util.docutils import new_document

from ..claims import ClaimReference
from .boxes import BoxWriter
from .code import plain_strings
from .pictures import embedded_file, embedded_svg

# Cells whose code the page hides: Colab and Jupyter fold them.
_HIDDEN = {"remove-input", "remove_input", "hide-input", "remove-cell", "hide-cell"}
_EXPLICIT = re.compile(r".*<(?P<target>[^<>]+)>", re.DOTALL)
# Says to Colab that it is a notebook of its own, and to Jupyter which kernel runs it.
_METADATA = {
    "colab": {"provenance": []},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class PageWriter(BoxWriter):
    """Writes a page's nodes, with links that work outside the site.

    Args:
        app: the running Sphinx.
        page: the page's name.
        self_contained: whether anchors of the page itself can be reached from the text; what a
            cell computes is shown in a frame of its own, from where they cannot.
    """

    def __init__(self, app, page: str, *, self_contained: bool = True):
        super().__init__(app.builder, page)
        self.env = app.env
        self.address = app.bookext_publication.page_url(page)
        self.self_contained = self_contained

    def link(self, reference: nodes.Element) -> str:
        """Return the address for a reference: in this notebook, on the site, elsewhere, or none."""
        target = reference.get("refuri") or f"#{reference.get('refid', '')}"
        if re.match(r"[a-z]+:", target):
            return target
        page = self.builder.get_target_uri(self.page)
        if target.startswith(f"{page}#"):
            target = target.removeprefix(page)
        if target.startswith("#") and self.self_contained:
            return target
        return urljoin(self.address, target) if self.address else ""

    def picture(self, node: nodes.Element) -> str:
        """Return the address that holds an image of the page."""
        # The site's writer has replaced the source's path by that of its own copy.
        sources = {copy: source for source, copy in self.builder.images.items()}
        name = PurePosixPath(node["uri"]).name
        return embedded_file(Path(self.env.srcdir, sources.get(name, node["uri"])))

    def blocks_title(self, node: nodes.Element) -> Iterator[str]:
        """A title; below that of the page, the way back to it."""
        yield from super().blocks_title(node)
        if self.address and isinstance(node.parent.parent, nodes.document):
            yield f"[This page in the book]({self.address})"

    def blocks_Stage(self, node: nodes.Element) -> Iterator[str]:
        """A figure with sliders: its picture, its sentence, and where the sliders are."""
        if node["svg"]:
            yield f"![{node['alt']}]({embedded_svg(node['svg'])})"
        yield node["text"] or node["alt"]
        name = next(iter(node.parent["ids"]), "")
        if self.address:
            yield f"[On the book's page this figure has sliders.]({self.address}#{name})"
        else:
            yield "On the book's page this figure has sliders."

    def blocks_FigureRecord(self, node: nodes.Element) -> Iterator[str]:
        """How a figure was made is what the notebook shows anyway."""
        yield from ()


def _cell_index(node: nodes.Node) -> int | None:
    """Return which cell of the source a node was made from, if it is one with code."""
    if isinstance(node, nodes.container) and node.get("nb_element") == "cell_code":
        return node["cell_index"]
    return None


def _text_and_code(node: nodes.Element) -> Iterator[nodes.Node]:
    """Yield the page's blocks in order; what holds a cell of code is opened, the cell is not."""
    for child in node.children:
        inside = (_cell_index(inner) for inner in child.findall(nodes.container))
        if _cell_index(child) is None and any(index is not None for index in inside):
            yield from _text_and_code(child)
        else:
            yield child


class RoleResolver:
    """Gives the Markdown for the roles in the strings of a page's code.

    What a cell computes is part of the page, so the page's tree knows where each role leads.
    """

    def __init__(self, app, page: str):
        self.page = page
        self.writer = PageWriter(app, page, self_contained=False)
        pending: dict[tuple[str, str], nodes.Element] = {}
        for cell in app.env.get_doctree(page).findall(nodes.container):
            if cell.get("nb_element") == "cell_code_output":
                for node in cell.findall(nodes.Element):
                    pending |= {key: node for key in _role_keys(node)}
        document = new_document(page)
        document += [nodes.paragraph("", "", node.deepcopy()) for node in pending.values()]
        app.env.resolve_references(document, page, app.builder)
        self.resolved = dict(zip(pending, document.children, strict=True))

    def __call__(self, name: str, text: str) -> str:
        """Return the Markdown for one role.

        Raises:
            ValueError: nothing that the page's cells computed holds this role.
        """
        explicit = _EXPLICIT.fullmatch(text)
        target = (explicit["target"] if explicit else text).lstrip("~").lower()
        if (name, target) not in self.resolved:
            raise ValueError(f"{self.page}: no cell computed the role {{{name}}}`{text}`")
        return self.writer.line(self.resolved[name, target])


def _role_keys(node: nodes.Element) -> list[tuple[str, str]]:
    """Return the names and targets by which a role may have made an unresolved reference."""
    if isinstance(node, ClaimReference):
        return [("claim", node["claim"].lower())]
    if node.get("reftype") is None or node.get("reftarget") is None:
        return []
    target, kind = node["reftarget"].lower(), node["reftype"]
    return [(kind, target), (f"{node.get('refdomain')}:{kind}", target)]


def _code_cell(source: str, metadata: dict, resolve: Callable[[str, str], str]):
    cell = nbformat.v4.new_code_cell(plain_strings(source, resolve))
    if _HIDDEN & set(metadata.get("tags", [])):
        cell.metadata = {"cellView": "form", "jupyter": {"source_hidden": True}}
    return cell


def notebook(app, page: str, doctree: nodes.document, first_cell: str) -> nbformat.NotebookNode:
    """Return the notebook of a page.

    Args:
        app: the running Sphinx, with all pages read.
        page: the page's name.
        doctree: the page, its references resolved for the site.
        first_cell: the code that installs the library.
    """
    source = jupytext.read(app.env.doc2path(page))
    writer, resolve = PageWriter(app, page), RoleResolver(app, page)
    writer.targets = {writer.link(node)[1:] for node in doctree.findall(nodes.reference)}
    cells = [nbformat.v4.new_code_cell(first_cell)]
    cells[0].metadata = {"cellView": "form", "jupyter": {"source_hidden": True}}
    waiting = [index for index, cell in enumerate(source.cells) if cell.cell_type == "code"]
    blocks: list[str] = []

    def flush() -> None:
        if text := "\n\n".join(blocks).strip():
            cells.append(nbformat.v4.new_markdown_cell(text))
        blocks.clear()

    def add_code(until: int) -> None:
        while waiting and waiting[0] <= until:
            cell = source.cells[waiting.pop(0)]
            cells.append(_code_cell(cell.source, cell.metadata, resolve))

    for node in _text_and_code(doctree):
        index = _cell_index(node)
        if index is None:
            blocks += writer.blocks(node)
        else:
            flush()
            add_code(index)
            blocks += _captions(writer, node, source.cells[index].metadata)
    flush()
    add_code(len(source.cells))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata = {**_METADATA, "colab": {"provenance": [], "name": PurePosixPath(page).name}}
    if "accelerator" in source.metadata:  # a page's header asks for one where it helps
        made.metadata["accelerator"] = source.metadata["accelerator"]
    nbformat.validate(made)
    return made


def _captions(writer: PageWriter, cell: nodes.Element, metadata: dict) -> Iterator[str]:
    """Yield what the page says of the figures that a cell draws: number, caption, words."""
    for figure in cell.findall(nodes.figure):
        for caption in figure.findall(nodes.caption):
            yield writer.caption("figure", figure, caption)
    if alt := metadata.get("mystnb", {}).get("image", {}).get("alt"):
        yield "<details><summary>The figure in words</summary>"
        yield " ".join(alt.split())
        yield "</details>"
