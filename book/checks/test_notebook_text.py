"""No sentence of a page is missing from its notebook, no cell, and no formula is broken.

The text is compared without the converter: what stands between formulas, roles and markup in the
source must stand in the notebook, word by word and in the same order.
"""

import html
import re
from pathlib import Path

import jupytext
import nbformat
import pytest

from bookext.mathematics import MACROS, FormulaError, Katex
from bookext.node import find_node

BOOK = Path(__file__).parents[1]
FOLDER = BOOK.parent / "_build" / "html" / "notebooks"
NOTEBOOKS = sorted(FOLDER.rglob("*.ipynb"))
_ROLE = re.compile(r"\{[a-z][a-z:]*\}`[^`]+`")
_FORMULA = re.compile(r"\$\$.*?\$\$(?: \([\w-]+\)$)?|(?<!\\)\$[^$]+\$", re.DOTALL | re.MULTILINE)
# What follows a directive's name is a title, but for these.
_NAMED = "code-cell|explorable|figure|image|include|solution"
_TITLED = re.compile(
    rf"^\s*(?:`{{3,}}|:{{3,}})\{{(?!(?:{_NAMED})\}})[\w:-]+\}}(?P<title>.*)$", re.MULTILINE
)
_DIRECTIVE = re.compile(r"^\s*(?:`{3,}|:{3,})(?:\{[\w:-]+\}.*)?$", re.MULTILINE)
_OPTION = re.compile(r"^:(?!alt)[\w-]+:.*$|^\([\w-]+\)=$|\{#[\w-]+\}", re.MULTILINE)
_TITLE = re.compile(r"^# .*$", re.MULTILINE)  # a published notebook has a link to its page after it
_BREAK = "\0"


def pages_with_code():
    """Return the pages of the table of contents that are run, from their sources."""
    contents = (BOOK.parent / "_toc.yml").read_text("utf-8")
    names = re.findall(r"^\s*(?:- file|root): ([\w/-]+)", contents, re.MULTILINE)
    texts = {name: (BOOK / f"{name}.md").read_text("utf-8") for name in names}
    return {name for name, text in texts.items() if re.search(r"^kernelspec:", text, re.MULTILINE)}


def test_every_page_with_code_has_a_notebook():
    made = {path.relative_to(FOLDER).with_suffix("").as_posix() for path in NOTEBOOKS}
    assert made == pages_with_code()
    assert {"data", "assignments/data"} <= made


def source_of(notebook):
    """Return the page behind a notebook."""
    name = notebook.relative_to(FOLDER).with_suffix(".md")
    return jupytext.read(BOOK / name)


def words(text):
    """Return the words of a text without markup, one space between two."""
    text = re.sub(r"\]\([^()\s]*(?:\([^()]*\)[^()\s]*)*\)|<[^>]+>|!\[", " ", text)
    return " ".join(re.findall(r"\w+", html.unescape(text).lower()))


def runs(text):
    """Yield the runs of words that stand between formulas, roles and directives."""
    text = _TITLED.sub(lambda match: f"{_BREAK}{match['title']}{_BREAK}", text)
    for kind in (_DIRECTIVE, _FORMULA, _ROLE, _OPTION):
        text = kind.sub(_BREAK, text)
    text = _TITLE.sub(rf"\g<0>{_BREAK}", text)
    text = re.sub(r"^:alt:(.*)$", rf"{_BREAK}\1{_BREAK}", text, flags=re.MULTILINE)
    text = re.sub(r"^```.*?^```", _BREAK, text, flags=re.MULTILINE | re.DOTALL)
    yield from filter(None, map(words, text.split(_BREAK)))


def texts_of(cell):
    """Yield what a reader of the page reads of one cell: its text, or its caption and its alt."""
    if cell.cell_type == "markdown":
        yield cell.source
        return
    given = cell.metadata.get("mystnb", {})
    yield given.get("figure", {}).get("caption", "")
    yield given.get("image", {}).get("alt", "")


def plain(notebook):
    """Return a notebook's words, in order."""
    cells = nbformat.read(notebook, 4).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    text = re.sub(r"data:image/png;base64,[\w+/=]*", "", text)
    return f" {words(_FORMULA.sub(' ', text))} "


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_sentence_is_dropped(notebook):
    text, position, count = plain(notebook), 0, 0
    for cell in source_of(notebook).cells:
        for run in (run for part in texts_of(cell) for run in runs(part)):
            found = text.find(f" {run} ", position)
            assert found >= 0, (
                f"not in the notebook after ...{text[position - 80 : position]}: {run}"
            )
            position, count = found + len(run), count + len(run.split())
    assert count > 100
    # And what the notebook adds are numbers, titles of links and the like.
    assert count > 0.7 * len(text.split())


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_is_there_as_it_is_written(notebook):
    code = [cell.source for cell in source_of(notebook).cells if cell.cell_type == "code"]
    made = [cell for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"][1:]
    assert len(made) == len(code)
    for source, cell in zip(code, made, strict=True):
        assert cell.outputs == []
        if "Markdown(" in source:  # its strings lose what only the book knows
            assert len(cell.source.splitlines()) == len(source.splitlines())
        else:
            assert cell.source == source


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_markup_of_the_book_is_left(notebook):
    for cell in nbformat.read(notebook, 4).cells:
        left = [name for name in re.findall(r"\\[A-Za-z]+", cell.source) if name in MACROS]
        if cell.cell_type == "markdown" or "Markdown(" in cell.source:
            assert left == [], cell.source
            assert not re.search(r"\{[a-z]+:?[a-z]*\}`", cell.source), cell.source
        if cell.cell_type == "markdown":
            assert not re.search(r"^\s*(:{3,}|`{3,}\{)", cell.source, re.MULTILINE), cell.source


@pytest.mark.skipif(find_node() is None, reason="node is not installed")
def test_formulas_need_no_macros():
    katex, count = Katex(), 0
    for notebook in NOTEBOOKS:
        cells = [c for c in nbformat.read(notebook, 4).cells if c.cell_type == "markdown"]
        formulas = dict.fromkeys(f for cell in cells for f in _FORMULA.findall(cell.source))
        for formula in formulas:
            display = formula.startswith("$$")
            try:
                katex.render(formula.strip("$"), display=display, macros={})
            except FormulaError as error:
                pytest.fail(f"{notebook.name}: {formula}: {error}")
            count += 1
    katex.close()
    assert count > 500
