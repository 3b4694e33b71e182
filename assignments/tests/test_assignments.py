"""Each assignment earns what it promises: reference all, empty none, planted answers as planted."""

from pathlib import Path

import pytest

from coursework import check, source

ROOT = Path(__file__).parents[1]
NAMES = sorted(file.parent.name for file in ROOT.glob("*/hidden.py"))


def test_all_are_found():
    assert NAMES, "no assignment"


@pytest.mark.parametrize("name", NAMES)
def test_an_assignment_can_be_handed_out(name):
    assert list(check.faults(source.read(ROOT / name), b"tests")) == []


@pytest.mark.parametrize("name", NAMES)
def test_it_has_the_size_of_a_homework(name):
    assignment = source.read(ROOT / name)
    graded = [question for question in assignment.questions if not question.manual]
    assert 5 <= len(graded) <= 8
    assert len(graded) < len(assignment.questions), "no written question"
    assert 3 <= assignment.hours <= 5
    assert f"There are {assignment.points} points" in assignment.notebook.cells[0].source
