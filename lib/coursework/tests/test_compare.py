"""Comparisons accept what is right in value and shape, and nothing else."""

import numpy as np
import pytest

from coursework import close, estimate, exactly, holds

X = np.array([1.0, -2.0, 3.0])


@pytest.mark.parametrize(
    ("value", "right"),
    [
        (X, True),
        (X.astype(np.float32) * (1 + 5e-5), True),
        (X * (1 + 3e-4), False),
        (-X, False),
        (X[:, None], False),
        (X[None], False),
        (X[:2], False),
        (X + 0j, False),
        (np.array([1.0, -2.0, np.nan]), False),
        (np.array([1.0, -2.0, np.inf]), False),
        (np.array(["1.0", "-2.0", "3.0"]), False),
        ([X], False),
    ],
)
def test_close(value, right):
    assert close(X).accept([value]) is right


def test_close_judges_tuples_and_calls_one_by_one():
    pair = close((X, 2.0))
    assert pair.accept([[X, np.array(2.0)]])
    assert not pair.accept([[X, np.array([2.0])]])
    assert not pair.accept([[X]])
    assert close(1.0, 2.0).accept([np.array(1), np.array(2.0)])
    assert not close(1.0, 2.0).accept([np.array(1.0)])
    assert close(np.nan).accept([np.array(np.nan)])


def test_exactly():
    assert exactly("prompt", 3).accept([np.array("prompt"), np.array(3)])
    assert not exactly("prompt").accept([np.array("Prompt")])
    assert not exactly(3).accept([np.array(3.0001)])
    assert not exactly(True).accept([np.array(1)])


def test_estimate_takes_honest_estimates():
    draws = np.random.default_rng(1).normal(0.3, 0.01, size=(2000, 6))
    right = [estimate(0.3, 0.01).accept([np.array(v) for v in row]) for row in draws]
    assert np.mean(right) > 0.998


@pytest.mark.parametrize(
    "values",
    [
        [0.3] * 6,  # the same for every key
        0.3 + 0.01 * np.array([1.9, 2.1, 2.3, 1.8, 2.0, 2.2]),  # a bias seen in the mean only
        0.3 + 0.01 * np.array([-1.0, 1.0, 0.5, -0.5, 0.2, 5.0]),  # one far off
        0.3 + 0.04 * np.array([-1.0, 1.0, 1.1, -1.1, 1.0, -1.0]),  # too much scatter
        [np.nan] * 6,
    ],
)
def test_estimate_rejects(values):
    assert not estimate(0.3, 0.01).accept([np.array(v) for v in values])


def test_estimate_asks_for_numbers():
    assert not estimate(0.3, 0.01).accept([np.array([0.3])])
    assert not estimate(0.3, 0.01).accept([np.array("0.3")])
    assert estimate(0.3, 0.01, random=False).accept([np.array(0.3)] * 6)
    with pytest.raises(ValueError, match=r"standard_error must be > 0, got 0"):
        estimate(0.3, 0)


def test_holds():
    assert holds(lambda a, b: a < b).accept([np.array(1), np.array(2)])
    assert not holds(lambda a, b: a < b).accept([np.array(2), np.array(1)])
