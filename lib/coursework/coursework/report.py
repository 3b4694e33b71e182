"""What comes out of grading: for each student, for the course, and for other systems."""

import csv
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import nbformat

from coursework import submission
from coursework.grade import PASSED, Result
from coursework.source import Assignment

_CANVAS_NAME = re.compile(r"(?P<student>[^_]+)_(?:LATE_)?(?P<id>\d+)_\d+_")
_BARS = 10


def number(value: float) -> str:
    """Points without needless digits."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def lines(result: Result) -> list[str]:
    """What a student is told, as Markdown; nothing hidden is in it."""
    told = [f"# {number(result.earned)} of {number(result.points)} points"]
    if result.problem:
        told += ["", f"**{_quoted(result.problem)}**"]
    told += ["", "| question | points | |", "| --- | --- | --- |"]
    for question in result.questions:
        if question.earned is None:
            told.append(f"| {question.name} | of {number(question.points)} | graded by a person |")
            continue
        failed = [case for case in question.cases if case.message != PASSED]
        remarks = dict.fromkeys(_quoted(case.message) for case in failed)
        points = f"{number(question.earned)} of {number(question.points)}"
        told.append(f"| {question.name} | {points} | {' '.join(remarks)} |")
    for title, errors in (
        ("Cells that failed", [f"Code cell {n}: {text}" for n, text in result.cells.items()]),
        ("Public checks that failed", list(result.checks)),
    ):
        if errors:
            told += ["", f"## {title}", "", *(f"- {_quoted(text)}" for text in errors)]
    return told


def _quoted(text: str) -> str:
    """Text of a student's making, so that it is shown and not obeyed."""
    return re.sub(r"([\\`*_<>\[\]|#$&!])", r"\\\1", text)


def feedback_notebook(result: Result, content: bytes | None) -> nbformat.NotebookNode:
    """The student's own cells below what they earned, without outputs."""
    cells = [nbformat.v4.new_markdown_cell("\n".join(lines(result)), id="feedback")]
    own = submission.parse(content).cells if content is not None else ()
    for index, cell in enumerate(own):
        kinds = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
        cells.append(kinds[cell["cell_type"]](cell["source"], id=f"cell-{index}"))
    return nbformat.v4.new_notebook(cells=cells)


def write_feedback(results: Iterable[Result], submissions: dict[str, Path], folder: Path) -> None:
    """Write one feedback notebook for each submission."""
    folder.mkdir(parents=True, exist_ok=True)
    for result in results:
        try:
            content = submission.read_bytes(submissions[result.name]) if result.digest else None
            notebook = feedback_notebook(result, content)
        except submission.UnreadableError:
            notebook = feedback_notebook(result, None)
        nbformat.write(notebook, folder / f"{result.name}.ipynb")


def gradescope(result: Result) -> dict:
    """The content of Gradescope's `results.json`."""
    tests = []
    for question in result.questions:
        for case in question.cases:
            tests.append(
                {
                    "name": f"{question.name}: {case.name}",
                    "score": case.earned,
                    "max_score": case.points,
                    "status": "passed" if case.message == PASSED else "failed",
                    "output": case.message,
                    "visibility": "visible",
                }
            )
    return {
        "score": result.earned,
        "output": "\n".join(lines(result)),
        "output_format": "md",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
    }


def _harmless(text: str) -> str:
    """A table's cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def write_canvas(results: Sequence[Result], assignment: Assignment, file: Path) -> None:
    """Write a gradebook for Canvas: a column for each question, blank where a person grades.

    Canvas needs its own number of a student, which its file names carry
    (`doejane_12345_678_pooling.ipynb`); other names leave the column empty.
    """
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    questions = [f"{assignment.title}: {question.name}" for question in assignment.questions]
    with file.open("w", newline="", encoding="utf8") as stream:
        rows = csv.writer(stream)
        rows.writerow([*head, *questions])
        possible = [number(question.points) for question in assignment.questions]
        rows.writerow(["    Points Possible", "", "", "", "", *possible])
        for result in results:
            match = _CANVAS_NAME.match(result.name)
            student = match["student"] if match else result.name
            earned = ["" if q.earned is None else number(q.earned) for q in result.questions]
            rows.writerow([_harmless(student), match["id"] if match else "", "", "", "", *earned])


def histogram(results: Sequence[Result]) -> list[str]:
    """How many submissions earned which share of the points, as bars of text."""
    counts = [0] * _BARS
    for result in results:
        share = result.earned / result.points if result.points else 0.0
        counts[min(int(share * _BARS + 1e-9), _BARS - 1)] += 1
    widest = max(counts, default=1) or 1
    drawn = []
    for bar, count in enumerate(counts):
        low, high = 100 * bar // _BARS, 100 * (bar + 1) // _BARS
        drawn.append(f"{low:3d}-{high:3d} % {'#' * round(40 * count / widest)} {count}".rstrip())
    return drawn


def summary(results: Sequence[Result], assignment: Assignment) -> str:
    """The course at a glance, as Markdown: a row for each submission, means, a histogram."""
    names = [question.name for question in assignment.questions]
    told = [f"# {assignment.title}", "", f"| submission | {' | '.join(names)} | total | |"]
    told.append("| --- " * (len(names) + 3) + "|")
    for result in results:
        earned = ["" if q.earned is None else number(q.earned) for q in result.questions]
        cells = " | ".join([*earned, number(result.earned), _quoted(result.problem)])
        told.append(f"| {_quoted(result.name)} | {cells} |")
    means = []
    for column in zip(*(result.questions for result in results), strict=True):
        given = [q.earned for q in column if q.earned is not None]
        means.append(number(sum(given) / len(given)) if given else "")
    mean = sum(result.earned for result in results) / len(results)
    told.append(f"| *mean* | {' | '.join(means)} | {number(mean)} | |")
    return "\n".join([*told, "", "```", *histogram(results), "```", ""])


def write_all(
    results: Sequence[Result],
    submissions: dict[str, Path],
    assignment: Assignment,
    output: Path,
) -> None:
    """Write all reports of a run into its folder."""
    write_feedback(results, submissions, output / "feedback")
    folder = output / "gradescope"
    folder.mkdir(exist_ok=True)
    for result in results:
        file = folder / f"{result.name}.json"
        file.write_text(json.dumps(gradescope(result), indent=1) + "\n", "utf8")
    write_canvas(results, assignment, output / "canvas.csv")
    (output / "summary.md").write_text(summary(results, assignment), "utf8")
