"""Submissions that attack the grader neither raise nor lower the honest score."""

import json
import re

import nbformat
import pytest
from attacks import QUICK, SLOW

from coursework import grade, report


def graded(assignment, cases, sandbox, folder, cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    file = folder / "attack.ipynb"
    nbformat.write(notebook, file)
    return grade.grade(file, "attack", assignment, cases, sandbox)


@pytest.mark.parametrize(
    "attack",
    [pytest.param(attack, id=name) for name, attack in QUICK.items()]
    + [pytest.param(one, id=name, marks=pytest.mark.attack) for name, one in SLOW.items()],
)
def test_an_attack_changes_no_score(attack, assignment, cases, sandbox, tmp_path):
    result = graded(assignment, cases, sandbox, tmp_path, attack.cells())
    told = "\n".join(report.lines(result)) + json.dumps(report.gradescope(result))
    earned = {q.name: q.earned for q in result.questions if q.earned is not None}
    assert earned == attack.earned, told
    assert re.search(attack.says, told), told
    assert "LEAK" not in told
