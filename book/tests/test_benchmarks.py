"""The page of benchmarks says what was measured: nothing by hand, and why an aim was missed."""

import importlib.util
import json
from pathlib import Path

import pytest

from bookext.benchmarks import beyond, goals_rows, number, read, times_rows

ROOT = Path(__file__).parents[2]
RESULTS = json.loads((ROOT / "book" / "benchmarks.json").read_text("utf-8"))


def goals():
    """The goals as `make bench` has them."""
    spec = importlib.util.spec_from_file_location("goals", ROOT / "bench" / "goals.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.GOALS


def test_the_outcomes_are_those_of_the_measured_numbers():
    assert RESULTS["goals"] == [goal.outcome(RESULTS["works"]) for goal in goals()]
    assert all(goal["value"] is not None for goal in RESULTS["goals"])


def test_every_number_was_measured_with_code_that_is_committed():
    for work, measured in RESULTS["works"].items():
        assert len(measured["commit"]) == 40, f"{work}: {measured['commit']}"


def test_the_page_explains_each_missed_aim_and_no_other():
    text = (ROOT / "book" / "benchmarks.md").read_text("utf-8")
    for goal in RESULTS["goals"]:
        explained = f"**{goal['work']}: {goal['what']}.**" in text
        assert explained is not goal["met"], f"{goal['work']}: {goal['what']}"


def test_tables():
    goal = {"work": "a", "what": "b", "unit": "s", "goal": "at most 2", "bound": 2, "met": False}
    results = {
        "goals": [goal | {"value": 4.0}, goal | {"value": None}],
        "works": {"a": {"versions": {"library": {"seconds": 0.5}}}},
    }
    assert goals_rows(results)[1:] == [
        ["a: b", "4.00 s", "at most 2", "missed"],
        ["a: b", "not measured", "at most 2", "not measured"],
    ]
    assert times_rows(results)[1:] == [["a", "library", "500", "", ""]]
    assert beyond(results["goals"][0]) == 0.5
    assert beyond(results["goals"][0] | {"goal": "at least 2"}) == 2


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0123, "0.0123"),
        (1.234, "1.23"),
        (99.96, "100"),
        (20432.1, "20,400"),
        (0.0, "0.00"),
        (3, "3"),
    ],
)
def test_numbers_have_three_digits(value, written):
    assert number(value) == written


@pytest.mark.parametrize("content", ["{", "{}", '{"works": {}}'])
def test_a_broken_file_is_named(tmp_path, content):
    (tmp_path / "benchmarks.json").write_text(content, "utf-8")
    with pytest.raises(ValueError, match=r"benchmarks\.json: expected what make bench writes"):
        read(tmp_path)
