"""The answers of assignment 1 against simulations that know none of its formulas."""

import numpy as np
from scipy import optimize
from scipy.special import softmax


def test_mean_token_variance_is_that_of_drawn_tokens(answers):
    rng = np.random.default_rng(0)
    n, T, k, sigma, eta, c = 200_000, 8, 3, 1.5, 0.7, 0.3
    shared = rng.normal(size=(n, 1))
    noise = sigma * (np.sqrt(c) * shared + np.sqrt(1 - c) * rng.normal(size=(n, T - k)))
    mean = (noise.sum(axis=1) + eta * rng.normal(size=(n, k)).sum(axis=1)) / T
    standard_error = mean.var() * np.sqrt(2 / n)
    formula = answers.mean_token_variance(T, k / T, sigma, eta, c)
    assert abs(formula - mean.var()) < 4.5 * standard_error


def test_coin_flip_moments_are_those_of_drawn_tokens(answers):
    rng = np.random.default_rng(1)
    n, T, zeta, d = 100_000, 5, 0.3, 2
    r, u, F = rng.normal(size=d), rng.normal(size=d), rng.normal(size=(d, d))
    X = np.where(rng.random((n, T, 1)) < zeta, r, u + rng.normal(size=(n, T, d)) @ F.T)
    mean = X.mean(axis=1)
    inner = np.einsum("nti,ntj->nij", X, X) / T - np.einsum("ni,nj->nij", mean, mean)
    centred = mean - mean.mean(axis=0)
    outer = np.einsum("ni,nj->nij", centred, centred)
    formula = answers.coin_flip_moments(r, u, F @ F.T, T, zeta)
    for found, draws in zip(formula, (outer, inner), strict=True):
        standard_error = draws.std(axis=0) / np.sqrt(n)
        assert (abs(found - draws.mean(axis=0)) < 4.5 * standard_error).all()


def test_no_law_is_more_hostile(answers):
    """Against a linear program over all laws on a grid that holds the context's norm."""
    for Q in (0.5, 1.0, 2.0):
        grid = np.union1d(np.linspace(-12, 12, 961), Q)
        moments = np.stack([np.ones_like(grid), grid, grid**2])
        best = optimize.linprog(-(grid >= Q).astype(float), A_eq=moments, b_eq=[1, 0, 1])
        values, probs = answers.extreme_noise(Q, True)
        assert abs(probs[values >= Q].sum() + best.fun) < 1e-3
        values, probs = answers.extreme_noise(Q, False)
        assert probs[values >= Q].sum() == 0


def self_attention(X, W, v):
    weights = softmax(X @ W @ X.T, axis=0).mean(axis=1)  # column t is asked by token t
    return weights @ X @ v


def test_the_smallest_view_is_enough_and_no_smaller_one_is(answers):
    rng = np.random.default_rng(2)
    W, v = rng.normal(size=(7, 2)) @ rng.normal(size=(2, 7)), rng.normal(size=7)
    D = answers.smallest_view(W, v)
    X = rng.normal(size=(6, 7))
    whole = self_attention(X, W, v)
    assert len(D) == 5
    for rows in (D, *(np.delete(D, i, axis=0) for i in range(5))):
        seen = X @ np.linalg.pinv(rows) @ rows
        assert np.isclose(self_attention(seen, W, v), whole, rtol=1e-9) == (rows is D)


def test_rows_among_tokens_is_the_whole_layer(answers):
    rng = np.random.default_rng(3)
    d, h, m, T = 5, 3, 3, 9
    W_Q, W_K, W_V = rng.normal(size=(3, d, h))
    X, P, heads = rng.normal(size=(T, d)), rng.normal(size=(m, d)), rng.normal(size=(m, h))
    everything = np.concatenate([X, P])
    attention = softmax(P @ W_Q @ (everything @ W_K).T, axis=1)
    layer = np.sum(heads * (attention @ everything @ W_V))
    scores, row_scores = P @ W_Q @ (X @ W_K).T, P @ W_Q @ (P @ W_K).T
    outputs = (softmax(scores, axis=1) @ X @ W_V * heads).sum(axis=1)
    log_totals = np.log(np.exp(scores).sum(axis=1))
    found = answers.rows_among_tokens(outputs, log_totals, row_scores, heads @ (P @ W_V).T)
    assert np.isclose(found, layer, rtol=1e-9)


def test_no_reachable_query_is_quieter(answers):
    rng = np.random.default_rng(4)
    W_Q, W_K, q_star, w_star = (
        rng.normal(size=(2, 8, 5)).tolist() + rng.normal(size=(2, 8)).tolist()
    )
    W_Q, W_K, q_star, w_star = map(np.array, (W_Q, W_K, q_star, w_star))
    q = answers.quietest_prompt(W_Q, W_K, q_star, w_star, 2.0)
    B = W_K @ W_Q.T
    p = np.linalg.lstsq(B, q, rcond=None)[0]
    assert np.allclose(B @ p, q), "it is reachable"
    for y in (1, -1):
        assert np.isclose(q @ (q_star + y * w_star), 2.0)
    conditions = np.stack([q_star, w_star]) @ B
    for _ in range(200):  # any other p near it with the same scores, to either side
        step = rng.normal(size=8)
        step -= np.linalg.pinv(conditions) @ (conditions @ step)
        for other in (p + 1e-4 * step, p - 1e-4 * step):
            assert np.linalg.norm(B @ other) > np.linalg.norm(q)
