"""A small book with an assignment: what its page and its notebook show, and what they do not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from coursework import build, leaks, source

BOOK = Path(__file__).parents[1]
EXAMPLE = BOOK.parent / "lib" / "coursework" / "tests" / "assignments" / "pooling"
LIBRARY = BOOK.parent / "lib" / "prompt_attention"
CONF = f"""
import sys
sys.path.insert(0, {str(BOOK / "_ext")!r})
extensions = ["myst_nb", "sphinx_book_theme"]
own = ("mathematics", "repository", "notebooks", "assignments")
extensions += ["bookext." + name for name in own]
html_theme = "sphinx_book_theme"
html_baseurl = ""
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
nb_execution_mode = "force"
"""


def run(folder):
    command = [sys.executable, "-m", "sphinx", "-n", "-q", "-b", "html", "book", "out"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=os.environ)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A book beside an assignment, built."""
    folder = tmp_path_factory.mktemp("course")
    (folder / "book" / "assignments").mkdir(parents=True)
    (folder / "book" / "assignments" / "old.md").write_text("# A page without a source\n")
    (folder / "book" / "conf.py").write_text(CONF)
    index = "# Book\n\n```{toctree}\nassignments/pooling\n```\n"
    (folder / "book" / "index.md").write_text(index)
    shutil.copytree(EXAMPLE, folder / "assignments" / "pooling")
    status, said = run(folder)
    assert status == 0, said
    assert "WARNING" not in said
    return folder


def test_the_page_shows_questions_and_ran_nothing(folder):
    page = (folder / "out" / "assignments" / "pooling.html").read_text("utf8")
    assert "Attention pooling" in page
    assert "YOUR CODE HERE" in page
    assert "cell_output" not in page
    assert not (folder / "book" / "assignments" / "old.md").exists()


def test_nothing_hidden_is_published(folder):
    assignment = source.read(folder / "assignments" / "pooling")
    assert leaks.find(folder / "out", [assignment], [LIBRARY]) == []


def test_the_notebook_carries_what_the_grader_knows_cells_by(folder):
    made = nbformat.read(folder / "out" / "notebooks" / "assignments" / "pooling.ipynb", 4)
    nbformat.validate(made)
    given = build.student_notebook(source.read(EXAMPLE))
    setup, *code = [cell for cell in made.cells if cell.cell_type == "code"]
    assert setup.metadata["tags"] == ["setup"]
    ours = [cell for cell in given.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code] == [cell.id for cell in ours]
    assert [cell.source for cell in code] == [cell.source for cell in ours]
    assert [cell.metadata.get("tags") for cell in code] == [c.metadata.get("tags") for c in ours]
    (written,) = [
        cell for cell in made.cells if cell.metadata.get("manual") and cell.id == given.cells[-1].id
    ]
    assert written.source == "*Your answer here.*"


def test_a_mistake_in_a_source_stops_the_build(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "course")
    file = tmp_path / "course" / "assignments" / "pooling" / "pooling.md"
    file.write_text(file.read_text("utf8").replace("### END RUBRIC", ""), "utf8")
    status, said = run(tmp_path / "course")
    assert status != 0
    assert "assignment: pooling: '### BEGIN SOLUTION' has no partner" in said
