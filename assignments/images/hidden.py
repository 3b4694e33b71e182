"""Hidden cases of assignment 5, on tiles that are known by their numbers."""

import numpy as np

from coursework import case, close, holds


def _tagged(rng, d):
    """Tiles that say in their first entry what they are: 1.., 2.. or 3.. hundred and a number."""
    sizes = rng.integers(9, 14, size=3)
    return [
        np.concatenate(
            [100.0 * (c + 1) + np.arange(m)[:, None], rng.normal(size=(m, d - 1))], axis=1
        )
        for c, m in enumerate(sizes)
    ]


def _canvas_calls(rng, n=160):
    tiles, labels = _tagged(rng, 3), rng.choice([1, -1], size=n)
    T, k = 8, 3
    seed = int(rng.integers(1000))
    return [(*tiles, labels, T, k, s) for s in (seed, seed, seed + 1)], tiles, labels, (T, k)


@case("make_canvases", "make_canvases", points=2, hint="which tiles, and how many of each")
def right_tiles(rng):
    calls, tiles, labels, (T, k) = _canvas_calls(rng)
    known = {tuple(tile.astype(np.float32)) for group in tiles for tile in group}

    def right(tokens, *_):
        if tokens.shape != (len(labels), T, 3):
            return False
        kinds = tokens[:, :, 0] // 100
        shown = np.where(labels == 1, 1, 2)[:, None]
        counts = ((kinds == shown).sum(axis=1) == k) & ((kinds == 3).sum(axis=1) == T - k)
        rows = tokens.astype(np.float32).reshape(-1, 3)
        return counts.all() and all(tuple(row) in known for row in rows)

    return calls, holds(right)


@case("make_canvases", "make_canvases", points=1, hint="no tile twice in one canvas")
def no_tile_twice(rng):
    calls, _, labels, (T, _) = _canvas_calls(rng)

    def right(tokens, *_):
        return tokens.shape == (len(labels), T, 3) and all(
            len(set(canvas[:, 0])) == T for canvas in tokens
        )

    return calls, holds(right)


@case("make_canvases", "make_canvases", points=2, hint="random places and tiles; seeds")
def random_places(rng):
    calls, tiles, _, (T, k) = _canvas_calls(rng, n=400)

    def right(one, same, other):
        if one.shape != (400, T, 3) or not np.array_equal(one, same):
            return False
        if np.array_equal(one, other):
            return False
        digits = one[:, :, 0] < 300
        places = digits.sum(axis=0)  # each has mean n k / T, and is nearly Gaussian
        deviation = np.sqrt(400 * k / T * (1 - k / T))
        shown = np.unique(one[:, :, 0])
        pairs = {tuple(row) for row in digits}
        return (
            (np.abs(places - 400 * k / T) < 5 * deviation).all()
            and len(pairs) > 40  # of 56 sets of places
            and len(shown) == sum(len(group) for group in tiles)
        )

    return calls, holds(right)


def _learn(tokens, labels):
    """By covariance matrices, one for each canvas."""
    half = len(labels) // 2
    first, second = labels[:half] - labels[:half].mean(), labels[half:] - labels[half:].mean()
    w = sum(y * X.mean(axis=0) for y, X in zip(first, tokens[:half], strict=True))
    q = sum(y * np.cov(X.T, bias=True) @ w for y, X in zip(second, tokens[half:], strict=True))
    return np.stack([w / np.linalg.norm(w), q / np.linalg.norm(q)])


def _labelled(rng, n, T, d, positive_rate):
    y = np.where(rng.random(n) < positive_rate, 1.0, -1.0)
    y[[0, 1, -2, -1]] = [1, -1, 1, -1]
    X = rng.normal(size=(n, T, d)) + rng.normal(size=d)
    X[:, :2, 0] += 2
    X[:, :2, 1] += y[:, None]
    return X, y


@case("learn_prompt", "learn_prompt", points=4, hint="centred labels, covariances within a canvas")
def unbalanced_canvases(rng):
    calls = [_labelled(rng, n, 6, 5, rate) for n, rate in ((60, 0.7), (41, 0.35))]
    return calls, close(*[_learn(*call) for call in calls], rtol=5e-3, atol=3e-3)


@case("learn_prompt", "learn_prompt", points=2, hint="many dimensions: no matrix for each canvas")
def large_tiles(rng):
    X, y = _labelled(rng, 6, 3, 20_000, 0.5)
    half = 3
    first, second = y[:half] - y[:half].mean(), y[half:] - y[half:].mean()
    w = first @ X[:half].mean(axis=1)
    centred = X[half:] - X[half:].mean(axis=1, keepdims=True)
    q = np.tensordot(second[:, None] * (centred @ w), centred, axes=2)
    return (X, y), close(
        np.stack([w / np.linalg.norm(w), q / np.linalg.norm(q)]), rtol=1e-2, atol=3e-3
    )


def _masses(tokens, relevant, prompt, scales):
    """The odds of relevant tiles, one canvas after the other."""
    answer = []
    for tau in scales:
        total = 0.0
        for X, R in zip(tokens, relevant, strict=True):
            scores = tau * (X @ prompt)
            few = np.logaddexp.reduce(scores[R == 1])
            total += 1 / (1 + np.exp(np.logaddexp.reduce(scores[R == 0]) - few))
        answer.append(total / len(tokens))
    return np.array(answer)


@case(
    "attention_masses",
    "attention_masses",
    points=3,
    hint="softmax over tiles, at large scales, too",
)
def masses(rng):
    X, _ = _labelled(rng, 12, 7, 4, 0.5)
    relevant = np.array([rng.permutation(np.arange(7) < 2) for _ in range(12)]).astype(float)
    call = (X, relevant, rng.normal(size=4), np.array([0.0, 0.5, 1.0, 3.0]))
    far = (X, relevant, rng.normal(size=4), np.array([20.0, 2000.0]))
    return [call, far], holds(
        lambda near, long: (
            near.shape == (4,)
            and np.allclose(near, _masses(*call), rtol=1e-3, atol=1e-4)
            and long.shape == (2,)
            and np.allclose(long, _masses(*far), rtol=5e-2, atol=5e-3)
        )
    )


def _loo(tokens, labels, prompt, scales):
    """By deleting one canvas after the other. Also the least |f|, in units of its scale."""
    errors, closest = [], np.inf
    for tau in scales:
        scores = tau * (tokens @ prompt)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        x = (weights[:, :, None] * tokens).sum(axis=1)
        wrong = 0
        for i in range(len(x)):
            rest, y = np.delete(x, i, axis=0), np.delete(labels, i)
            plus, minus = rest[y == 1].mean(axis=0), rest[y == -1].mean(axis=0)
            f = (plus - minus) @ (x[i] - (plus + minus) / 2)
            wrong += labels[i] * f <= 0
            closest = min(closest, abs(f) / (np.linalg.norm(plus - minus) * np.linalg.norm(x[i])))
        errors.append(wrong / len(x))
    return np.array(errors), closest


def _clear(rng, n, T, d, rate, scales):
    """A call in which no decision hangs on rounding."""
    while True:
        X, y = _labelled(rng, n, T, d, rate)
        prompt = np.eye(d)[0] + 0.3 * rng.normal(size=d)
        call = (X, y, prompt, np.array(scales))
        if _loo(*call)[1] > 1e-4:
            return call


@case("loo_errors", "loo_errors", points=4, hint="both class means without the canvas itself")
def few_canvases(rng):
    calls = [_clear(rng, n, 5, 30, rate, [0.0, 0.5, 1.5]) for n, rate in ((16, 0.5), (21, 0.4))]
    return calls, close(*[_loo(*call)[0] for call in calls], atol=1e-4)


@case("loo_errors", "loo_errors", points=3, hint="unequal classes, large scales")
def unequal_classes(rng):
    calls = [_clear(rng, n, 4, 12, rate, [0.3, 200.0]) for n, rate in ((24, 0.2), (18, 0.8))]
    return calls, close(*[_loo(*call)[0] for call in calls], atol=1e-4)


def _separation(x, y):
    """By products of different features only."""
    parts = []
    for label in (1, -1):
        g = x[y == label]
        total = g.sum(axis=0)
        parts.append((total @ total - (g**2).sum()) / (len(g) * (len(g) - 1)))
    return sum(parts) - 2 * x[y == 1].mean(axis=0) @ x[y == -1].mean(axis=0)


@case("unbiased_separation", "unbiased_separation", points=3, hint="each class has its covariance")
def separation(rng):
    calls = []
    for plus, minus in ((5, 9), (12, 4)):
        y = rng.permutation(np.repeat([1.0, -1.0], [plus, minus]))
        x = rng.normal(size=(len(y), 6)) * np.where(y == 1, 2.0, 0.5)[:, None]
        calls.append((x + 0.7 * y[:, None], y))
    return calls, close(*[_separation(*call) for call in calls], rtol=2e-3, atol=1e-3)


@case("unbiased_separation", "unbiased_separation", points=2, hint="two features are enough")
def separation_of_few(rng):
    calls = []
    for sizes in ((2, 2), (3, 2)):
        y = np.repeat([1.0, -1.0], sizes)
        calls.append((rng.normal(size=(len(y), 4)), y))
    return calls, close(*[_separation(*call) for call in calls], rtol=2e-3, atol=1e-3)


@case("camouflage", "camouflage", points=6, hint="which change of contrast moves the vote most?")
def hidden_votes(rng):
    calls = []
    while len(calls) < 4:
        d, zeta = int(rng.integers(6, 64)), float(rng.uniform(0.1, 0.5))
        plus, minus = rng.uniform(0, 1, size=(2, d)) ** 2
        calls.append((plus, minus, zeta))
        if _least_contrast(*calls[-1]) > 0.85:
            calls.pop()

    def right(tiles, plus, minus, zeta):
        tiles = tiles.astype(float)
        if tiles.shape != (2, len(plus)) or not (tiles.min() > -1e-6 and tiles.max() < 1 + 1e-6):
            return False
        w_star = (plus - minus) / 2
        w = (zeta * (plus - minus) + (1 - zeta) * (tiles[0] - tiles[1])) / 2
        contrast = np.abs(tiles[0] - tiles[1]).max()
        turned = w @ w_star <= -0.0099 * zeta * w_star @ w_star
        return turned and contrast <= 1.0501 * _least_contrast(plus, minus, zeta)

    return calls, holds(
        lambda *found: all(right(t, *call) for t, call in zip(found, calls, strict=True))
    )


def _least_contrast(plus, minus, zeta):
    """The contrast e at which zeta ||w*||^2 = (1 - zeta) e ||w*||_1 / 2."""
    w_star = (plus - minus) / 2
    return 2 * zeta * w_star @ w_star / ((1 - zeta) * np.abs(w_star).sum())
