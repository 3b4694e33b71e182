"""Hidden cases of the warm-up on attention pooling."""

import math

import numpy as np

from coursework import Key, case, close, estimate


def softmax_pool(X, q):
    """The pooled token, in float64."""
    scores = X @ q
    weights = np.exp(scores - scores.max())
    return weights @ X / weights.sum()


@case("pool", "attention_pool", points=2, hint="Compare with a loop over the tokens, on paper.")
def general_position(rng):
    X, q = rng.normal(size=(6, 3)), rng.normal(size=3)
    return (X, q), close(softmax_pool(X, q))


@case("pool", "attention_pool", points=2, hint="What does exp do to a score of 10,000?")
def large_scores(rng):
    X, q = rng.normal(size=(7, 4)), 5e3 * rng.normal(size=4)
    return (X, q), close(softmax_pool(X, q), rtol=1e-3)


@case("chance", "chance", points=2, hint="The difference of two noises has variance 2.")
def moderate_score(rng):
    mu, n = rng.uniform(0.8, 1.2), 20_000
    p = math.erfc(mu / 2) / 2  # the difference of the noises has standard deviation sqrt(2)
    calls = [(Key(int(rng.integers(2**31))), mu, n) for _ in range(6)]
    return calls, estimate(p, math.sqrt(p * (1 - p) / n))


@case("chance", "chance", points=2, hint="Does the answer depend on the key, and on n?")
def few_draws(rng):
    calls = [(Key(int(rng.integers(2**31))), 0.0, 400) for _ in range(8)]
    return calls, estimate(0.5, 0.5 / math.sqrt(400))
