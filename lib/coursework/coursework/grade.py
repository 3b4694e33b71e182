"""Grading one submission: two sandboxes, one process for each question, values compared here."""

import ast
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

from coursework import check, session, submission
from coursework.cases import Case
from coursework.sandbox import Sandbox
from coursework.source import Assignment, has_tag

PASSED = "passed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CaseResult:
    """What one case earned, and what the student is told."""

    name: str
    points: float
    earned: float
    message: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuestionResult:
    """What one question earned; `earned` is None for a person to fill in."""

    name: str
    points: float
    earned: float | None
    cases: tuple[CaseResult, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """The grade of one submission.

    Args:
        name: of the submission.
        digest: SHA-256 of the file; empty if it could not be read.
        problem: why it could not be graded, for the student; empty if it was.
        questions: in the order of the page.
        cells: errors of code cells by their number, from the run that holds nothing hidden.
        checks: errors of public checks, from the same run.
        seconds: time that grading took; no part of the grade.
    """

    name: str
    digest: str
    problem: str
    questions: tuple[QuestionResult, ...]
    cells: dict[int, str] = dataclasses.field(default_factory=dict)
    checks: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def earned(self) -> float:
        """Points of all questions that the grader judged."""
        return sum(question.earned or 0.0 for question in self.questions)

    @property
    def points(self) -> float:
        """Points that the grader could give."""
        return sum(question.points for question in self.questions if question.earned is not None)


def imports(assignment: Assignment) -> list[str]:
    """Modules that the author's own cells import: what a sandbox loads before the questions."""
    found = ["jax", "jax.numpy", "numpy"]
    for cell in check.code_cells(assignment):
        for node in ast.walk(ast.parse(cell)):
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.append(node.module)
    return list(dict.fromkeys(found))


def public_checks(assignment: Assignment) -> list[str]:
    """The author's cells of public checks."""
    return [cell.source for cell in assignment.notebook.cells if has_tag(cell, "check")]


def _calls(cases: Sequence[Case]) -> list[tuple[int, str, tuple]]:
    numbered = enumerate(cases)
    return [(number, case.function, args) for number, case in numbered for args in case.calls]


def _values(case: Case, cases: Sequence[Case], answer: session.Answer) -> list | None:
    first = sum(len(other.calls) for other in cases[: cases.index(case)])
    numbers = range(first, first + len(case.calls))
    if any(number not in answer.values for number in numbers):
        return None
    return [answer.values[number] for number in numbers]


def _why_no_value(case: Case, answer: session.Answer, limits) -> str:
    """What may be said when a call gave no value: kinds of trouble only, never its text."""
    endings = {
        "time": f"The question took longer than {limits.question} s and was stopped.",
        "memory": "The question used too much memory or too many processes, and was stopped.",
        "output": "The question sent far more than the values that were asked for.",
        "exit": "The process ended itself before the question was answered.",
        "signal": "The process was ended: it used up its time or its memory.",
        "lost": "The process ended in a way that the grader could not follow.",
    }
    if answer.ended in endings:
        return endings[answer.ended]
    errors = list(answer.errors.values())
    if any(error.startswith("TimeLimit") for error in errors):
        return f"A call took longer than {limits.call:g} s and was stopped."
    return f"{case.function} raised an exception, or returned something that is not numbers."


def _judge(case, cases, answer, missing, limits) -> CaseResult:
    values = _values(case, cases, answer)
    if values is not None and case.judge(values):
        return CaseResult(name=case.name, points=case.points, earned=case.points, message=PASSED)
    if case.function in missing:
        message = f"The notebook defines no function {case.function}."
    elif values is not None:
        message = case.hint
    elif case.public and answer.ended == "done" and answer.errors:
        message = f"{case.hint} [{next(iter(answer.errors.values()))}]"
    else:
        message = f"{_why_no_value(case, answer, limits)} {case.hint}"
    return CaseResult(name=case.name, points=case.points, earned=0.0, message=message)


def _questions(assignment, cases, answers, missing, limits) -> tuple[QuestionResult, ...]:
    results = []
    for question in assignment.questions:
        mine = []
        for case in (case for case in cases if case.question == question.name):
            together = [c for c in cases if (c.question, c.public) == (case.question, case.public)]
            answer = answers[case.question, case.public]
            mine.append(_judge(case, together, answer, missing, limits))
        earned = None if question.manual else sum(case.earned for case in mine)
        results.append(
            QuestionResult(
                name=question.name, points=question.points, earned=earned, cases=tuple(mine)
            )
        )
    return tuple(results)


def no_points(assignment: Assignment, cases: Sequence[Case], message: str):
    """The questions of a submission that could not be run."""
    nothing = session.Answer(ended="done")
    keys = {(case.question, case.public): nothing for case in cases}
    results = _questions(assignment, cases, keys, (), Sandbox(name="bubblewrap").limits)
    return tuple(
        dataclasses.replace(
            question,
            cases=tuple(dataclasses.replace(case, message=message) for case in question.cases),
        )
        for question in results
    )


def grade_cells(
    cells: Sequence[str],
    assignment: Assignment,
    cases: Sequence[Case],
    sandbox: Sandbox,
    *,
    writable_cache: bool = False,
) -> dict:
    """Run the cells, and return the fields of a `Result` that follow from it."""
    found, answers = imports(assignment), {}
    names = [question.name for question in assignment.questions]

    def together(public: bool) -> list[tuple[str, list[Case]]]:
        groups = [(n, [c for c in cases if (c.question, c.public) == (n, public)]) for n in names]
        return [(name, group) for name, group in groups if group]

    functions = sorted({case.function for case in cases})
    shown = session.Job(checks=public_checks(assignment), functions=functions)
    first = shown
    for public in (True, False):
        groups = together(public)
        jobs = [session.Job(calls=_calls(group)) for _, group in groups]
        jobs = [first, *jobs] if public else jobs
        received = session.run(sandbox, found, cells, jobs, writable_cache=writable_cache)
        if public:
            notebook, *received = received
        answers |= {(name, public): one for (name, _), one in zip(groups, received, strict=True)}
    errors = {number + 1: text for number, text in (notebook.cells or {}).items()}
    problem = ""
    if notebook.cells is None:
        why = {"time": "a cell takes too long", "memory": "a cell takes too much memory"}
        reason = why.get(notebook.ended, "a cell ends the process")
        problem = f"The notebook does not run to its end: {reason}."
    return {
        "problem": problem,
        "questions": _questions(assignment, cases, answers, notebook.missing, sandbox.limits),
        "cells": errors,
        "checks": tuple(notebook.checks.values()),
    }


def grade(
    path: Path, name: str, assignment: Assignment, cases: Sequence[Case], sandbox: Sandbox
) -> Result:
    """Grade one file. Never raises for what a student's file holds or does."""
    started, digest = time.monotonic(), ""
    try:
        content = submission.read_bytes(path)
        handed_in = submission.parse(content)
        digest = handed_in.digest
        cells = submission.cells_to_run(handed_in, assignment)
        fields = grade_cells(cells, assignment, cases, sandbox)
    except submission.UnreadableError as error:
        message = "The file could not be read."
        fields = {"problem": str(error), "questions": no_points(assignment, cases, message)}
    seconds = round(time.monotonic() - started, 2)
    return Result(name=name, digest=digest, seconds=seconds, **fields)
