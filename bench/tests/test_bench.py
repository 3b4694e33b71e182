"""Versions that are timed against each other compute the same, and goals are counted as they say.

Without PyTorch or a C compiler their versions are skipped; `make bench` runs this file with them.
"""

import contextlib

import descent
import formulas
import goals
import jax
import kernels
import numpy as np
import pytest
import steps

TORCH = pytest.param(
    "PyTorch eager", marks=pytest.mark.skipif(not descent.torch, reason="no PyTorch")
)
LOOP = pytest.param("PyTorch loop", marks=pytest.mark.skipif(not steps.torch, reason="no PyTorch"))
C = pytest.mark.skipif(kernels.library() is None, reason="no C compiler")
FUSED = pytest.param("fused C kernel", marks=C)


def assert_close(found, expected, tolerance):
    for array, other in zip(found, expected, strict=True):
        array, other = np.asarray(array), np.asarray(other)
        assert array.dtype == other.dtype
        assert np.linalg.norm(array - other) < tolerance * np.linalg.norm(other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["library", "plain JAX", "JAX, block by block", TORCH, FUSED])
def test_a_training_step(name, dtype):
    with jax.enable_x64(True) if dtype == np.float64 else contextlib.nullcontext():
        versions = descent.versions(dtype, n=80, T=6, d=11)
        found = [np.asarray(vector) for vector in versions[name]()()]
    start = [vector.astype(dtype) for vector in descent.problem(dtype, 80, 6, 11)[2:]]
    expected = versions["NumPy"]()()
    assert_close(found, expected, 40 * np.finfo(dtype).eps)
    moved = [after - before for after, before in zip(found, start, strict=True)]
    slopes = [after - before for after, before in zip(expected, start, strict=True)]
    assert_close(moved, slopes, 3e3 * np.finfo(dtype).eps)


@C
def test_every_token_is_read():
    X = descent.problem(np.float64, 7, 5, 3)[0]
    np.testing.assert_allclose(kernels.read(kernels.library(), X), X.sum(), rtol=1e-12)
    with pytest.raises(ValueError, match="contiguous array, got strides"):
        kernels.read(kernels.library(), X[:, ::2])


@pytest.mark.parametrize("name", ["plain JAX", LOOP])
def test_three_steps_on_the_same_tokens(name):
    found = steps.on_the_same_tokens()
    assert_close(found[name], found["NumPy"], 1e-5)


@pytest.mark.parametrize("draw", ["numpy", "jax", pytest.param("torch", marks=LOOP.marks)])
def test_tokens_are_those_of_the_library(draw):
    """Moments of what each version draws, against the data model that the library uses."""
    n, dim = 4000, 3
    source = {
        "numpy": lambda: steps.draw_numpy(np.random.default_rng(0), dim, n),
        "jax": lambda: steps.draw_jax(jax.random.key(0), dim, n),
        "torch": lambda: steps.draw_torch(dim, n),
    }[draw]
    if draw == "torch":
        steps.torch.manual_seed(0)
    X, y = map(np.asarray, source())
    model = steps.contextual(dim)
    assert set(np.unique(y)) == {-1, 1}
    assert abs(y.mean()) < 4 / n**0.5
    relevant = np.asarray(model.context) + y[:, None] * np.asarray(model.regressor)
    at_relevant = (relevant[:, None] == X).all(axis=2)
    assert (at_relevant.sum(axis=1) == model.num_relevant).all()
    noise = X[~at_relevant]
    error = len(noise) ** -0.5
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=4 * error)
    np.testing.assert_allclose(np.cov(noise.T), np.eye(dim), atol=4 * 2**0.5 * error)


def test_ridge_and_a_closed_form():
    ridge = formulas.ridge_versions(n=60, d=20, count=4)
    assert_close([ridge["library"]()()], [ridge["scikit-learn, each"]()()], 2e-4)
    grid = formulas.grid_versions(points=20)
    np.testing.assert_allclose(grid["library"]()(), grid["NumPy"]()(), rtol=1e-4)


def test_a_goal_is_met_missed_or_not_measured():
    results = {goals.GRID: {"versions": {"NumPy": {"library is faster": 3.0}}}}
    at_least, at_most = (
        goals.Goal(goals.GRID, "speed", goals.GOALS[-1].value, kind, 2.5) for kind in (True, False)
    )
    assert [goal.outcome(results)["met"] for goal in (at_least, at_most)] == [True, False]
    missing = at_least.outcome({})
    assert (missing["value"], missing["met"]) == (None, False)
    text = goals.table([at_most.outcome(results), missing]).splitlines()
    assert "3.00 times" in text[0]
    assert text[0].endswith("MISSED")
    assert "not measured" in text[1]


def test_accuracy_per_second_counts_time_and_variance():
    full = {"milliseconds": 10.0, "standard error": 0.3}
    own = {"milliseconds": 5.0, "standard error": 0.1}
    results = {goals.ERROR: {"versions": {"full tokens": full, "library": own}}}
    (goal,) = (goal for goal in goals.GOALS if goal.work == goals.ERROR)
    assert goal.outcome(results)["value"] == pytest.approx(18)
