"""Pages of assignments: written from the sources before each build, without their solutions.

The page of an assignment becomes a notebook as every page does. Its cells get the marks by which
the grader knows public checks and experiments, and a written answer gets a cell of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
from sphinx.errors import ExtensionError

from coursework import build, source

FOLDER = "assignments"
_ANSWER = source.PLACEHOLDERS["text"]


def sources(app) -> dict[str, Path]:
    """Folders of the assignments beside the book, by the name of their page."""
    found = sorted((Path(app.srcdir).parent / FOLDER).glob("*/hidden.py"))
    return {f"{FOLDER}/{file.parent.name}": file.parent for file in found}


def write_pages(app, config) -> None:
    """Write the pages into the book, where Sphinx reads them; git ignores them."""
    pages = {}
    for page, folder in sources(app).items():
        try:
            pages[Path(app.srcdir, f"{page}.md")] = build.page(source.read(folder))
        except source.SourceError as error:
            raise ExtensionError(f"assignment: {error}") from error
    for file in Path(app.srcdir, FOLDER).glob("*.md"):
        if file not in pages:
            file.unlink()
    for file, text in pages.items():
        if not file.is_file() or file.read_text("utf8") != text:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, "utf8")


def _own_cells(cells: list[nbformat.NotebookNode]) -> Iterator[nbformat.NotebookNode]:
    """The cells, with a cell of its own for each written answer."""
    for cell in cells:
        parts = [cell.source]
        if cell.cell_type == "markdown" and _ANSWER in cell.source:
            before, after = cell.source.split(_ANSWER, 1)
            parts = [before, _ANSWER, after]
        for part in parts:
            if part.strip():
                yield nbformat.from_dict({**cell, "source": part.strip()})


def mark_cells(app, pagename: str, made: nbformat.NotebookNode) -> None:
    """Give the cells of an assignment's notebook their metadata.

    Raises:
        ExtensionError: the notebook has not the code cells of the assignment.
    """
    if pagename not in sources(app):
        return
    assignment = source.read(sources(app)[pagename])
    given = build.student_notebook(assignment)
    made.cells = [made.cells[0], *_own_cells(made.cells[1:])]
    made.cells[0].metadata["tags"] = ["setup"]
    for kind, chosen in (
        ("code", made.cells[1:]),
        ("markdown", [cell for cell in made.cells if cell.source == _ANSWER]),
    ):
        theirs = [cell for cell in chosen if cell.cell_type == kind]
        ours = [cell for cell in given.cells if cell.cell_type == kind]
        if kind == "markdown":
            ours = [cell for cell in ours if cell.metadata.get("manual")]
        if len(theirs) != len(ours):
            raise ExtensionError(
                f"{pagename}: expected {len(ours)} {kind} cells, got {len(theirs)} in the notebook"
            )
        for cell, mine in zip(theirs, ours, strict=True):
            cell.metadata.update(mine.metadata)
            cell.id = mine.id
    others = [cell for cell in made.cells if not cell.id.startswith(build.id_prefix(assignment))]
    for number, cell in enumerate(others):
        cell.id = f"text-{number}"
    made.metadata["coursework"] = given.metadata["coursework"]


def setup(app) -> dict[str, bool]:
    """Write the pages before Sphinx looks for them, and mark the cells of their notebooks."""
    app.connect("config-inited", write_pages)
    app.connect("notebook-made", mark_cells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
