"""Hidden cases of assignment 1. Expected values come from other routes than the solutions."""

import numpy as np

from coursework import case, close, holds


def _whole(rng):
    """T and zeta, with zeta T whole."""
    T = int(rng.integers(10, 60))
    return T, int(rng.integers(1, T // 2)) / T


def _mean_variance(T, zeta, sigma, eta, c):
    """By the sum over all entries of the T x T covariance of one coordinate."""
    irrelevant = np.arange(T) >= round(zeta * T)
    cov = np.outer(irrelevant, irrelevant) * c * sigma**2
    np.fill_diagonal(cov, np.where(irrelevant, sigma, eta) ** 2)
    return cov.sum() / T**2


@case("mean_token_variance", "mean_token_variance", points=2, hint="no agreement, relevant noise")
def variance_relevant_noise(rng):
    calls = [(*_whole(rng), *rng.uniform(0.5, 2, size=2).tolist(), 0.0) for _ in range(4)]
    return calls, close(*[_mean_variance(*call) for call in calls])


@case(
    "mean_token_variance",
    "mean_token_variance",
    points=2,
    hint="count the pairs of different irrelevant tokens; correlation is in units of sigma^2",
)
def variance_agreement(rng):
    calls = [
        (*_whole(rng), *rng.uniform(0.5, 2, size=2).tolist(), float(rng.uniform(0.05, 0.9)))
        for _ in range(6)
    ]
    return calls, close(*[_mean_variance(*call) for call in calls])


def _coin_flips(r, u, cov, T, zeta):
    """By second moments of the tokens: Cov(x) = E[x x'] - E[x] E[x]', and xbar averages T of x."""
    second = zeta * np.outer(r, r) + (1 - zeta) * (np.outer(u, u) + cov)
    mean = zeta * r + (1 - zeta) * u
    second_of_mean = second / T + (1 - 1 / T) * np.outer(mean, mean)
    return np.stack([second_of_mean - np.outer(mean, mean), second - second_of_mean])


@case("coin_flip_moments", "coin_flip_moments", points=5, hint="the law of total covariance")
def coin_flips(rng):
    calls = []
    for d in (3, 5):
        r, u, F = rng.normal(size=d), rng.normal(size=d), rng.normal(size=(d, d))
        calls.append((r, u, F @ F.T, int(rng.integers(4, 30)), float(rng.uniform(0.1, 0.9))))
    return calls, close(*[_coin_flips(*call) for call in calls], rtol=1e-3, atol=1e-4)


def _is_law(law):
    if law.ndim != 2 or law.shape[0] != 2 or not np.isfinite(law).all():
        return False
    values, probs = law
    moments = np.array([probs.sum(), probs @ values, probs @ values**2])
    return probs.min() >= 0 and np.allclose(moments, [1, 0, 1], atol=1e-4)


def _wins(law, Q):
    """P(g >= Q), counting values that only rounding keeps below Q."""
    return law[1][law[0] >= Q * (1 - 1e-6)].sum()


@case("extreme_noise", "extreme_noise", points=3, hint="no value may reach Q, even for a small Q")
def kindest(rng):
    norms = [float(q) for q in (*rng.uniform(0.05, 0.4, size=2), rng.uniform(1, 4))]
    return [(Q, False) for Q in norms], holds(
        lambda *laws: all(
            _is_law(law) and _wins(law, Q) == 0 for law, Q in zip(laws, norms, strict=True)
        )
    )


@case("extreme_noise", "extreme_noise", points=3, hint="P(g >= Q) can be larger than yours")
def most_hostile(rng):
    norms = [float(q) for q in (*rng.uniform(0.1, 0.5, size=2), *rng.uniform(1, 4, size=2))]
    return [(Q, True) for Q in norms], holds(
        lambda *laws: all(
            _is_law(law) and _wins(law, Q) > (1 - 1e-4) / (1 + Q**2)
            for law, Q in zip(laws, norms, strict=True)
        )
    )


def _low_rank(rng, d, left, right, head_inside):
    """W = left right' with factors of the given columns, and a head inside their span or not."""
    L, R = rng.normal(size=(d, left.max() + 1)), rng.normal(size=(d, right.max() + 1))
    v = L[:, 0] + R[:, -1] if head_inside else rng.normal(size=d)
    return L[:, left] @ np.diag(rng.uniform(1, 2, size=len(left))) @ R[:, right].T, v


def _keeps(D, W, v, k):
    if D.shape != (k, len(v)) or not np.isfinite(D).all():
        return False
    P = np.linalg.pinv(D, rcond=1e-5) @ D
    scale = 1e-3 * np.abs(W).max()
    return np.allclose(P @ W @ P, W, atol=scale) and np.allclose(P @ v, v, atol=1e-3)


@case("smallest_view", "smallest_view", points=3, hint="rows, columns and the head: all are seen")
def views_of_low_rank(rng):
    two = np.arange(2)
    calls = [_low_rank(rng, 12, two, two, False), _low_rank(rng, 9, np.arange(1), two[:1], False)]
    sizes = (5, 3)
    return calls, holds(
        lambda *views: all(
            _keeps(D, *call, k) for D, call, k in zip(views, calls, sizes, strict=True)
        )
    )


@case("smallest_view", "smallest_view", points=2, hint="directions that coincide count once")
def views_that_coincide(rng):
    inside = _low_rank(rng, 10, np.arange(2), np.arange(2), True)
    F = rng.normal(size=(10, 2))
    symmetric = (F @ F.T, rng.normal(size=10))
    zero = (np.zeros((6, 6)), rng.normal(size=6))
    calls, sizes = [inside, symmetric, zero], (4, 3, 1)
    return calls, holds(
        lambda *views: all(
            _keeps(D, *call, k) for D, call, k in zip(views, calls, sizes, strict=True)
        )
    )


def _crowd(f, L, S, V):
    """By explicit tokens: row j asks one token of score L_j and value f_j, and the rows."""
    total = 0.0
    for j in range(len(f)):
        scores, values = np.append(S[j], L[j]), np.append(V[j], f[j])
        total += sum(v / np.exp(scores - s).sum() for s, v in zip(scores, values, strict=True))
    return total


@case(
    "rows_among_tokens", "rows_among_tokens", points=4, hint="several rows that look at each other"
)
def rows(rng):
    calls = [
        (rng.normal(size=m), rng.normal(size=m), rng.normal(size=(m, m)), rng.normal(size=(m, m)))
        for m in (2, 3, 5)
    ]
    return calls, close(*[_crowd(*call) for call in calls], rtol=1e-3, atol=1e-4)


@case("rows_among_tokens", "rows_among_tokens", points=2, hint="scores of several hundred")
def rows_of_long_prompts(rng):
    calls = []
    for sign in (1, -1):
        f, L = rng.normal(size=3), sign * rng.uniform(700, 900, size=3)
        calls.append((f, L, L[:, None] + rng.normal(size=(3, 3)), rng.normal(size=(3, 3))))
    rounded = [tuple(np.asarray(a, np.float32).astype(float) for a in call) for call in calls]
    return calls, close(*[_crowd(*call) for call in rounded], rtol=2e-3, atol=2e-3)


def _quietest(W_Q, W_K, q_star, w_star, score):
    """By Lagrange multipliers in the coordinates of a basis of the reachable queries."""
    basis = np.linalg.qr(W_K @ W_Q.T @ np.eye(len(q_star))[:, : _rank(W_K @ W_Q.T)])[0]
    a, b = basis.T @ q_star, basis.T @ w_star
    gram = np.array([[a @ a, a @ b], [a @ b, b @ b]])
    multipliers = np.linalg.solve(gram, [score, 0.0])
    return basis @ (multipliers[0] * a + multipliers[1] * b)


def _rank(matrix):
    return int(np.linalg.matrix_rank(matrix, tol=1e-6 * np.linalg.norm(matrix)))


@case("quietest_prompt", "quietest_prompt", points=3, hint="the least norm of q, not of p")
def quiet(rng):
    calls = [
        (*rng.normal(size=(2, d, h)), *rng.normal(size=(2, d)), float(rng.uniform(1, 4)))
        for d, h in ((6, 3), (8, 5))
    ]
    return calls, close(*[_quietest(*call) for call in calls], rtol=5e-3, atol=5e-3)


@case("quietest_prompt", "quietest_prompt", points=1, hint="W_Q may lose directions, too")
def quiet_through_a_narrow_query(rng):
    W_Q, W_K = rng.normal(size=(7, 3)) @ rng.normal(size=(3, 5)), rng.normal(size=(7, 5))
    call = (W_Q, W_K, *rng.normal(size=(2, 7)), 2.0)
    return call, close(_quietest(*call), rtol=5e-3, atol=5e-3)


@case("quietest_prompt", "quietest_prompt", points=2, hint="when is there no such query?")
def nothing_to_reach(rng):
    W_Q, W_K = rng.normal(size=(2, 6, 3))
    unseen = np.linalg.svd(W_K)[0][:, 3:] @ rng.normal(size=3)
    q_star = rng.normal(size=6)
    calls = [
        (W_Q, W_K, unseen, rng.normal(size=6), 1.0),  # the layer cannot see the context
        (W_Q, W_K, q_star, q_star + unseen, 1.0),  # nor tell it from the regressor
    ]
    return calls, holds(lambda *qs: all(q.shape == (6,) and np.isnan(q).all() for q in qs))
