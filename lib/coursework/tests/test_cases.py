"""Hidden cases: inputs depend on the secret and the name alone, and points add up."""

import shutil

import numpy as np
import pytest

from coursework import cases, source

HIDDEN = """
from coursework import case, close

@case("pool", "f", points={points}, hint="No.")
def one(rng):
    return {returned}
"""


def test_inputs_depend_on_the_secret_the_assignment_and_the_name():
    draws = {
        tuple(cases.generator(*parts).integers(2**62, size=2))
        for parts in [(b"a", "x", "y"), (b"b", "x", "y"), (b"a", "z", "y"), (b"a", "x", "z")]
    }
    assert len(draws) == 4
    again = cases.generator(b"a", "x", "y").integers(2**62, size=2)
    assert tuple(again) in draws


def test_the_example_has_its_cases(assignment):
    first, second = cases.load(assignment, b"one"), cases.load(assignment, b"two")
    assert [case.name for case in first] == [
        "general_position",
        "large_scores",
        "moderate_score",
        "few_draws",
    ]
    assert len(first[2].calls) == 6
    assert not np.array_equal(first[0].calls[0][0], second[0].calls[0][0])


@pytest.mark.parametrize(
    ("points", "returned", "message"),
    [
        (3, "(1,), close(1)", "earn 3, the page promises 4"),
        (4, "1, close(1)", "a tuple of arguments"),
        (4, "(1,), 1", "a comparison such as close"),
    ],
)
def test_a_mistake_in_the_cases_is_named(tmp_path, assignment, points, returned, message):
    folder = tmp_path / "pooling"
    shutil.copytree(assignment.folder, folder)
    (folder / "hidden.py").write_text(HIDDEN.format(points=points, returned=returned), "utf8")
    with pytest.raises(source.SourceError, match=message):
        cases.load(source.read(folder), b"secret")


def test_a_question_that_a_person_grades_has_no_cases(tmp_path, assignment):
    folder = tmp_path / "pooling"
    shutil.copytree(assignment.folder, folder)
    text = HIDDEN.format(points=2, returned="(1,), close(1)").replace('"pool"', '"plot"')
    (folder / "hidden.py").write_text(text, "utf8")
    with pytest.raises(source.SourceError, match="plot is graded by a person"):
        cases.load(source.read(folder), b"secret")
