"""Hidden cases of assignment 2. Witnesses are judged by their property, on every example."""

import numpy as np

from coursework import case, close, holds

ANGLES = np.linspace(0, 2 * np.pi, 100_001)
CIRCLE = np.stack([np.cos(ANGLES), np.sin(ANGLES)])


def _least_error(zeta, delta, p, opposed, rate, positive):
    """By search: f depends on (w, q) through the term of r for each label, up to a scale."""
    terms = dict(zip((1, -1), CIRCLE, strict=True))
    error = 0.0
    for y, share in ((1, positive), (-1, 1 - positive)):
        crowd = (-delta) ** (p + 1) * terms[-y if opposed else y]
        adversary = zeta * terms[y] + (1 - zeta) * crowd
        wrong = np.where(y * terms[y] > 0, 0, 1 - rate) + np.where(y * adversary > 0, 0, rate)
        error = error + share * wrong
    return error.min()


def _polynomial(rng, degrees, opposed):
    calls = []
    for p in degrees:
        zeta, rate, positive = (float(x) for x in rng.uniform(0.15, 0.85, size=3))
        threshold = (zeta / (1 - zeta)) ** (1 / (p + 1))
        for factor in rng.uniform([0.8, 1.05], [0.95, 1.2]):
            calls.append((zeta, float(factor * threshold), p, opposed, rate, positive))
    return calls, close(*[_least_error(*call) for call in calls], rtol=1e-3)


@case("least_error", "least_error", points=3, hint="aligned examples: which degrees see the flip?")
def aligned_crowd(rng):
    return _polynomial(rng, (0, 1, 2, 3, 4, 7), False)


@case("least_error", "least_error", points=3, hint="opposed examples: the threshold of each degree")
def opposed_crowd(rng):
    return _polynomial(rng, (0, 1, 2, 3, 5, 6), True)


@case("least_error", "least_error", points=2, hint="which examples are given up, and how rare?")
def rare_examples(rng):
    calls = [
        (float(rng.uniform(0.2, 0.4)), 3.0, p, opposed, rate, positive)
        for p, opposed in ((1, True), (2, False))
        for rate, positive in ((0.9, 0.4), (0.3, 0.8), (0.6, 0.1))
    ]
    return calls, close(*[_least_error(*call) for call in calls], rtol=1e-3)


@case("three_of_four", "three_of_four", points=4, hint="count the margins y f > 0 of four examples")
def three(rng):
    calls = []
    for _ in range(5):
        zeta = float(rng.uniform(0.1, 0.8))
        calls.append((zeta, float(zeta / (1 - zeta) * rng.uniform(1.05, 8))))

    def right(found, zeta, delta):
        a, b, bias = found
        factors = (zeta, zeta - (1 - zeta) * delta)
        margins = [y * (m * (a + y * b) + bias) for y in (1, -1) for m in factors]
        scale = np.abs(found).max()
        return np.isfinite(found).all() and sum(m > 1e-6 * scale for m in margins) == 3

    return calls, holds(
        lambda *found: all(
            f.shape == (3,) and right(f.astype(float), *call)
            for f, call in zip(found, calls, strict=True)
        )
    )


def _softmax(scores):
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def _escapes(found, zeta, dq, dw):
    """Whether self-attention has no error on core examples and on those of the nuisance."""
    if found.shape != (3, 2) or not np.abs(found).max() < 1e6:
        return False
    v, W = found[0].astype(float), found[1:].astype(float)
    shares = np.array([zeta, 1 - zeta])
    for y in (1.0, -1.0):
        for q, w in ((0.0, 0.0), (dq, dw)):
            X = np.array([[1.0, y], [-q, -w * y]])
            weights = sum(
                s * _softmax(X @ W @ x + np.log(shares)) for s, x in zip(shares, X, strict=True)
            )
            if not y * (weights @ X @ v) > 1e-6 * np.abs(v).max():
                return False
    return True


def _bent(rng, low, high, excess):
    calls = []
    for sign in (1, -1):
        zeta = float(rng.uniform(0.1, 0.6))
        strength = float(rng.uniform(low, high) / min(zeta, 1 - zeta))
        other = strength + sign * excess * strength
        calls += [(zeta, strength, float(other)), (zeta, float(other), strength)]
    return calls, holds(
        lambda *found: all(_escapes(f, *call) for f, call in zip(found, calls, strict=True))
    )


@case("escape", "escape", points=4, hint="all tokens of both labels must prefer r, when they ask")
def clearly_bent(rng):
    return _bent(rng, 2, 3, 0.5)


@case("escape", "escape", points=4, hint="delta_q and delta_w may differ by little, either way")
def slightly_bent(rng):
    return _bent(rng, 2, 6, 0.02)


def _margin_rows(c, e, zeta, nuisance):
    """Pooled tokens times y of all examples: their products with the head are the margins."""
    rows = []
    for y in (1.0, -1.0):
        for dq, dw in nuisance:
            X = np.array([[1.0, y], [-dq, -dw * y]])
            rows.append(y * _softmax(X @ [c, e] + np.log([zeta, 1 - zeta])) @ X)
    return np.array(rows)


def _head_exists(c, e, zeta, nuisance):
    """By search over all directions of the head."""
    return (_margin_rows(c, e, zeta, nuisance) @ CIRCLE).min(axis=0).max() > 0


def _judge_heads(calls):
    def right(head, call):
        head = head.astype(float)
        if head.shape != (2,) or not np.isfinite(head).all():
            return False
        if not _head_exists(*call):
            return not head.any()
        return (_margin_rows(*call) @ head > 0).all()

    return holds(lambda *heads: all(right(h, call) for h, call in zip(heads, calls, strict=True)))


def _room(c, e, zeta, nuisance):
    """By how much the widest gap between the rows exceeds a half turn: > 0 if a head exists."""
    x, y = _margin_rows(c, e, zeta, nuisance).T
    angles = np.sort(np.arctan2(y, x))
    return np.diff(np.append(angles, angles[0] + 2 * np.pi)).max() - np.pi


def _leaky(rng, scale, top):
    """Calls that clearly have a head, but not along the regressor, and calls that have none."""
    found = {True: [], False: []}
    while len(found[True]) < 3 or len(found[False]) < 2:
        c, e = scale * rng.uniform([0.2, 0.2], [1, 1]) * [1, rng.choice([-1, 1])]
        nuisance = rng.uniform([0, -top], [top, top], size=(3, 2)).round(2)
        call = (float(c), float(e), float(rng.uniform(0.1, 0.7)), nuisance)
        room, along = _room(*call), _margin_rows(*call)[:, 1].min()
        if abs(room) > 0.1 and (room < 0 or along < -0.02):
            found[bool(room > 0)].append(call)
    return found[True][:3] + found[False][:2]


@case("head_for", "head_for", points=4, hint="when do half-planes have a common point?")
def weak_leaks(rng):
    calls = _leaky(rng, 1.0, 2.0)
    return calls, _judge_heads(calls)


@case("head_for", "head_for", points=2, hint="strong prompts that leak")
def strong_leaks(rng):
    calls = _leaky(rng, 3.0, 4.0)
    return calls, _judge_heads(calls)


@case("head_for", "head_for", points=2, hint="scores of several hundred")
def long_leaky_prompts(rng):
    far, leak = float(rng.uniform(800, 900)), float(rng.uniform(10, 50))
    strong, joint = np.array([[0.0, 3.0], [2.0, 1.0]]), np.array([[0.0, 0.0], [5.0, 5.0]])
    calls = [(far, leak, 0.3, strong), (far, -leak, 0.2, joint), (-far, leak, 0.3, strong)]

    def right(*heads):
        heads = [h.astype(float) for h in heads]
        good = all(
            h.shape == (2,) and (_margin_rows(*call) @ h > 0).all()
            for h, call in zip(heads, calls, strict=True)
        )
        return good

    return calls, holds(right)


@case("unbiased_pair", "unbiased_pair", points=6, hint="three dimensions are enough, two are not")
def without_bias(rng):
    calls = []
    for d, rho in ((3, 0.7), (3, -0.4), (7, 0.2), (5, -0.8)):
        u, v = np.linalg.qr(rng.normal(size=(d, 2)))[0].T
        size = rng.uniform(0.5, 3, size=2)
        calls.append((size[0] * u, size[1] * (rho * u + np.sqrt(1 - rho**2) * v)))

    def cosine(x, y):
        return x @ y / (np.linalg.norm(x) * np.linalg.norm(y))

    def right(pair, q_star, w_star):
        if pair.shape != (2, len(q_star)) or not np.isfinite(pair).all():
            return False
        w, q = pair.astype(float)
        blind = [cosine(w, q_star), cosine(q, w_star), cosine(w, q)]
        return (
            np.allclose(blind, 0, atol=1e-4) and min(cosine(w, w_star), cosine(q, q_star)) >= 0.0499
        )

    return calls, holds(
        lambda *pairs: all(right(pair, *call) for pair, call in zip(pairs, calls, strict=True))
    )


def _best_prompt(q_star, w_star, cov, dq):
    """By the conditions of a constrained maximum, solved as one linear system."""
    d = len(q_star)
    system = np.block([[cov, w_star[:, None]], [w_star[None], np.zeros((1, 1))]])
    return np.linalg.solve(system, np.append((1 + dq) * q_star, 0.0))[:d]


@case("best_prompt", "best_prompt", points=2, hint="noise with different widths along the axes")
def diagonal_noise(rng):
    calls = []
    for d in (4, 6):
        cov = np.diag(rng.uniform(0.5, 4, size=d))
        calls.append((rng.normal(size=d), rng.normal(size=d), cov, float(rng.uniform(0, 2))))
    return calls, close(*[_best_prompt(*call) for call in calls], rtol=2e-3, atol=2e-3)


@case("best_prompt", "best_prompt", points=2, hint="noise that is correlated across coordinates")
def correlated_noise(rng):
    calls = []
    for d in (3, 5):
        F = rng.normal(size=(d, d))
        cov = F @ F.T / d + 0.3 * np.eye(d)
        calls.append((rng.normal(size=d), rng.normal(size=d), cov, float(rng.uniform(0, 2))))
    return calls, close(*[_best_prompt(*call) for call in calls], rtol=2e-3, atol=2e-3)
