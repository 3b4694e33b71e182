"""Exact errors: every formula against heads trained and tested on tokens drawn in full."""

import dataclasses
import re
from functools import partial

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from prompt_attention import data, dynamics, trials
from prompt_attention import performance as perf
from prompt_attention.performance.pipeline import learned_prompt
from prompt_attention.performance.pooled import Invariants

KEY = jax.random.key(2306)


def core(d=200, T=50, zeta=0.1, Q=2.0, W=1.0, sigma=1.0, **changes):
    """A core model by the letters of the page, its relevant tokens in first place."""
    model = data.core_model(
        dim=d, context_norm=Q, regressor_norm=W, num_tokens=T, sparsity=zeta, noise_std=sigma
    )
    return dataclasses.replace(model, relevance="first", **changes)


def deviation(a, b):
    """The difference of two estimates in units of its standard error."""
    return float((a.value - b.value) / jnp.hypot(a.standard_error, b.standard_error))


# --- tails -------------------------------------------------------------------------------------


def exact_tail(x):
    """Phibar(x) with 50 digits."""
    with mpmath.workdps(50):
        return mpmath.erfc(mpmath.mpf(float(x)) / mpmath.sqrt(2)) / 2


@pytest.mark.parametrize("x", [-8.0, -1.0, 0.0, 0.5, 3.0, 8.0, 11.46])
def test_tails_have_the_digits_of_mpmath(dtype, x):
    tolerance = 1e-4 if dtype == jnp.float32 else 1e-12
    np.testing.assert_allclose(perf.gaussian_tail(x), float(exact_tail(x)), rtol=tolerance)


@pytest.mark.parametrize("x", [20.1, 25.0, 36.0])
def test_tails_keep_their_digits_where_the_series_begins(float64, x):
    np.testing.assert_allclose(perf.gaussian_tail(x), float(exact_tail(x)), rtol=1e-12)


@pytest.mark.parametrize("x", [-2.0, 1.0, 13.0, 37.0, 300.0])
def test_logarithms_of_tails_do_not_underflow(dtype, x):
    tolerance = 1e-5 if dtype == jnp.float32 else 1e-12
    expected = float(mpmath.log(exact_tail(x)))
    np.testing.assert_allclose(perf.gaussian_tail(x, log=True), expected, rtol=tolerance)


def test_an_error_of_1e_minus_30_comes_out_right(dtype):
    """The snr is chosen so that s^2 / sqrt(s^2 + gamma) = 11.5 at gamma = 1/2."""
    s = np.sqrt((11.5**2 + np.sqrt(11.5**4 + 4 * 0.5 * 11.5**2)) / 2)
    expected = float(exact_tail(11.5))
    assert 1e-31 < expected < 1e-30
    for error in (perf.gradient_head_error, perf.bayes_error):
        np.testing.assert_allclose(error(s, 2.0), expected, rtol=3e-4)
        np.testing.assert_allclose(error(s, 2.0, log=True), np.log(expected), rtol=1e-5)
    np.testing.assert_allclose(perf.ridge_error(s, 2.0, 1e9), expected, rtol=3e-4)
    least = exact_tail(11.5 * np.sqrt(0.5))
    np.testing.assert_allclose(perf.least_squares_error(s, 2.0), float(least), rtol=3e-4)
    log_least = perf.least_squares_error(4 * s, 2.0, log=True)
    margin = 16 * s**2 / np.sqrt(16 * s**2 + 0.5) * np.sqrt(0.5)
    expected = float(mpmath.log(exact_tail(margin)))
    assert expected < -500  # exp of it is 0 in single precision
    np.testing.assert_allclose(log_least, expected, rtol=1e-5)


def test_estimates_of_tiny_errors_keep_their_digits_and_their_standard_errors(dtype):
    """Draws of 1e-30 have squares that single precision cannot hold."""
    for W, low, high in [(4.5, 1e-35, 1e-18), (9.0, 1e-150, 1e-60)]:
        model, n = core(d=20, T=20, Q=1.0, zeta=0.5, W=W), 40
        m, v = perf.pooled_moments(KEY, model, 0.5, 400)
        m, v = np.asarray(m, np.float64), np.asarray(v, np.float64)
        cosine = 1 / np.sqrt(1 + 19 / n * v.mean() / (m.mean() * W) ** 2)
        tails = [exact_tail(x) for x in m / np.sqrt(v) * W * cosine]
        expected = sum(tails) / len(tails)
        assert low < expected < high
        error = perf.known_prompt_error(KEY, model, 0.5, n, num_draws=400)
        log_error = perf.known_prompt_error(KEY, model, 0.5, n, num_draws=400, log=True)
        np.testing.assert_allclose(log_error.value, float(mpmath.log(expected)), rtol=1e-5)
        assert 0 < log_error.standard_error < 2
        if dtype == jnp.float64 or expected > 1e-35:
            np.testing.assert_allclose(error.value, float(expected), rtol=3e-3)
            relative = error.standard_error / error.value
            np.testing.assert_allclose(relative, log_error.standard_error, rtol=1e-4)
        others = [
            partial(perf.finite_sample_error, KEY, model, 0.5, n, num_heads=400),
            partial(perf.learned_prompt_error, KEY, model, n, 0.5, num_draws=400),
        ]
        for estimate in others:
            value, relative = estimate(log=True)
            assert value < -10  # rare draws make up these, so only the digits are checked
            assert 0 < relative < 2
            if value > -80:
                np.testing.assert_allclose(estimate().value, np.exp(value), rtol=1e-4)
                np.testing.assert_allclose(
                    estimate().standard_error, np.exp(value) * relative, rtol=1e-4
                )


# --- the pooled feature (X1) -------------------------------------------------------------------


@pytest.mark.parametrize("prompt_scale", [0.0, 1.0, 3.0])
def test_pooled_features_of_real_tokens_are_made_as_x1_says(prompt_scale):
    model = core(d=6, T=20, zeta=0.2, W=1.5, sigma=0.8)
    batch = model.sample(jax.random.key(1), 40_000)
    pooled = trials.pool(model, batch, prompt_scale)
    drawn = perf.pooled_moments(jax.random.key(2), model, prompt_scale, 40_000)
    for statistic in (lambda m, v: m, lambda m, v: v, lambda m, v: m**2, lambda m, v: m * v**0.5):
        a = data.Estimate.of(statistic(pooled.mass, pooled.spread))
        b = data.Estimate.of(statistic(*drawn))
        if prompt_scale:
            assert abs(deviation(a, b)) < 4
        else:
            np.testing.assert_allclose(a.value, b.value, rtol=1e-4)
    signal = (pooled.labels * pooled.mass)[:, None] * model.regressor
    h = (pooled.features - signal) / (model.noise_std * jnp.sqrt(pooled.spread))[:, None]
    np.testing.assert_allclose(h[:, 0], 0, atol=2e-5)  # nothing along q*
    h = np.asarray(h[:, 1:], np.float64)
    expected = [(h, 0.0), (h**2, 1.0), (h**4, 3.0), (h[:, :-1] * h[:, 1:], 0.0)]
    expected += [(h**2 * np.asarray(part)[:, None], float(part.mean())) for part in drawn]
    for draws, value in expected:
        error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
        slack = 4 * float(jnp.hypot(drawn.mass.std(), drawn.spread.std())) / np.sqrt(len(draws))
        assert (abs(draws.mean(axis=0) - value) < 4 * error + slack + 1e-6).all()


def test_without_scale_pooling_is_the_mean():
    model = core(T=20, zeta=0.25)
    moments = perf.pooled_moments(KEY, model, 0.0, 5)
    np.testing.assert_allclose(moments.mass, 0.25, rtol=1e-6)
    np.testing.assert_allclose(moments.spread, 0.75 / 20, rtol=1e-6)


# --- a head averaged from pooled features (X2, X6w) ---------------------------------------------

SMALL, LONG = {"d": 40, "T": 20}, {"d": 30, "T": 100, "zeta": 0.3}
SETTINGS = {  # few shapes, as each is compiled
    "mean pooling": (core(W=2.0, **SMALL), 0.0, 40),
    "below freezing": (core(W=1.2, **SMALL), 0.8, 40),
    "beyond freezing": (core(W=1.5, **SMALL), 2.5, 40),
    "far beyond freezing": (core(Q=3.0, W=2.0, **SMALL), 4.0, 40),
    "small noise": (core(W=0.5, sigma=0.5, **SMALL), 1.0, 40),
    "more tokens": (core(Q=1.0, W=0.4, **LONG), 0.5, 60),
    "large noise": (core(sigma=2.0, **LONG), 0.25, 60),
    "few examples": (core(d=5, T=50, W=1.5), 1.0, 10),
    "fewer still": (core(d=2, T=10, zeta=0.3), 1.5, 3),
    "one relevant token": (core(d=60, zeta=0.02, Q=3.0), 2.0, 30),
}


def test_settings_lie_on_both_sides_of_freezing():
    beyond = []
    for model, tau, _ in SETTINGS.values():
        num_irrelevant = model.num_tokens - model.num_relevant
        beyond.append(bool(tau > perf.freezing_scale(num_irrelevant, model.noise_std)))
    assert 3 <= sum(beyond) <= len(beyond) - 3
    assert sum(model.dim == n for model, _, n in SETTINGS.values()) >= 3


@pytest.mark.parametrize("name", SETTINGS)
def test_averaged_head_matches_real_tokens(name):
    """Exact for every n and d; the limit leaves out terms of relative size 1/n + 1/d."""
    model, tau, n = SETTINGS[name]
    for weighting in ("uniform", "optimal"):
        seen = trials.known_prompt_trials(
            KEY, model, tau, n, 80, weighting=weighting, num_test=1000
        )
        assert 0.001 < seen.value < 0.45
        exact = perf.finite_sample_error(
            jax.random.key(1), model, tau, n, weighting, num_heads=20_000 // n
        )
        assert abs(deviation(seen, exact)) < 4
        limit = perf.known_prompt_error(jax.random.key(2), model, tau, n, weighting)
        for other in (seen, exact):
            standard_error = jnp.hypot(other.standard_error, limit.standard_error)
            finite_size = limit.value * (1 / n + 1 / model.dim)
            assert abs(limit.value - other.value) < 4 * standard_error + finite_size


@pytest.mark.parametrize(
    ("tau", "weighting", "Q", "zeta", "dims"),
    [(0.0, "uniform", 2.0, 0.2, 1), (1.0, "optimal", 1.0, 0.1, 1), (1.0, "uniform", 1.0, 0.1, 2)],
)
def test_gap_to_the_limit_shrinks_as_n_and_d_grow(tau, weighting, Q, zeta, dims):
    gaps = []
    for n, num_heads in [(4, 100_000), (8, 50_000), (16, 25_000)]:
        model = core(d=dims * n, T=20, zeta=zeta, Q=Q, W=2.0)
        exact = perf.finite_sample_error(KEY, model, tau, n, weighting, num_heads=num_heads)
        limit = perf.known_prompt_error(KEY, model, tau, n, weighting, num_draws=200_000)
        gaps.append(abs(float(limit.value - exact.value)))
        assert gaps[-1] > 3 * jnp.hypot(limit.standard_error, exact.standard_error)
    assert gaps[0] > 1.4 * gaps[1] > 1.96 * gaps[2]


def test_standard_error_is_the_spread_of_the_estimate():
    model = core(d=50, T=20)
    keys = jax.random.split(KEY, 300)
    estimate = jax.vmap(lambda key: perf.known_prompt_error(key, model, 2.0, 20, num_draws=300))
    drawn = estimate(keys)
    ratio = drawn.value.std(ddof=1) / drawn.standard_error.mean()
    assert abs(ratio - 1) < 4 / np.sqrt(2 * 300)


def test_scales_and_sizes_broadcast_over_the_same_draws():
    model = core(d=50, T=20)
    grid = perf.known_prompt_error(KEY, model, jnp.array([0.5, 1.0])[:, None], jnp.array([10, 99]))
    assert grid.value.shape == grid.standard_error.shape == (2, 2)
    moments = perf.pooled_moments(KEY, model, jnp.array([[0.5, 1.0]]), 7)
    assert moments.mass.shape == moments.spread.shape == (1, 2, 7)
    alone = perf.pooled_moments(KEY, model, 1.0, 7)
    np.testing.assert_allclose(moments.mass[0, 1], alone.mass, rtol=1e-6)
    scales = {"key": KEY, "prompt_scales": jnp.array([0.5, 1.0]), "num_draws": 500}
    needed = perf.samples_for_error(model, jnp.array([0.25, 0.2]), **scales)
    assert needed[0] < needed[1]
    one_by_one = [perf.samples_for_error(model, target, **scales) for target in (0.25, 0.2)]
    np.testing.assert_allclose(needed, one_by_one, rtol=1e-4)
    single = perf.known_prompt_error(KEY, model, 1.0, 99)
    np.testing.assert_allclose(grid.value[1, 1], single.value, rtol=1e-5)
    np.testing.assert_allclose(grid.standard_error[1, 1], single.standard_error, rtol=1e-4)


def test_weights_m_over_v_are_the_best():
    """Against weights (m/v)^p for other powers, on the same pairs (m, v)."""
    model = core(d=200, T=20, W=1.5)
    m, v = (np.asarray(part, np.float64) for part in perf.pooled_moments(KEY, model, 2.5, 50_000))
    cosines = []
    for power in (0, 0.5, 0.9, 1.0, 1.1, 1.5):
        c = (m / v) ** power
        signal, noise = (c * m).mean() * 1.5, (c**2 * v).mean() * 199 / 200
        cosines.append(signal / np.hypot(signal, np.sqrt(noise)))
    assert np.argmax(cosines) == 3
    kappa = m / np.sqrt(v) * 1.5
    uniform, optimal = (float(perf.gaussian_tail(kappa * cosines[i]).mean()) for i in (0, 3))
    for weighting, expected in {"uniform": uniform, "optimal": optimal}.items():
        error = perf.known_prompt_error(KEY, model, 2.5, 200, weighting, num_draws=50_000)
        np.testing.assert_allclose(error.value, expected, rtol=1e-3)


def test_no_rule_beats_the_weighted_average():
    """The posterior on fine circles of three lengths: its Bayes rule is the sign of <w, x>."""
    rng = np.random.default_rng(0)
    angles = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    circles = np.concatenate([0.5 * circle, circle, 2 * circle], axis=1)
    for _ in range(200):
        m, v = rng.uniform(0.2, 2, (2, 6))
        y = rng.choice([-1, 1], 6)
        regressor = circles[:, rng.integers(12_000)]
        x = (m * y)[:, None] * regressor + np.sqrt(v)[:, None] * rng.normal(size=(6, 2))
        fit = ((x[:, :, None] - (m * y)[:, None, None] * circles) ** 2).sum(1) / (2 * v[:, None])
        flip = ((x[-1, :, None] + m[-1] * y[-1] * circles) ** 2).sum(0) / (2 * v[-1])
        past, new = fit[:-1].sum(0), x[-1]
        right, wrong = (np.logaddexp.reduce(-past - part) for part in (fit[-1], flip))
        evidence = (right, wrong) if y[-1] > 0 else (wrong, right)
        average = ((m / v * y)[:-1, None] * x[:-1]).sum(0)
        assert (evidence[0] > evidence[1]) == (average @ new > 0)


# --- long contexts (X3, X4), freezing (X7) ------------------------------------------------------


def test_long_context_ratio_is_that_of_real_tokens_as_the_context_grows():
    gaps = []
    for T in (10, 80, 640):
        model = core(d=3, T=T, zeta=0.4, Q=1.4, sigma=0.9)
        tau = perf.best_prompt_scale(model)
        pooled = trials.pool(model, model.sample(KEY, 1000), tau)
        ratio = pooled.mass / jnp.sqrt(pooled.spread) * model.regressor_norm / model.noise_std
        gaps.append(float(jnp.sqrt(jnp.mean((ratio / perf.long_context_snr(model, tau) - 1) ** 2))))
    assert gaps[0] > 1.5 * gaps[1] > 2.25 * gaps[2]
    assert gaps[2] < 0.15


def test_long_context_error_is_that_of_real_tokens():
    model = core(d=8, T=640, zeta=0.1, Q=1.4, W=0.4)
    tau = perf.best_prompt_scale(model)
    limit = perf.gradient_head_error(perf.long_context_snr(model, tau), 16 / 7)
    seen = trials.known_prompt_trials(KEY, model, tau, 16, 100, num_test=100)
    assert 0.001 < limit < 0.2
    assert abs(seen.value - limit) < 4 * seen.standard_error + float(limit) * (1 / 16 + 1 / 8)


def test_best_prompt_scale_is_where_the_snr_peaks(float64):
    model = core(Q=1.7, sigma=0.6)
    best = perf.best_prompt_scale(model)
    slope = jax.grad(lambda tau: perf.long_context_snr(model, tau))
    np.testing.assert_allclose(slope(best), 0, atol=1e-9)
    around = perf.long_context_snr(model, best * jnp.array([0.9, 1.0, 1.1]))
    assert jnp.argmax(around) == 1
    gain = perf.long_context_snr(model, best) / perf.long_context_snr(model, 0.0)
    np.testing.assert_allclose(gain, np.exp(1.7**2 / (4 * 0.6**2)), rtol=1e-9)
    num_irrelevant = np.exp(2 * 1.5**2)
    np.testing.assert_allclose(perf.freezing_scale(num_irrelevant, 2.0), 0.75, rtol=1e-9)


def test_weights_freeze_where_the_map_says():
    """The chance that two draws agree: zero below the scale, 1 - tau_f / tau beyond."""
    seen = {0.5: [], 1.0: [], 2.0: [], 4.0: []}
    rng = np.random.default_rng(7)
    for N in (100, 3_000, 100_000):
        g = rng.normal(size=(200, N))
        for multiple, values in seen.items():
            tau = multiple * float(perf.freezing_scale(N))
            powers = np.exp(2 * tau * (g - g.max(axis=1, keepdims=True)))
            shares = powers / powers.sum(axis=1, keepdims=True)
            values.append((shares**2).sum(axis=1).mean())
    below, at = seen[0.5], seen[1.0]
    assert below[0] > 2 * below[1] > 4 * below[2]
    assert at[0] > at[1] > below[1]
    for multiple in (2.0, 4.0):
        tau = multiple * perf.freezing_scale(100_000)
        limit = perf.frozen_share(tau, 100_000)
        np.testing.assert_allclose(limit, 1 - 1 / multiple, rtol=1e-5)
        # 4 standard errors of 200 draws, and a finite-size term of 1 / log N
        assert abs(seen[multiple][-1] - limit) < 4 * 0.3 / np.sqrt(200) + 1 / np.log(100_000)
    assert perf.frozen_share(0.5 * perf.freezing_scale(1000, 2.0), 1000, 2.0) == 0


def test_an_endless_scale_leaves_a_guess_where_noise_is_loudest(dtype):
    """Half of the chance that the largest of 45 scores exceeds Q, and no nan on the way."""
    model = core(Q=2.5, W=1.5)
    for weighting in ("uniform", "optimal"):
        error = perf.known_prompt_error(KEY, model, 1e3, 1000, weighting)
        expected = 0.5 * (1 - (1 - float(exact_tail(2.5))) ** 45)
        assert abs(error.value - expected) < 4 * error.standard_error + 0.01 * expected


def test_long_context_formula_is_badly_wrong_beyond_freezing():
    model = core()
    long_context = perf.gradient_head_error(perf.long_context_snr(model, 3.0), 1.0)
    exact = perf.finite_sample_error(KEY, model, 3.0, 200, num_heads=200)
    assert long_context > 0.49
    assert exact.value < 0.12


# --- heads in closed form (X4, X5, X6) ----------------------------------------------------------

HEADS = [
    ("gradient", 0.0, 0.5),
    ("ridge", 0.1, 0.5),
    ("ridge", 0.1, 1.0),
    ("ridge", 1.0, 1.0),
    ("ridge", 0.05, 2.0),
    ("least squares", 0.0, 0.5),
    ("least squares", 0.0, 2.0),
    ("gradient", 0.0, 2.0),
]


def closed_form(method, snr, alpha, ridge):
    if method == "gradient":
        return perf.gradient_head_error(snr, alpha)
    if method == "ridge":
        return perf.ridge_error(snr, alpha, ridge)
    return perf.least_squares_error(snr, alpha)


@pytest.mark.parametrize(("method", "ridge", "alpha"), HEADS)
def test_heads_in_closed_form_match_real_tokens(method, ridge, alpha):
    """Mean pooling is the prompt scale 0, where the closed forms hold for any number of tokens."""
    model = core(d=101, T=10, zeta=0.2, W=2.0)
    snr = perf.long_context_snr(model, 0.0)
    seen = trials.known_prompt_trials(
        KEY, model, 0.0, round(alpha * 100), 30, method=method, ridge=ridge
    )
    expected = closed_form(method, snr, alpha, ridge)
    assert abs(seen.value - expected) < 4 * seen.standard_error + float(expected) * 2 / 100


@pytest.mark.parametrize(
    ("method", "ridge", "alpha"),
    [
        ("ridge", 0.05, 1.0),
        ("ridge", 1.0, 1.0),
        ("least squares", 0.0, 0.5),
        ("least squares", 0.0, 1.0),
    ],
)
def test_gap_of_closed_forms_shrinks(method, ridge, alpha):
    gaps = []
    for size, num_trials in [(4, 40_000), (12, 40_000), (36, 20_000)]:
        model = core(d=size + 1, T=4, zeta=0.25, W=3.0)
        snr = perf.long_context_snr(model, 0.0)
        seen = errors_on_means(model, round(alpha * size), num_trials, method, ridge, KEY)
        gaps.append(abs(float(seen.mean() - closed_form(method, snr, alpha, ridge))))
    assert gaps[0] > 1.4 * gaps[1] > 1.96 * gaps[2]


@partial(jax.jit, static_argnums=(1, 2, 3))
def errors_on_means(model, n, num_trials, method, ridge, key):
    """The error of a head on mean-pooled real tokens, exact given the head."""

    def one(key):
        train = trials.pool(model, model.sample(key, n), 0.0)
        penalty = ridge * model.noise_std**2 * train.spread[0]
        head = perf.fit_head(train.features, train.labels, method, penalty)
        std = jnp.sqrt((1 - model.sparsity) / model.num_tokens) * model.noise_std
        return 0.5 * jax.scipy.special.erfc(
            model.sparsity * head @ model.regressor / (std * jnp.linalg.norm(head)) / np.sqrt(2)
        )

    return jax.lax.map(one, jax.random.split(key, num_trials), batch_size=100)


@pytest.mark.parametrize("ridge", [0.01, 0.3, 3.0])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_ridge_agrees_with_the_eigenvalues_of_a_drawn_wishart_matrix(gamma, ridge, float64):
    """The factor m1 / sqrt(m2) is read off the formula's error by inverting the tail."""
    gaps = []
    for d in (30, 120, 480):
        n = round(d / gamma)
        x = np.random.default_rng(d).normal(size=(n, d))
        eigenvalues = np.linalg.eigvalsh(x.T @ x / n)
        m1, m2 = ((1 / (eigenvalues + ridge) ** k).mean() for k in (1, 2))
        s, log_error = 2.0, perf.ridge_error(2.0, 1 / gamma, ridge, log=True)
        margin = s / np.sqrt(1 + gamma / s**2) * m1 / np.sqrt(m2)
        gaps.append(abs(float(perf.gaussian_tail(margin, log=True) / log_error) - 1))
    assert gaps[2] < 4 / 480
    assert gaps[0] > gaps[2]


def test_closed_limits(float64):
    s = jnp.array([0.0, 0.5, 2.0, 6.0])
    for alpha in (0.3, 1.0, 1.7):
        np.testing.assert_allclose(
            perf.ridge_error(s, alpha, 0.0), perf.least_squares_error(s, alpha), rtol=1e-6
        )
        np.testing.assert_allclose(
            perf.ridge_error(s, alpha, 1e12), perf.gradient_head_error(s, alpha), rtol=1e-9
        )
    known = perf.gaussian_tail(s)
    for error in (perf.gradient_head_error, perf.least_squares_error, perf.bayes_error):
        np.testing.assert_allclose(error(s, jnp.inf), known, rtol=1e-12)
        np.testing.assert_allclose(error(s, 1e12), known, rtol=1e-8)
        np.testing.assert_allclose(error(s, 1e-12), 0.5, atol=1e-4)
    np.testing.assert_allclose(perf.ridge_error(s, jnp.inf, 0.7), known, rtol=1e-12)
    endless = perf.ridge_error(s, 0.3, jnp.inf)
    np.testing.assert_allclose(endless, perf.gradient_head_error(s, 0.3), rtol=1e-12)
    np.testing.assert_allclose(perf.least_squares_error(s, 1.0), 0.5, rtol=1e-12)
    near = perf.ridge_error(2.0, 1.0, jnp.array([1e-12, 1e-9, 1e-6]))
    assert (jnp.diff(near) < 0).all()  # no cancellation as the penalty vanishes at n = d
    np.testing.assert_allclose(near[0], 0.5, atol=2e-3)


def test_no_ridge_beats_one_gradient_step(float64):
    s, alpha, ridge = jnp.meshgrid(
        jnp.array([0.5, 2.0, 4.0]), jnp.array([0.3, 1.0, 3.0]), jnp.logspace(-3, 3, 13)
    )
    errors = perf.ridge_error(s, alpha, ridge)
    assert (jnp.diff(errors, axis=2) < 0).all()
    assert (errors > perf.bayes_error(s, alpha)).all()


@pytest.mark.parametrize("method", ["logistic", "max margin"])
def test_other_heads_do_not_beat_the_bayes_error(method):
    model = core(d=41, T=10, zeta=0.2, W=3.0)
    bound = perf.bayes_error(perf.long_context_snr(model, 0.0), 1.0)
    seen = trials.known_prompt_trials(KEY, model, 0.0, 40, 20, method=method, ridge=1e-2)
    assert seen.value > bound + 4 * seen.standard_error


@pytest.mark.parametrize(
    ("method", "ridge"), [("gradient", 0.0), ("ridge", 0.5), ("logistic", 1.0)]
)
def test_small_training_sets_are_the_beginning_of_the_largest(method, ridge):
    model, scales = core(d=6, T=5, zeta=0.2, W=2.0), jnp.array([0.0, 1.0])

    def first(contextual, key, n):
        return jax.tree.map(lambda part: part[:n], contextual.sample(key, 200))

    fit = {"method": method, "ridge": ridge, "num_test": 200, "draw": first}
    several = trials.known_prompt_trials(KEY, model, scales, [40, 8], 5, **fit)
    assert several.value.shape == several.standard_error.shape == (2, 2)
    assert (several.value[0] != several.value[1]).all()
    for i, n in enumerate([40, 8]):
        alone = trials.known_prompt_trials(KEY, model, scales, n, 5, **fit)
        for part, expected in zip(several, alone, strict=True):
            np.testing.assert_allclose(part[i], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("weighting", "method", "ridge"),
    [("optimal", "gradient", 0.0), ("uniform", "ridge", 0.3), ("optimal", "ridge", 0.3)],
)
def test_errors_of_a_training_set_by_hand(weighting, method, ridge):
    """The first half of a larger one, and always the same examples, to leave nothing to chance."""
    model, n, tau = core(d=12, T=10, zeta=0.2, W=1.0, sigma=2.0), 40, 1.5
    batch = model.sample(KEY, 4000)

    def fixed(contextual, key, count):
        return jax.tree.map(lambda part: part[-count:], batch)

    fit = {"weighting": weighting, "method": method, "ridge": ridge, "num_test": 4000}
    seen = trials.known_prompt_trials(KEY, model, tau, [2 * n, n], 2, draw=fixed, **fit)
    tokens, labels = (np.asarray(part, np.float64) for part in batch[:2])
    scores = np.exp(tau * tokens[:, :, 0])
    weights = scores / scores.sum(axis=1, keepdims=True)
    pooled = np.einsum("nt,ntd->nd", weights, tokens)
    train = slice(-2 * n, -n)
    relevant, noise = weights[train, :2], weights[train, 2:]
    v = (noise**2).sum(axis=1)
    x, y = pooled[train] * (np.arange(12) > 0), labels[train]  # q* is along the first axis
    if weighting == "optimal":
        x *= (relevant.sum(axis=1) / v)[:, None]
    head = x.T @ y
    if method == "ridge":
        head = np.linalg.solve(x.T @ x / n + ridge * 2.0**2 * v.mean() * np.eye(12), head)
    expected = (labels * (pooled @ head) <= 0).mean()
    np.testing.assert_allclose(seen.value[1], expected, rtol=0, atol=3e-4)  # one example


# --- heads -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def features():
    x_key, y_key = jax.random.split(jax.random.key(5))
    x = jax.random.normal(x_key, (30, 7)) + 0.5
    return x, jnp.sign(x @ jnp.arange(1.0, 8.0) + jax.random.normal(y_key, (30,)))


def test_heads_solve_their_problems(features):
    x, y = features
    np.testing.assert_allclose(perf.fit_head(x, y), (y[:, None] * x).mean(0), rtol=1e-5, atol=1e-6)
    losses = {
        "ridge": lambda w: jnp.mean((y - x @ w) ** 2) + 0.3 * w @ w,
        "least squares": lambda w: jnp.mean((y - x @ w) ** 2),
        "logistic": lambda w: jnp.mean(jnp.log1p(jnp.exp(-y * (x @ w)))) + 0.15 * w @ w,
    }
    for method, loss in losses.items():
        w = perf.fit_head(x, y, method, 0.3)
        np.testing.assert_allclose(jax.grad(loss)(w), 0, atol=3e-5)
    penalties = jnp.array([[0.01, 0.3, 40.0]])
    together = perf.fit_head(x, y, "ridge", penalties)
    for w, penalty in zip(together[0], penalties[0], strict=True):
        np.testing.assert_allclose(w, perf.fit_head(x, y, "ridge", penalty), rtol=2e-4, atol=2e-6)
    wide = x[:5]
    w = perf.fit_head(wide, y[:5], "least squares")
    np.testing.assert_allclose(wide @ w, y[:5], atol=1e-4)
    outside = np.linalg.svd(wide)[2][5:]
    np.testing.assert_allclose(outside @ w, 0, atol=1e-5)  # minimum norm


def test_max_margin_head_has_the_largest_margin(features):
    x, y = features
    wide, signs = x[:6], y[:6]
    w = np.asarray(perf.fit_head(wide, signs, "max margin"), np.float64)

    def margin(w):
        return (np.asarray(signs) * (np.asarray(wide) @ w)).min() / np.linalg.norm(w)

    assert margin(w) > 0
    rng = np.random.default_rng(0)
    for _ in range(500):
        assert margin(w + 0.02 * np.linalg.norm(w) * rng.normal(size=7)) <= margin(w) * (1 + 1e-3)


# --- the whole pipeline (G7) --------------------------------------------------------------------


def test_limit_of_the_learned_prompt_is_that_of_g2():
    model = core(W=2.0, zeta=0.2)
    law = learned_prompt(KEY, Invariants.of(model), 400.0, True, 3, False)
    expected = dynamics.limiting_prompt_alignment(model, 400)
    np.testing.assert_allclose(law.cosine**2, expected, rtol=1e-5)
    np.testing.assert_allclose(law.leak, 0, atol=1e-6)


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("d", [4, 5])
def test_the_learned_prompt_counts_its_directions(d, balanced):
    """Few dimensions, of which the two of context and regressor are a large part."""
    model = core(d=d, T=10, zeta=0.2, sigma=2.0)
    seen = dynamics.simulate(KEY, model, 200, 4000, balanced=balanced, num_test=0)
    law = learned_prompt(KEY, Invariants.of(model), 200.0, balanced, 40_000, True)
    drawn, expected = map(data.Estimate.of, (seen.prompt_alignment, law.cosine**2))
    assert abs(deviation(drawn, expected)) < 4


PIPELINES = [  # n, Q, W, beta, balanced; the dimension is 30
    (60, 2.0, 2.0, 2.0, True),
    (60, 2.5, 1.5, 1.0, True),
    (60, 2.0, 2.5, 0.5, True),
    (30, 2.5, 2.5, 1.5, True),
    (120, 1.5, 2.0, 1.5, True),
    (240, 2.0, 1.5, 3.0, True),
    (60, 2.0, 2.0, 1.0, False),
    (120, 1.5, 2.5, 2.0, False),
]


def trained(n, Q, W, beta, balanced, d=30, repeats=300, sigma=1.0):
    """The model, and the error after three steps on real tokens."""
    model = core(d=d, T=20, Q=Q, W=W, sigma=sigma)
    task = {"prompt_norm": beta, "balanced": balanced, "num_test": 500}
    return model, data.Estimate.of(dynamics.simulate(KEY, model, n, repeats, **task).error)


@pytest.mark.parametrize("setting", PIPELINES)
def test_learned_prompt_error_matches_training_on_real_tokens(setting):
    """What the finite-size law leaves out is smaller than what it keeps by a factor 1/sqrt(n)."""
    n, _, _, beta, balanced = setting
    model, seen = trained(*setting)
    limit, finite = (
        perf.learned_prompt_error(KEY, model, n, beta, balanced, finite_size=finite_size)
        for finite_size in (False, True)
    )
    standard_error = jnp.hypot(seen.standard_error, finite.standard_error)
    left_out = abs(finite.value - limit.value) / np.sqrt(n)
    assert abs(seen.value - finite.value) < 4 * standard_error + left_out
    assert abs(seen.value - limit.value) > 2 * abs(seen.value - finite.value)


def test_gap_of_the_learned_prompt_shrinks_as_n_and_d_grow():
    gaps = []
    large = core(d=30_000, T=20, Q=2.0, W=2.0)
    limit = perf.learned_prompt_error(KEY, large, 60_000, 2.0, finite_size=False)
    for n, repeats in [(20, 600), (60, 300), (180, 60)]:
        _, seen = trained(n, 2.0, 2.0, 2.0, True, d=n // 2, repeats=repeats)
        gaps.append(float(seen.value - limit.value))
    assert gaps[0] > 1.5 * gaps[1] > 2.25 * gaps[2]


def test_a_compiled_error_serves_every_dimension(caplog):
    """Compiling takes longer than running, and chapters ask in many dimensions."""

    def compiled(d):
        caplog.clear()
        with jax.log_compiles():
            perf.known_prompt_error(KEY, core(d), 0.5, 100, num_draws=7)
            perf.learned_prompt_error(KEY, core(d), 100, 0.5, num_draws=7)
        return {name for name in ("_known_prompt", "_learned") if f"jit({name})" in caplog.text}

    assert compiled(50) == {"_known_prompt", "_learned"}
    assert not compiled(60)


# --- the worth of context (X8) ------------------------------------------------------------------


def test_samples_for_mean_pooling_solve_x4_by_hand():
    model = core(d=51, T=50, zeta=0.2, W=2.0)
    s, z = float(perf.long_context_snr(model, 0.0)), 1.6448536
    n = perf.samples_for_error(model, 0.05, "mean pooling")
    np.testing.assert_allclose(n, 50 * z**2 / (s**2 * (s**2 - z**2)), rtol=1e-4)
    assert perf.samples_for_error(model, 1e-8, "mean pooling") == np.inf


@pytest.mark.parametrize(
    ("method", "W", "target"), [("known prompt", 0.8, 0.03), ("learned prompt", 1.2, 0.06)]
)
def test_that_many_samples_reach_the_target_on_real_tokens(method, W, target):
    model, tau = core(d=80, T=20, zeta=0.2, Q=2.0, W=W), 1.0
    n = perf.samples_for_error(
        model, target, method, key=KEY, prompt_scales=jnp.array([tau]), num_draws=50_000
    )
    n = 2 * round(n / 2)
    if method == "known prompt":
        seen = trials.known_prompt_trials(KEY, model, tau, n, 200)
    else:
        seen = dynamics.simulate(KEY, model, n, 200, prompt_norm=tau, balanced=True)
        seen = data.Estimate.of(seen.error)
    assert n > 10
    assert abs(seen.value - target) < 4 * seen.standard_error + target * 2 / n


def test_more_context_takes_fewer_samples():
    def worth(Q, method="known prompt", key=KEY):
        scales = {"prompt_scales": jnp.array([0.4, 0.6, 0.8, 1.0, 1.3]), "num_draws": 2000}
        return perf.samples_for_error(core(d=200, Q=Q, W=1.5), 0.05, method, key=key, **scales)

    assert worth(2.5) < worth(2.0) < worth(1.5) < worth(1.0, "mean pooling")
    assert worth(2.0) < worth(2.0, "learned prompt")
    np.testing.assert_allclose(worth(1.5, key=None), worth(1.5), rtol=0.3)


# --- twins, and noise that is not normal --------------------------------------------------------


def test_correlated_vectors_break_the_formula():
    """A twin: with correlation 1/2 relevant scores depend on the label."""
    model = core(d=60, W=1.5)
    correlated = data.core_model(
        dim=60, context_norm=2.0, regressor_norm=1.5, num_tokens=50, sparsity=0.1, correlation=0.5
    )
    seen = trials.known_prompt_trials(KEY, correlated, 1.0, 60, 50, num_test=500)
    formula = perf.known_prompt_error(KEY, model, 1.0, 60)
    assert abs(deviation(seen, formula)) > 8
    with pytest.raises(ValueError, match="Result X2 assumes a context orthogonal"):
        perf.known_prompt_error(KEY, correlated, 1.0, 60)


def test_noise_on_relevant_tokens_breaks_the_formula():
    """A twin: the formula counts no noise on them."""
    model = core(d=60)
    draw = trials.noisy_relevant_tokens
    seen = trials.known_prompt_trials(KEY, model, 1.0, 60, 50, draw=draw, num_test=300)
    formula = perf.known_prompt_error(KEY, model, 1.0, 60)
    assert seen.value > formula.value + 8 * jnp.hypot(seen.standard_error, formula.standard_error)


def test_shaped_noise_takes_the_crown_from_averaging():
    """A twin of X6: least squares learns which directions are quiet, the average does not."""
    model = core(d=41, T=10, zeta=0.2)
    widths = jnp.where(jnp.arange(41) % 2, 2.0, 0.25)
    shaped = dataclasses.replace(
        model, regressor=jnp.ones(41).at[0].set(0) / 4, noise_factor=jnp.diag(widths)
    )
    average, squares = (
        trials.known_prompt_trials(KEY, shaped, 0.0, 400, 20, method=method)
        for method in ("gradient", "least squares")
    )
    assert deviation(average, squares) > 8


def test_independent_labels_leave_the_law_of_balanced_ones():
    """A twin of G7: the mean label of a batch is of order 1/sqrt(n), and is not forgiven."""
    n, Q, W, beta, balanced = PIPELINES[-2]
    assert not balanced
    model, seen = trained(n, Q, W, beta, balanced)
    assert deviation(seen, perf.learned_prompt_error(KEY, model, n, beta)) > 8


def spread_out(model):
    """The same model with context and regressor spread over all coordinates."""
    d = model.dim
    signs = jnp.where(jnp.arange(d) % 2, 1.0, -1.0) / jnp.sqrt(d)
    return dataclasses.replace(
        model,
        context=model.context_norm * jnp.ones(d) / jnp.sqrt(d),
        regressor=model.regressor_norm * signs,
    )


@pytest.mark.parametrize("noise_law", [jax.random.rademacher, data.student_t8])
def test_noise_of_another_law_gives_the_same_error_if_the_context_is_spread_out(noise_law):
    """Up to a relative term of 8/d: the fourth cumulants of the scores are of order 1/d."""
    model, tau = core(d=60, T=20, zeta=0.2), 0.7
    other = dataclasses.replace(spread_out(model), noise_law=noise_law)
    seen = trials.known_prompt_trials(KEY, other, tau, 60, 60, num_test=200)
    formula = perf.known_prompt_error(KEY, model, tau, 60)
    finite_size = 8 / 60 * float(formula.value)
    standard_error = jnp.hypot(seen.standard_error, formula.standard_error)
    assert abs(seen.value - formula.value) < finite_size + 4 * standard_error
    along_an_axis = dataclasses.replace(model, noise_law=noise_law)
    twin = trials.known_prompt_trials(KEY, along_an_axis, 2 * tau, 60, 60, num_test=200)
    formula = perf.known_prompt_error(KEY, model, 2 * tau, 60)
    assert abs(deviation(twin, formula)) > 8


# --- input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: perf.gradient_head_error(-1.0, 1.0), "snr must be >= 0, got -1.0"),
        (lambda: perf.gradient_head_error(1.0, 0.0), "samples_per_dim must be > 0, got 0.0"),
        (lambda: perf.bayes_error(float("nan"), 1.0), "snr must be >= 0, got nan"),
        (lambda: perf.ridge_error(1.0, 1.0, -0.1), "ridge must be >= 0, got -0.1"),
        (lambda: perf.least_squares_error(1.0, -2.0), "samples_per_dim must be > 0, got -2.0"),
        (lambda: perf.freezing_scale(0), "num_irrelevant must be >= 1, got 0"),
        (lambda: perf.frozen_share(0.0, 9), "prompt_scale must be > 0, got 0.0"),
        (lambda: perf.freezing_scale(9, 0.0), "noise_std must be > 0, got 0.0"),
        (
            lambda: perf.long_context_snr(core(sigma=0.0), 1.0),
            "Result X3 needs noise on irrelevant tokens, got noise_std 0.0",
        ),
        (
            lambda: perf.pooled_moments(KEY, core(), 1.0, 0),
            "num_draws must be a whole number >= 1, got 0",
        ),
        (
            lambda: perf.known_prompt_error(KEY, core(), 1.0, 0),
            "num_examples must be > 0, got 0",
        ),
        (
            lambda: perf.known_prompt_error(KEY, core(), 1.0, 9, "best"),
            "weighting must be 'uniform' or 'optimal', got 'best'",
        ),
        (
            lambda: perf.finite_sample_error(KEY, core(), 1.0, 0),
            "num_examples must be a whole number >= 1, got 0",
        ),
        (
            lambda: perf.known_prompt_error(KEY, core(nuisance=((1.0, 0.0),)), 1.0, 9),
            "Result X2 assumes the core dataset",
        ),
        (
            lambda: perf.known_prompt_error(KEY, core(noise_law=data.student_t8), 1.0, 9),
            "Result X2 assumes Gaussian noise",
        ),
        (
            lambda: perf.learned_prompt_error(KEY, core(positive_rate=0.3), 9, 1.0),
            "Result G7 assumes labels of equal chance",
        ),
        (lambda: perf.learned_prompt_error(KEY, core(d=3), 9, 1.0), "G7 needs dim >= 4, got 3"),
        (
            lambda: perf.learned_prompt_error(KEY, core(), 9, 0.0),
            "prompt_norm must be > 0, got 0.0",
        ),
        (lambda: perf.samples_for_error(core(), 0.5), "target must lie in (0, 1/2), got 0.5"),
        (
            lambda: perf.samples_for_error(core(), 0.1, "max pooling"),
            "method must be one of mean pooling, known prompt, learned prompt, got 'max pooling'",
        ),
        (
            lambda: perf.samples_for_error(core(), 0.1, "learned prompt"),
            "method 'learned prompt' needs a key",
        ),
        (
            lambda: perf.samples_for_error(core(Q=4.0), 0.1),
            "below the freezing scale 1.38, but the best prompt scale is 2",
        ),
        (
            lambda: perf.fit_head(jnp.ones((2, 2)), jnp.ones(2), "lasso"),
            "method must be one of gradient, ridge, least squares, logistic, max margin",
        ),
        (
            lambda: perf.fit_head(jnp.ones((2, 2)), jnp.ones(2), "ridge", -1.0),
            "ridge must be finite and >= 0, got -1.0",
        ),
        (
            lambda: perf.fit_head(jnp.ones((2, 2)), jnp.ones(2), "ridge", jnp.array([1.0, -2.0])),
            "ridge must be finite and >= 0, got [ 1. -2.]",
        ),
        (
            lambda: perf.fit_head(jnp.ones((2, 2)), jnp.ones(2), "gradient", jnp.ones(2)),
            "only the method \"ridge\" takes several penalties, got 'gradient'",
        ),
        (
            lambda: perf.fit_head(jnp.ones((2, 2)), jnp.array([0.0, 1.0])),
            "labels must be +1 or -1, got [0. 1.]",
        ),
        (
            lambda: perf.fit_head(jnp.ones((2, 2)), jnp.array([-1.0, 1.0]), "max margin"),
            "a max margin head needs separable features",
        ),
        (
            lambda: trials.known_prompt_trials(KEY, core(), 1.0, [], 2),
            "num_examples must be a size or several, got none",
        ),
        (
            lambda: trials.known_prompt_trials(KEY, core(), 1.0, 9, 1),
            "num_trials must be a whole number >= 2, got 1",
        ),
        (
            lambda: trials.known_prompt_trials(KEY, core(), 1.0, [9, 0], 2),
            "num_examples must be a whole number >= 1, got 0",
        ),
        (
            lambda: trials.known_prompt_trials(KEY, core(), 1.0, 9, 2, weighting="best"),
            "weighting must be 'uniform' or 'optimal', got 'best'",
        ),
        (
            lambda: perf.fit_head(jnp.ones((2, 2)), jnp.ones(2), "logistic"),
            "a logistic head needs ridge > 0, got 0.0",
        ),
    ],
)
def test_bad_input_is_refused_with_its_name(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_formulas_work_in_both_precisions_and_under_jit(dtype):
    error = jax.jit(perf.ridge_error)(1.5, 2.0, 0.1)
    assert error.dtype == dtype
    np.testing.assert_allclose(error, perf.ridge_error(1.5, 2.0, 0.1), rtol=1e-6)
    assert perf.gaussian_tail(1).dtype == dtype
    assert perf.long_context_snr(core(), jnp.zeros((2, 3), dtype)).shape == (2, 3)


def test_monte_carlo_formulas_work_in_double_precision(float64):
    model = core(d=10, T=10)
    assert perf.known_prompt_error(KEY, model, 1.0, 20, num_draws=50).value.dtype == float
    assert perf.learned_prompt_error(KEY, model, 20, 1.0, num_draws=50).value.dtype == float
