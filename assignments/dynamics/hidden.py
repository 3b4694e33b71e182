"""Hidden cases of assignment 3. Formulas are evaluated by routes of their own."""

import numpy as np
from scipy import integrate

from coursework import case, close, holds


def _sizes(rng):
    """n, d, T and zeta, with zeta T whole."""
    T = int(rng.integers(8, 60))
    d = int(rng.integers(500, 1500))
    return int(d * rng.uniform(0.3, 3)), d, T, int(rng.integers(1, T // 3)) / T


def _first_head(n, d, T, zeta, W, sigma, eta, flip):
    """cos^2 by the mean and the total variance of flipped y xbar."""
    k = round(zeta * T)
    mean = zeta * W * ((1 - flip) - flip)
    variance = (k * eta**2 + (T - k) * sigma**2) / T**2 / n
    return 1 / (1 + d * variance / mean**2)


@case("first_head_alignment", "first_head_alignment", points=2, hint="noise on relevant tokens")
def noisy_first_head(rng):
    calls = [(*_sizes(rng), *rng.uniform(0.5, 2, size=3).tolist(), 0.0) for _ in range(4)]
    return calls, close(*[_first_head(*call) for call in calls], rtol=1e-2, atol=3e-3)


@case("first_head_alignment", "first_head_alignment", points=3, hint="what a flip does to the mean")
def flipped_first_head(rng):
    calls = [
        (*_sizes(rng), *rng.uniform(0.5, 2, size=3).tolist(), float(rng.uniform(0.05, 0.45)))
        for _ in range(4)
    ]
    return calls, close(*[_first_head(*call) for call in calls], rtol=1e-2, atol=3e-3)


def _prompt(n, d, T, zeta, Q, W, sigma, eta):
    """cos^2 from the covariance of the centred scores, token by token."""
    k = round(zeta * T)
    variances = np.where(np.arange(T) < k, eta, sigma) ** 2
    b = zeta * W**2
    length = zeta**2 * W**2 + d * variances.sum() / (T**2 * n)
    centre = np.eye(T) - 1 / T
    means = centre @ np.where(np.arange(T) < k, b, 0.0)
    scatter = means**2 + length * np.diag(centre @ np.diag(variances) @ centre)
    noise = d / n * (variances @ scatter) / T**2
    signal = (k / T) * (1 - k / T) * b * Q
    return 1 / (1 + noise / signal**2)


@case(
    "noisy_prompt_alignment",
    "noisy_prompt_alignment",
    points=5,
    hint="relevant tokens differ from the mean by (1 - zeta), irrelevant ones by zeta",
)
def noisy_relevant(rng):
    calls = [(*_sizes(rng), *rng.uniform(0.7, 2.5, size=4).tolist()) for _ in range(5)]
    return calls, close(*[_prompt(*call) for call in calls], rtol=1e-2, atol=1e-3)


@case("noisy_prompt_alignment", "noisy_prompt_alignment", points=3, hint="terms in 1/T at small T")
def noisy_relevant_few_tokens(rng):
    calls = []
    for _ in range(4):
        n, d, _, _ = _sizes(rng)
        T = int(rng.integers(3, 6))
        calls.append((n, d, T, 1 / T, *rng.uniform(0.7, 2.5, size=4).tolist()))
    return calls, close(*[_prompt(*call) for call in calls], rtol=1e-2, atol=1e-3)


def _population(pi, T, zeta, Q, W, sigma, centred):
    """By the exact moments of D1 for each label, in the plane of context and regressor."""
    mu, w, q = 2 * pi - 1, np.zeros(2), np.zeros(2)
    labels = [(pi, 1.0), (1 - pi, -1.0)]
    for p, y in labels:
        w += p * (y - mu * centred) * zeta * np.array([Q, y * W])
    for p, y in labels:
        r = np.array([Q, y * W])
        C = zeta * (1 - zeta) * np.outer(r, r) + (1 - zeta) * (1 - 1 / T) * sigma**2 * np.eye(2)
        q += p * (y - mu * centred) * C @ w
    return q


def _unbalanced(rng, centred):
    calls = []
    for _ in range(4):
        T = int(rng.integers(4, 40))
        numbers = rng.uniform(0.5, 2, size=3).tolist()
        pi = float(rng.choice([rng.uniform(0.05, 0.35), rng.uniform(0.65, 0.95)]))
        calls.append((pi, T, int(rng.integers(1, T // 2)) / T, *numbers, centred))
    return calls, close(*[_population(*call) for call in calls], rtol=1e-3)


@case("population_prompt", "population_prompt", points=4, hint="a, b, and what noise adds to both")
def unbalanced(rng):
    return _unbalanced(rng, False)


@case("population_prompt", "population_prompt", points=2, hint="E (y - mu) y = 1 - mu^2, twice")
def unbalanced_and_centred(rng):
    return _unbalanced(rng, True)


def _coloured(n, T, zeta, context, regressor, variances):
    """By matrices: the noise of w1 and the mean of Chat w1, with Sigma as it stands."""
    Sigma = np.diag(variances)
    rate = (1 - zeta) / (T * n)
    W2 = np.linalg.norm(regressor) ** 2
    second = zeta**2 * np.outer(regressor, regressor) + rate * Sigma  # E w1 w1'
    head = zeta**2 * W2 / np.trace(second)
    b = zeta * W2
    noise = (
        rate * np.trace(Sigma) * (zeta**2 * b**2 + (1 - (1 + zeta) / T) * np.trace(Sigma @ second))
    )
    turn = (zeta * (1 - zeta) * b * np.linalg.norm(context)) ** 2
    return np.array([head, turn / (turn + noise)])


def _colours(rng, d, spectrum):
    u, v = np.linalg.qr(rng.normal(size=(d, 2)))[0].T
    Q, W = rng.uniform(1, 3, size=2)
    T = int(rng.integers(8, 40))
    return (
        int(d * rng.uniform(0.3, 2)),
        T,
        int(rng.integers(1, T // 3)) / T,
        Q * u,
        W * v,
        spectrum,
    )


@case("coloured_alignments", "coloured_alignments", points=3, hint="which traces of Sigma enter?")
def uneven_spectrum(rng):
    calls = [_colours(rng, 800, rng.exponential(size=800)) for _ in range(3)]
    return calls, close(*[_coloured(*call) for call in calls], rtol=2e-2)


@case("coloured_alignments", "coloured_alignments", points=3, hint="noise along the regressor")
def loud_regressor(rng):
    calls = []
    for _ in range(3):
        n, T, zeta, q, w, _ = _colours(rng, 600, None)
        w = np.where(np.arange(600) < 60, 1.0, 0.0) * rng.choice([-1, 1], size=600)
        q = np.where(np.arange(600) >= 60, 1.0, 0.0) * rng.choice([-1, 1], size=600)
        w, q = 2 * w / np.linalg.norm(w), 2 * q / np.linalg.norm(q)
        loud = np.where(np.arange(600) < 60, rng.uniform(4, 7), rng.uniform(0.3, 0.6))
        calls.append((3 * n, T, zeta, q, w, loud))
    return calls, close(*[_coloured(*call) for call in calls], rtol=2e-2)


@case("innocent_nuisance", "innocent_nuisance", points=6, hint="E of a product is not the product")
def innocent(rng):
    sparsities = [int(k) / 20 for k in rng.integers(1, 15, size=3)]

    def turns_away(law, zeta):
        law = law.astype(float)
        if law.ndim != 2 or law.shape[1] != 3 or not np.isfinite(law).all():
            return False
        dq, dw, p = law.T
        fine = p.min() >= 0 and dq.min() >= 0 and np.abs(law[:, :2]).max() <= 20
        if not (fine and np.isclose(p.sum(), 1, atol=1e-5) and abs(p @ dw) < 1e-4):
            return False
        w, q = np.zeros(2), np.zeros(2)
        examples = [(y, *row) for y in (1.0, -1.0) for row in law]
        for y, a, b, chance in examples:
            w += y * chance / 2 * (zeta * np.array([1, y]) - (1 - zeta) * np.array([a, b * y]))
        for y, a, b, chance in examples:
            gap = np.array([1 + a, y * (1 + b)])
            q += y * chance / 2 * zeta * (1 - zeta) * gap * (gap @ w)
        return q[0] < -1e-6 * zeta**2  # beyond rounding, for any law that turns it

    return [(zeta,) for zeta in sparsities], holds(
        lambda *laws: all(turns_away(law, z) for law, z in zip(laws, sparsities, strict=True))
    )


def _saving_speed(b0, zeta, dw, Q, W):
    """The kept quantity, integrated: b^2 / (2 W^2) changes by the integral of B / B' over c."""
    k = zeta / (1 - zeta)

    def slope(c):
        M = 1 / (1 + np.exp(-c) / k)
        return (M - (1 - M) * dw) / ((1 + dw) * M * (1 - M))

    fall, _ = integrate.quad(slope, 0.0, np.log(dw / k))
    return 2 * (W / Q) ** 2 * -fall / b0**2


@case("saving_speed", "saving_speed", points=3, hint="which quantity is kept at two speeds?")
def unit_vectors(rng):
    calls = []
    for _ in range(4):
        zeta = float(rng.uniform(0.1, 0.4))
        dw = float(zeta / (1 - zeta) * rng.uniform(1.5, 6))
        calls.append((float(rng.uniform(0.3, 3)), zeta, dw, 1.0, 1.0))
    return calls, close(*[_saving_speed(*call) for call in calls], rtol=1e-3)


@case("saving_speed", "saving_speed", points=3, hint="lengths of context and regressor")
def other_norms(rng):
    calls = []
    for _ in range(4):
        zeta = float(rng.uniform(0.1, 0.4))
        dw = float(zeta / (1 - zeta) * rng.uniform(1.5, 6))
        norms = rng.uniform(0.5, 3, size=2).tolist()
        calls.append((float(rng.uniform(0.3, 3)), zeta, dw, *norms))
    return calls, close(*[_saving_speed(*call) for call in calls], rtol=1e-3)
