"""What a student gets: questions and checks, no solution, no rubric, no output."""

import json

import nbformat
import pytest

from coursework import build, source


def hidden_lines(assignment):
    for cell in assignment.notebook.cells:
        for text in source.cell_parts(cell)[1].values():
            yield from (line.strip() for line in text.splitlines() if line.strip())


@pytest.fixture(scope="module")
def notebook(assignment):
    return build.student_notebook(assignment, "print('first')\n")


def test_nothing_hidden_is_in_the_notebook_or_on_the_page(assignment, notebook):
    published = json.dumps(notebook, ensure_ascii=False) + build.page(assignment)
    lines = list(hidden_lines(assignment))
    assert len(lines) >= 15
    for line in lines:
        assert line not in published
        assert json.dumps(line, ensure_ascii=False)[1:-1] not in published
    assert "BEGIN" not in published


def test_the_notebook_is_valid_and_clean(assignment, notebook):
    nbformat.validate(notebook)
    first, *cells = notebook.cells
    assert first.source == "print('first')"
    assert len(cells) == len(assignment.notebook.cells)
    assert cells[3].metadata == {"question": "pool", "points": 4}
    assert cells[4].metadata == {"tags": ["check"]}
    assert cells[-1].source.strip() == "*Your answer here.*"
    assert all(cell.outputs == [] for cell in notebook.cells if cell.cell_type == "code")


def test_the_page_is_a_notebook_that_is_not_run(assignment):
    page = build.page(assignment)
    assert "execution_mode: 'off'" in page
    assert "format_name: myst" in page
    assert "# Attention pooling" in page
    assert (
        "points" not in page.partition("# Attention pooling")[2].partition("```{code-cell}")[2][:60]
    )


def test_files_are_written_the_same_each_time(assignment, tmp_path):
    first = build.write(assignment, tmp_path / "a").read_bytes()
    assert first == build.write(assignment, tmp_path / "b").read_bytes()
    assert nbformat.reads(first.decode(), as_version=4).metadata.coursework.assignment == "pooling"
