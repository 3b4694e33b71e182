"""Hidden cases of assignment 4. Formulas are evaluated by routes of their own."""

import math

import numpy as np
from scipy.special import logsumexp, ndtr

from coursework import case, close, holds


def _sign_moments(T, k, Q, sigma, tau):
    """(log probability, m, v) for each number of positive signs, in logarithms throughout."""
    N = T - k
    rows = []
    for up in range(N + 1):
        log_p = math.lgamma(N + 1) - math.lgamma(up + 1) - math.lgamma(N - up + 1) - N * math.log(2)
        few = math.log(k) + tau * Q
        noise = np.append(np.full(up, tau * sigma), np.full(N - up, -tau * sigma))
        total = logsumexp(np.append(noise, few))
        rows.append((log_p, few - total, logsumexp(2 * noise) - 2 * total))
    return np.array(rows).T


def _sign_error(T, zeta, Q, W, sigma, gamma, train, test):
    k = round(zeta * T)
    log_p, log_m, log_v = _sign_moments(T, k, Q, sigma, train)
    p = np.exp(log_p)
    signal, noise = p @ np.exp(log_m) * W / sigma, gamma * (p @ np.exp(log_v))
    log_p, log_m, log_v = _sign_moments(T, k, Q, sigma, test)
    margin = np.exp(np.minimum(log_m - log_v / 2, 300)) * W / sigma
    return p @ ndtr(-margin / math.sqrt(1 + noise / signal**2))


def _sign_calls(rng, scales):
    calls = []
    for train, test in scales:
        T = int(rng.integers(6, 40))
        zeta = int(rng.integers(1, max(2, T // 5))) / T
        norms = rng.uniform([0.5, 0.5, 0.7], [2.5, 1.5, 1.3]).tolist()
        calls.append((T, zeta, *norms, float(rng.uniform(0.1, 2)), train, test))
    return calls, close(*[_sign_error(*call) for call in calls], rtol=2e-3, atol=1e-6)


@case("sign_noise_error", "sign_noise_error", points=4, hint="a binomial number of positive signs")
def signs_at_one_scale(rng):
    return _sign_calls(rng, [(t, t) for t in rng.uniform(0.3, 3, size=5).tolist()])


@case("sign_noise_error", "sign_noise_error", points=3, hint="which averages belong to the head?")
def signs_at_two_scales(rng):
    return _sign_calls(rng, rng.uniform(0, 3, size=(5, 2)).tolist())


@case("sign_noise_error", "sign_noise_error", points=2, hint="very long prompts")
def signs_at_large_scales(rng):
    calls = []
    for Q in (0.6, 1.8):
        T = int(rng.integers(5, 9))
        calls.append((T, 1 / T, Q, 1.0, 1.0, float(rng.uniform(0.2, 1)), 500.0, 500.0))
    return calls, close(*[_sign_error(*call) for call in calls], rtol=2e-3, atol=1e-6)


def _log_noisy_snr(T, zeta, Q, W, sigma, eta, tau):
    """Log s by the moments E e^{a g} = e^{a^2 / 2} of one token of each kind."""
    mean_few = tau * Q + (tau * eta) ** 2 / 2
    square_few = 2 * tau * Q + (2 * tau * eta) ** 2 / 2
    square_crowd = (2 * tau * sigma) ** 2 / 2
    with np.errstate(divide="ignore"):
        noise = np.logaddexp(
            np.log(zeta * eta**2) + square_few, np.log((1 - zeta) * sigma**2) + square_crowd
        )
    return np.log(zeta * W) + 0.5 * np.log(T) + mean_few - noise / 2


@case("noisy_snr", "noisy_snr", points=5, hint="weights of relevant tokens fluctuate, too")
def noisy_ratio(rng):
    calls = []
    for _ in range(6):
        zeta, Q, W = rng.uniform([0.05, 0.8, 0.5], [0.4, 2, 2]).tolist()
        sigma, eta = rng.uniform(0.6, 1.3, size=2).tolist()
        calls.append(
            (int(rng.integers(50, 900)), zeta, Q, W, sigma, eta, float(rng.uniform(0.2, 1.5)))
        )
    return calls, close(*[np.exp(_log_noisy_snr(*call)) for call in calls], rtol=1e-3)


def _is_best(tau, zeta, Q, sigma, eta):
    taus = np.linspace(0, 12 * Q / min(sigma, 1) ** 2, 200_001)
    best = _log_noisy_snr(1, zeta, Q, 1.0, sigma, eta, taus).max()
    if tau.shape not in ((), (1,)) or tau.size != 1 or not float(tau) >= 0:
        return False
    return tau.shape == () and _log_noisy_snr(1, zeta, Q, 1.0, sigma, eta, float(tau)) > best - 1e-6


def _scales(rng, low, high):
    calls = []
    for _ in range(5):
        zeta, Q, sigma = rng.uniform([0.02, 0.5, 0.6], [0.5, 2.5, 1.4]).tolist()
        calls.append((zeta, Q, sigma, float(sigma * rng.uniform(low, high))))
    return calls, holds(
        lambda *taus: all(_is_best(tau, *call) for tau, call in zip(taus, calls, strict=True))
    )


@case(
    "best_scale", "best_scale", points=3, hint="noise on relevant tokens, below that of the crowd"
)
def quieter_relevant_tokens(rng):
    return _scales(rng, 0.1, 0.9)


@case(
    "best_scale", "best_scale", points=2, hint="noise on relevant tokens, above that of the crowd"
)
def louder_relevant_tokens(rng):
    return _scales(rng, 1.1, 2.5)


def _several(T, zeta, Q, W, sigma, tau, c):
    """By a loop over pairs of prompts."""
    crowd = 1 - sum(zeta)
    shares, signal = [], 0.0
    for row, weight in zip(tau, c, strict=True):
        few = sum(z * math.exp(t * norm) for z, t, norm in zip(zeta, row, Q, strict=True))
        total = few + crowd * math.exp(sigma**2 * (row @ row) / 2)
        shares.append(weight / total)
        signal += weight * few / total
    variance = 0.0
    for row, share in zip(tau, shares, strict=True):
        for other, its_share in zip(tau, shares, strict=True):
            both = row + other
            variance += share * its_share * math.exp(sigma**2 * (both @ both) / 2)
    return abs(signal) * W / math.sqrt(sigma**2 * crowd / T * variance)


def _prompts(rng, sizes):
    calls = []
    for m in sizes:
        zeta, Q = rng.uniform(0.03, 0.2, size=2), rng.uniform(0.5, 2, size=2)
        W, sigma = rng.uniform(0.6, 1.5, size=2).tolist()
        tau, c = rng.uniform(-0.3, 1.2, size=(m, 2)), rng.uniform(0.3, 1, size=m)
        calls.append((int(rng.integers(100, 900)), zeta, Q, W, sigma, tau, c))
    return calls, close(*[_several(*call) for call in calls], rtol=1e-3)


@case("several_prompts_snr", "several_prompts_snr", points=3, hint="one prompt and two contexts")
def one_prompt(rng):
    return _prompts(rng, (1, 1, 1))


@case(
    "several_prompts_snr",
    "several_prompts_snr",
    points=6,
    hint="prompts weigh the same noise tokens, and each softmax has a total of its own",
)
def more_prompts(rng):
    return _prompts(rng, (2, 2, 3, 4))


def _three(s, gamma, pi, coverage):
    """By sums over a fine grid of the Gaussian margin."""
    margin = s / math.sqrt(1 + gamma / s**2)
    z = np.linspace(-margin - 9, margin + 9, 400_001)
    step = z[1] - z[0]

    def density(mean):
        return np.exp(-((z - mean) ** 2) / 2) / math.sqrt(2 * math.pi)

    plus, minus = pi * density(margin), (1 - pi) * density(-margin)
    best = np.minimum(plus, minus).sum() * step
    order = np.argsort(-np.abs(z), kind="stable")
    spoken = np.cumsum(density(margin)[order]) * step
    kept = order[: np.searchsorted(spoken, coverage) + 1]
    wrong = density(margin)[kept[z[kept] < 0]].sum() * step
    return np.array([ndtr(-margin), best, wrong / coverage])


@case(
    "three_errors", "three_errors", points=4, hint="unequal labels: the log-odds move the threshold"
)
def unequal_labels(rng):
    calls = [
        (float(rng.uniform(0.7, 2)), float(rng.uniform(0.1, 2)), float(pi), 0.6)
        for pi in (rng.uniform(0.05, 0.3), rng.uniform(0.7, 0.95), rng.uniform(0.3, 0.7))
    ]
    wanted = [_three(*call)[:2] for call in calls]
    return calls, holds(
        lambda *found: all(
            f.shape == (3,) and np.allclose(f[:2], w, rtol=3e-3, atol=1e-5)
            for f, w in zip(found, wanted, strict=True)
        )
    )


@case("three_errors", "three_errors", points=4, hint="silence: the error among those that are left")
def silence(rng):
    calls = [
        (float(rng.uniform(0.7, 2)), float(rng.uniform(0.1, 2)), 0.5, float(kappa))
        for kappa in rng.uniform([0.1, 0.4, 0.8], [0.3, 0.7, 0.95])
    ]
    wanted = [_three(*call)[2] for call in calls]
    return calls, holds(
        lambda *found: all(
            f.shape == (3,) and np.isclose(f[2], w, rtol=3e-3, atol=1e-5)
            for f, w in zip(found, wanted, strict=True)
        )
    )


@case(
    "same_averages",
    "same_averages",
    points=5,
    hint="the error is an average over the law of (m, v)",
)
def same_averages(rng):
    calls, ratios, gamma = [], [], 0.05
    for _ in range(4):
        m, v = float(rng.uniform(0.4, 0.7)), float(rng.uniform(0.005, 0.019))
        calls.append((m, v))
        ratios.append(2.6 * math.sqrt(v) / m)  # W / sigma

    def error(m, v, p, ratio):
        cosine = 1 / math.sqrt(1 + gamma * (p @ v) / ((p @ m) * ratio) ** 2)
        return p @ ndtr(-m / np.sqrt(v) * ratio * cosine)

    def far_off(law, averages, ratio):
        law = law.astype(float)
        if law.ndim != 2 or law.shape[1] != 3 or not np.isfinite(law).all():
            return False
        m, v, p = law.T
        fine = p.min() >= 0 and m.min() > 0 and m.max() <= 1 and v.min() > 0
        fine &= bool((v <= (1 - m) ** 2 * (1 + 1e-4)).all())
        if not fine or not np.allclose([p.sum(), p @ m, p @ v], [1, *averages], rtol=1e-3):
            return False
        plain = error(*(np.array([x]) for x in (*averages, 1.0)), ratio)
        return error(m, v, p, ratio) >= 5 * plain

    return calls, holds(
        lambda *laws: all(
            far_off(law, *case)
            for law, case in zip(laws, zip(calls, ratios, strict=True), strict=True)
        )
    )
