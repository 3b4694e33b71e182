"""An author's check of an assignment, without a sandbox: only the author's own code runs.

It takes the way that a submission takes, values on the wire included, in this one process.
"""

import json
from collections.abc import Iterable, Iterator

from coursework import answers, build, cases, execution, values
from coursework.source import Assignment, has_tag

SECONDS = 60.0
LEAST_WRONG, LEAST_RIGHT = 3, 2


def code_cells(assignment: Assignment, solved: bool = True) -> list[str]:
    """The code cells that grading runs, as the author solved them or as a student gets them."""
    notebook = assignment.notebook if solved else build.stripped(assignment)
    return [
        "" if has_tag(cell, "check") or has_tag(cell, "experiment") else cell.source
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def with_answer(assignment: Assignment, answer: answers.Answer) -> list[str]:
    """The author's code cells with one planted answer in its place."""
    cell = assignment.question(answer.question).cell
    before = sum(c.cell_type == "code" for c in assignment.notebook.cells[:cell])
    cells = code_cells(assignment)
    cells[before] = answer.code
    return cells


def earned(cells: list[str], selected: Iterable[cases.Case]) -> dict[str, bool]:
    """Which of the cases the cells pass, run in this process. For trusted code only."""
    module = execution.fresh_module()
    execution.run_cells(cells, module, SECONDS)
    return {case.name: _passes(module, case) for case in selected}


def _passes(module, case: cases.Case) -> bool:
    results = []
    try:
        for arguments in case.calls:
            packed = json.loads(json.dumps([values.pack_argument(one) for one in arguments]))
            unpacked = tuple(values.unpack_argument(one) for one in packed)
            result = execution.call(module, case.function, unpacked, SECONDS)
            wire = json.dumps(values.pack_result(result))
            results.append(values.unpack_result(json.loads(wire)))
    except BaseException:
        return False
    return case.judge(results)


def faults(assignment: Assignment, secret: bytes) -> Iterator[str]:
    """What is wrong with an assignment, one line each; none when it can be handed out.

    The author's solution must earn all points and an unanswered notebook none; each graded question
    has at least three planted wrong answers, which must lose points, and two unusual right ones,
    which must earn all; the public checks must pass on the author's solution.
    """
    hidden = cases.load(assignment, secret)
    for name, passed in earned(code_cells(assignment), hidden).items():
        if not passed:
            yield f"the author's solution fails case {name}"
    for name, passed in earned(code_cells(assignment, solved=False), hidden).items():
        if passed:
            yield f"an unanswered notebook passes case {name}"
    yield from _check_cells(assignment)
    planted = answers.read(assignment)
    for question in assignment.questions:
        if not question.manual:
            mine = [answer for answer in planted if answer.question == question.name]
            wrong = sum(not answer.right for answer in mine)
            if wrong < LEAST_WRONG or len(mine) - wrong < LEAST_RIGHT:
                yield (
                    f"question {question.name} has {wrong} planted wrong answers and "
                    f"{len(mine) - wrong} right ones, expected {LEAST_WRONG} and {LEAST_RIGHT}"
                )
    for answer in planted:
        yield from _planted(assignment, answer, hidden)


def _planted(assignment, answer, hidden) -> Iterator[str]:
    mine = [case for case in hidden if case.question == answer.question]
    passed = earned(with_answer(assignment, answer), mine)
    if answer.right:
        for name in (name for name, passes in passed.items() if not passes):
            yield f"question {answer.question}, right answer {answer.title!r}: fails case {name}"
    elif all(passed.values()):
        yield f"question {answer.question}, wrong answer {answer.title!r}: passes every case"


def _check_cells(assignment: Assignment) -> Iterator[str]:
    code = [cell for cell in assignment.notebook.cells if cell.cell_type == "code"]
    cells = ["" if has_tag(cell, "experiment") else cell.source for cell in code]
    errors = execution.run_cells(cells, execution.fresh_module(), SECONDS)
    for number, error in errors.items():
        yield f"code cell {number + 1} fails on the author's solution: {error}"
