"""The answers of assignment 4 against heads trained and tested on drawn tokens."""

import numpy as np
import pytest
from scipy import stats


def pooled(rng, n, d, labels, tau, along, noise_std=1.0, W=1.0, relevant=None):
    """Pooled features, their first coordinate along w*, from scores `along` [n T] and tokens."""
    T, k = along.shape[1], relevant
    X = noise_std * rng.normal(size=(n, T, d - 1))
    X[:, :k] = 0.0
    X[:, :k, 0] = W * labels[:, None]
    weights = np.exp(tau * (along - along.max(axis=1, keepdims=True)))
    return np.einsum("nt,ntd->nd", weights / weights.sum(axis=1, keepdims=True), X)


def test_sign_noise_error_is_that_of_trained_heads(answers):
    """Heads on full tokens at two prompt scales; the gap to the limit is a part in n."""
    T, k, Q, W, sigma, n, d = 12, 2, 1.6, 1.0, 0.9, 150, 150
    train, test = 1.2, 0.5

    def batch(rng, size, tau):
        y = np.where(rng.random(size) < 0.5, 1.0, -1.0)
        along = sigma * rng.choice([-1.0, 1.0], size=(size, T))
        along[:, :k] = Q
        return y, pooled(rng, size, d, y, tau, along, sigma, W, k)

    rng = np.random.default_rng(0)
    errors = []
    for _ in range(20):
        y, features = batch(rng, n, train)
        head = y @ features / n
        y, features = batch(rng, 600, test)
        errors.append(np.mean(y * (features @ head) <= 0))
    mean, error = np.mean(errors), np.std(errors, ddof=1) / np.sqrt(len(errors))
    arguments = T, k / T, Q, W, sigma, (d - 1) / n
    assert abs(mean - answers.sign_noise_error(*arguments, train, test)) < 4.5 * error + 1 / n
    assert abs(mean - answers.sign_noise_error(*arguments, test, train)) > 4.5 * error + 1 / n


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.2])
def test_noisy_snr_is_approached_by_long_contexts(answers, eta):
    rng = np.random.default_rng(1)
    Q, W, sigma, zeta, tau = 1.2, 0.8, 0.9, 0.2, 0.6
    gaps = []
    for T, n in ((20, 40_000), (80, 10_000), (320, 2_500)):
        k = round(zeta * T)
        std = np.where(np.arange(T) < k, eta, sigma)
        scores = tau * (Q * (np.arange(T) < k) + std * rng.normal(size=(n, T)))
        weights = np.exp(scores)
        weights /= weights.sum(axis=1, keepdims=True)
        mean = W * weights[:, :k].sum(axis=1).mean()
        spread = np.mean((weights**2) @ std**2)  # the noise, integrated out
        formula = answers.noisy_snr(T, zeta, Q, W, sigma, eta, tau)
        gaps.append(abs(np.log(mean / np.sqrt(spread) / formula)))
    assert gaps[2] < 0.04
    assert gaps[2] < gaps[0] / 3


def test_a_little_noise_on_relevant_tokens_may_help(answers):
    arguments = 200, 0.1, 1.5, 1.0, 1.0
    assert answers.noisy_snr(*arguments, 0.5, 0.75) > answers.noisy_snr(*arguments, 0.0, 0.75)


@pytest.mark.parametrize(("eta", "sigma"), [(0.3, 0.9), (1.5, 0.8), (0.9, 0.9)])
def test_no_scale_is_better(answers, eta, sigma):
    best = answers.best_scale(0.1, 1.4, sigma, eta)
    ratio = [answers.noisy_snr(1, 0.1, 1.4, 1.0, sigma, eta, t) for t in np.linspace(0, 9, 9001)]
    assert answers.noisy_snr(1, 0.1, 1.4, 1.0, sigma, eta, best) >= max(ratio) - 1e-12


def test_several_prompts_on_tokens(answers):
    rng = np.random.default_rng(2)
    zeta, Q, W, sigma = np.array([0.1, 0.15]), np.array([1.3, 0.8]), 0.7, 0.8
    tau, c = np.array([[0.9, 0.1], [0.2, 0.7]]), np.array([0.6, 0.4])
    gaps = []
    for T, n in ((20, 20_000), (80, 5_000), (320, 1_250)):
        first, second = round(0.1 * T), round(0.25 * T)
        Z = sigma * rng.normal(size=(n, T, 2))
        Z[:, :second] = 0.0
        Z[:, :first, 0], Z[:, first:second, 1] = Q
        mixed = 0.0
        for row, weight in zip(tau, c, strict=True):
            scores = np.exp(Z @ row)
            mixed = mixed + weight * scores / scores.sum(axis=1, keepdims=True)
        mean = W * mixed[:, :second].sum(axis=1).mean()
        spread = sigma**2 * np.mean((mixed[:, second:] ** 2).sum(axis=1))
        formula = answers.several_prompts_snr(T, zeta, Q, W, sigma, tau, c)
        gaps.append(abs(np.log(mean / np.sqrt(spread) / formula)))
    assert gaps[2] < 0.03
    assert gaps[2] < gaps[0] / 3


def test_three_errors_on_drawn_margins(answers):
    rng = np.random.default_rng(3)
    s, gamma, pi, kappa, n = 1.3, 0.8, 0.75, 0.4, 400_000
    plain, best, silent = answers.three_errors(s, gamma, pi, kappa)
    # A head of many dimensions: part along the mean, part across, as the limit says.
    along, across = s, np.sqrt(gamma)
    y = np.where(rng.random(n) < pi, 1.0, -1.0)
    x = s * y[:, None] * np.array([1.0, 0.0]) + rng.normal(size=(n, 2))
    f = x @ [along, across]
    grid = np.linspace(-6, 6, 241)
    errors = [np.mean((f > -t) != (y > 0)) for t in grid]
    loud = np.argsort(-np.abs(f))[: round(kappa * n)]
    tolerance = 4.5 * np.sqrt(0.25 / (kappa * n))
    assert abs(np.mean(y * f <= 0) - plain) < tolerance
    assert abs(min(errors) - best) < tolerance
    assert abs(np.mean((y * f <= 0)[loud]) - silent) < tolerance  # |f| is the same for both labels


def test_same_averages_misleads_a_trained_head(answers):
    """Features drawn by X1 from the law: the error on them against X4 for the averages."""
    rng = np.random.default_rng(4)
    m_bar, v_bar, n, d = 0.5, 0.01, 2000, 101
    ratio = 2.6 * np.sqrt(v_bar) / m_bar
    law = answers.same_averages(m_bar, v_bar)

    def batch(size):
        m, v, _ = law[rng.choice(len(law), size=size, p=law[:, 2])].T
        y = rng.choice([-1.0, 1.0], size=size)
        features = np.sqrt(v)[:, None] * rng.normal(size=(size, d - 1))
        features[:, 0] += m * y * ratio
        return y, features

    y, features = batch(n)
    head = y @ features / n
    y, features = batch(20_000)
    error = np.mean(y * (features @ head) <= 0)
    s = m_bar / np.sqrt(v_bar) * ratio
    assert error > 5 * stats.norm.sf(s / np.sqrt(1 + (d - 1) / n / s**2))
