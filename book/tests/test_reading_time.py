"""What `make bench-book` reads off an executed page, and prints."""

import os
from datetime import UTC, datetime

import nbformat.v4
import pytest

from bookext import reading_time
from bookext.reading_time import Cell, Run

START = 1_000_000.0


def cell(begin, end, source, shows=(), figure=None):
    """A cell that ran for these seconds after the start."""

    def stamp(seconds):
        return datetime.fromtimestamp(START + seconds, UTC).isoformat()

    outputs = [nbformat.v4.new_output("display_data", data={kind: ""}) for kind in shows]
    made = nbformat.v4.new_code_cell(source, outputs=outputs)
    made.metadata["execution"] = {
        "iopub.status.busy": stamp(begin),
        "shell.execute_reply": stamp(end),
    }
    if figure:
        made.metadata["mystnb"] = {"figure": {"name": figure}}
    return made


def test_a_run_is_read_off_its_notebook():
    cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        cell(2, 3, "%config x\n# a remark\n\n  import jax"),
        cell(3, 4.5, "Markdown(x)", shows=["text/markdown"]),
        cell(4.5, 6, "plt.plot()", shows=["text/plain", "image/svg+xml"], figure="fig-one"),
        cell(6, 9, "plt.show()", shows=["image/svg+xml"]),
        nbformat.v4.new_code_cell("never_ran()"),
    ]
    run = reading_time.reading(nbformat.v4.new_notebook(cells=cells), START, START + 10)
    assert run.first_figure == pytest.approx(6)
    assert run.whole == 10
    assert [found.label for found in run.cells] == [
        "import jax",
        "Markdown(x)",
        "fig-one",
        "plt.show()",
    ]
    assert [found.seconds for found in run.cells] == pytest.approx([1, 1.5, 1.5, 3])


def test_a_page_without_a_figure_has_no_first_one():
    notebook = nbformat.v4.new_notebook(cells=[cell(0, 1, "# only a remark")])
    run = reading_time.reading(notebook, START, START + 2)
    assert run.first_figure is None
    assert run.cells[0].label == "(empty)"


def test_table_has_a_row_for_each_page_and_its_slowest_cells(monkeypatch):
    monkeypatch.setattr(reading_time, "SLOWEST", 2)
    cold = Run(7.04, 20.0, [Cell(1.0, "import jax"), Cell(9.0, "fig-one"), Cell(5.0, "fit")])
    warm = Run(3.0, 8.0, [Cell(1.0, "import jax"), Cell(0.5, "fig-one"), Cell(2.0, "fit")])
    bare = Run(None, 1.5, [Cell(1.0, "import jax")])
    lines = reading_time.table({"data": (cold, warm), "index": (bare, bare)}).splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:5]}
    assert rows == {
        "data": ["7.0", "3.0", "20.0", "8.0"],
        "index": ["none", "none", "1.5", "1.5"],
        "total": ["21.5", "9.5"],
    }
    slowest = lines[lines.index("data: the cells that cost most, cold and warm") + 1 :][:3]
    assert [line.split() for line in slowest] == [
        ["9.0", "0.5", "fig-one"],
        ["5.0", "2.0", "fit"],
        [],
    ]


def test_pages_are_those_that_a_kernel_runs(tmp_path):
    toc = tmp_path / "_toc.yml"
    toc.write_text(
        "root: index\nparts:\n"
        "  - chapters: [{file: models}, {file: notation}]\n"
        "  - chapters: [{file: data}, {file: task}]\n"
    )
    (tmp_path / "book").mkdir()
    for page in ("index", "data", "models"):
        (tmp_path / "book" / f"{page}.md").write_text("```{code-cell} ipython3\nx\n```\n")
    off = "---\nmystnb:\n  execution_mode: 'off'\n---\n```{code-cell} ipython3\nx\n```\n"
    (tmp_path / "book" / "task.md").write_text(off)
    (tmp_path / "book" / "notation.md").write_text("prose\n")
    assert reading_time.pages(toc) == ["index", "models", "data"]


def test_a_page_is_run_in_a_kernel_with_the_environment(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "---\nkernelspec: {display_name: Python 3, name: python3}\n---\n\n"
        "```{code-cell} ipython3\nimport os, time; time.sleep(float(os.environ['NAP']))\n```\n"
    )
    run = reading_time.run(page, {**os.environ, "NAP": "0.7"})
    assert run.cells[0].seconds > 0.7
    assert run.whole > run.cells[0].seconds
    assert run.first_figure is None
