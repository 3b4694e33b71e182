"""The answers of assignment 2 against the library's models, searches and drawn tokens."""

import jax.numpy as jnp
import numpy as np
import pytest

from prompt_attention import data, expressivity, models


def discrete(zeta, nuisance, dim=2):
    """A dataset without noise, with context e1 and regressor e2."""
    e = np.eye(dim)
    return data.ContextualModel(
        context=e[0], regressor=e[1], num_tokens=20, sparsity=zeta, noise_std=0.0, nuisance=nuisance
    )


@pytest.mark.parametrize(
    ("degree", "opposed", "rate", "positive"),
    [(1, True, 0.6, 0.3), (2, False, 0.3, 0.4), (3, True, 0.9, 0.5), (2, True, 0.5, 0.5)],
)
@pytest.mark.parametrize("factor", [0.92, 1.25])
def test_no_parameters_beat_the_least_error(answers, degree, opposed, rate, positive, factor):
    """Many (w, q) on tokens drawn as the model says: none is better, and the best is as good."""
    rng = np.random.default_rng(0)
    zeta, T = 0.3, 10
    delta = factor * (3 / 7) ** (1 / (degree + 1))
    w, q = rng.normal(size=(2, 40_000, 2))
    errors = 0.0
    for y, share in ((1, positive), (-1, 1 - positive)):
        r = np.array([1.0, y])
        crowd = -delta * np.array([1.0, -y if opposed else y])
        for u, chance in ((0 * r, 1 - rate), (crowd, rate)):
            X = np.stack([r] * 3 + [u] * 7)
            f = ((w @ X.T) * (q @ X.T) ** degree).sum(axis=1) / T
            errors = errors + share * chance * (y * f <= 0)
    least = answers.least_error(zeta, delta, degree, opposed, rate, positive)
    assert np.isclose(errors.min(), least)


def test_three_of_four_on_tokens(answers):
    zeta, delta = 0.2, 3.0
    a, b, bias = answers.three_of_four(zeta, delta)
    right = 0
    for y in (1, -1):
        for strength in (0.0, delta):
            r = np.array([1.0, y])
            X = np.stack([r] * 2 + [-strength * r] * 8)
            right += y * (X.mean(axis=0) @ [a, b] + bias) > 0
    assert right == 3


@pytest.mark.parametrize("nuisance", [(6.0, 5.9), (6.0, 8.0), (0.0, 9.0)])
def test_escape_has_no_error_in_the_library(answers, nuisance):
    zeta = 0.2
    found = answers.escape(zeta, *nuisance)
    model = models.SelfAttention(2, head=found[0], weights=found[1:])
    assert expressivity.discrete_error(model, discrete(zeta, [(0.0, 0.0), nuisance])) == 0
    mirror = (nuisance[1], nuisance[1])  # the twin: a true mirror beyond the threshold of E3
    assert expressivity.discrete_error(model, discrete(zeta, [(0.0, 0.0), mirror])) > 0


def test_head_for_agrees_with_the_library_and_a_search(answers):
    rng = np.random.default_rng(1)
    verdicts = []
    for _ in range(30):
        c, e, zeta = *rng.uniform(-1.5, 1.5, size=2), rng.integers(1, 15) / 20
        nuisance = rng.uniform([0, -3], [3, 3], size=(3, 2)).round(2)
        head = answers.head_for(c, e, zeta, nuisance)
        contextual = discrete(zeta, nuisance)

        def error(w, q=(c, e), contextual=contextual):
            model = models.PromptAttention(2, head=w, prompt=np.array(q))
            return float(expressivity.discrete_error(model, contextual))

        verdicts.append(bool(head.any()))
        if verdicts[-1]:
            assert error(head) == 0
        else:
            assert min(error(rng.normal(size=2)) for _ in range(20)) > 0
    assert 5 < sum(verdicts) < 25


def limits(w, q, q_star, w_star, seed):
    """Y f of one very long core example for each label, from tokens."""
    rng = np.random.default_rng(seed)
    values = []
    for y in (1.0, -1.0):
        X = np.concatenate(
            [np.tile(q_star + y * w_star, (20_000, 1)), rng.normal(size=(80_000, 3))]
        )
        weights = np.exp(X @ q)
        values.append(y * (weights @ (X @ w)) / weights.sum())
    return values


def test_unbiased_pair_treats_labels_alike_in_long_contexts(answers):
    q_star, w_star = np.array([1.0, 0, 0]), np.array([0.6, 0.8, 0])
    w, q = answers.unbiased_pair(q_star, w_star)
    gaps = [np.subtract(*limits(w, q, q_star, w_star, seed)) for seed in range(6)]
    assert abs(np.mean(gaps)) < 4.5 * np.std(gaps, ddof=1) / np.sqrt(6)
    w, q = expressivity.separating_prompt(jnp.asarray(q_star), jnp.asarray(w_star), 1.0)
    w, q = np.asarray(w, float), np.asarray(q, float)
    gaps = [np.subtract(*limits(w, q, q_star, w_star, seed)) for seed in range(6)]
    assert abs(np.mean(gaps)) > 10 * np.std(gaps, ddof=1) / np.sqrt(6), "the twin: the pair of E1"


def test_best_prompt_has_the_largest_mass_on_tokens(answers):
    rng = np.random.default_rng(2)
    q_star, w_star = np.array([1.2, 0, 0]), np.array([0.5, 1.0, 0])
    F = np.array([[1, 0, 0], [0.5, 0.8, 0], [-0.4, 0.3, 0.9]])
    dq = 0.3
    noise = rng.normal(size=(300_000, 3)) @ F.T
    best = answers.best_prompt(q_star, w_star, F @ F.T, dq)
    assert abs(best @ w_star) < 1e-9

    def log_odds(q):
        return (1 + dq) * q @ q_star - np.log(np.mean(np.exp(noise @ q)))

    basis = np.linalg.svd(w_star[None])[2][1:]
    for direction in [*basis, *-basis, best / np.linalg.norm(best), -best / np.linalg.norm(best)]:
        assert log_odds(best) > log_odds(best + 0.3 * direction)
