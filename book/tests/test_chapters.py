"""Every chapter has the form that readers rely on, and its code fits the page."""

import re
from pathlib import Path

import jupytext
import pytest
import yaml

BOOK = Path(__file__).parents[1]
WIDTH = 80
NOT_CHAPTERS = {
    "ten-minutes", "notation", "syllabus", "benchmarks", "scale", "claims", "api", "bibliography",
    "cite", "changelog",
}  # fmt: skip


def chapters():
    """Names of the pages that hold theory, in the order of the contents."""
    contents = yaml.safe_load((BOOK.parent / "_toc.yml").read_text("utf8"))
    names = [page["file"] for part in contents["parts"] for page in part["chapters"]]
    return [n for n in names if n not in NOT_CHAPTERS and not n.startswith("assignments/")]


def shown_cells(name):
    """Source lines of the code cells that a reader sees."""
    notebook = jupytext.read(BOOK / f"{name}.md")
    for cell in notebook.cells:
        if cell.cell_type == "code" and "remove-input" not in cell.metadata.get("tags", []):
            yield cell.source.splitlines()


@pytest.mark.parametrize("name", chapters())
@pytest.mark.parametrize(
    "part",
    [
        r"^\*\*The question\.\*\*",
        r"^\*\*The answer\.\*\*",
        r"^:::\{prf:definition\}",
        r"^:::\{prf:theorem\}",
        r"^:::\{prf:proof\}\n:class: dropdown",
        r"falsification twin",
        r"^:::\{explorable\}",
        r":class: takeaway",
        r"^:::\{exercise\}",
        r"^:::\{solution\} [\w-]+\n:class: dropdown",
        r"^## Where this stands",
    ],
)
def test_chapter_has_its_parts(name, part):
    text = (BOOK / f"{name}.md").read_text("utf8")
    assert re.search(part, text, re.MULTILINE), f"{name}.md has no {part}"


@pytest.mark.parametrize("name", chapters())
def test_every_proof_and_solution_is_folded_and_every_exercise_solved(name):
    text = (BOOK / f"{name}.md").read_text("utf8")
    boxes = re.findall(r"^:::\{(?:prf:proof|solution)\}[^\n]*\n([^\n]*)", text, re.MULTILINE)
    assert all(option == ":class: dropdown" for option in boxes), boxes
    exercises = re.findall(r"^:::\{exercise\}[^\n]*\n:label: ([\w-]+)", text, re.MULTILINE)
    solved = re.findall(r"^:::\{solution\} ([\w-]+)", text, re.MULTILINE)
    assert sorted(exercises) == sorted(solved)


@pytest.mark.parametrize("name", chapters())
def test_code_fits_the_page(name):
    wide = [line for cell in shown_cells(name) for line in cell if len(line) > WIDTH]
    assert not wide, f"{name}.md has lines of over {WIDTH} characters: {wide}"


@pytest.mark.parametrize("name", ["CHANGELOG.md", "README.md"])
def test_what_pages_include_has_no_link_that_only_the_repository_knows(name):
    text = (BOOK.parent / name).read_text("utf8")
    part = text.partition("## How to cite")[2].partition("Code is under the MIT")[0]
    included = text if name == "CHANGELOG.md" else part
    assert included.strip()
    assert not re.findall(r"\]\((?!https?://)[^)]*\)", included)
