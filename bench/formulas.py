"""A closed form on a grid, and ridge regression over many penalties."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr
from sklearn.linear_model import Ridge

from prompt_attention import performance

RIDGE = np.float32(0.3)


def grid_versions(points=100):
    """The error of ridge regression (X5) on a grid of signal-to-noise ratios and sample sizes.

    By name, what makes a function without arguments.
    """
    snr = np.geomspace(0.1, 10, points, dtype=np.float32)[:, None]
    samples = np.geomspace(0.1, 10, points, dtype=np.float32)[None]

    def library():
        compiled = jax.jit(performance.ridge_error)
        arrays = [jnp.asarray(array) for array in (snr, samples, RIDGE)]
        return lambda: compiled(*arrays).block_until_ready()

    return {"library": library, "NumPy": lambda: functools.partial(_blocked, snr, samples)}


def _blocked(snr, samples, rows=10):
    """A few rows at a time, so that what is between stays in the cache."""
    out = np.empty((len(snr), samples.size), np.float32)
    gamma = 1 / samples
    for start in range(0, len(snr), rows):
        s = snr[start : start + rows]
        root = np.sqrt((1 - gamma + RIDGE) ** 2 + 4 * gamma * RIDGE)
        shrinkage = np.sqrt(2 * root / (1 + gamma + RIDGE + root))
        out[start : start + rows] = ndtr(-s * s / np.hypot(s, np.sqrt(gamma)) * shrinkage)
    return out


def ridge_versions(n=2000, d=1000, count=20):
    """Heads for many penalties; and one product X'X, which no version can do without.

    By name, what makes a function without arguments.
    """
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d), np.float32)
    y = np.where(X[:, 0] + rng.standard_normal(n) > 0, 1, -1).astype(np.float32)
    penalties = np.geomspace(0.01, 100, count, dtype=np.float32)

    def library():
        fit = jax.jit(performance.fit_head, static_argnames="method")
        features, labels, ridge = (jnp.asarray(array) for array in (X, y, penalties))
        return lambda: fit(features, labels, method="ridge", ridge=ridge).block_until_ready()

    def separate():
        fits = [Ridge(alpha=n * p, fit_intercept=False).fit(X, y) for p in penalties]
        return np.stack([fit.coef_ for fit in fits])

    return {
        "library": library,
        "scikit-learn, each": lambda: separate,
        "one product X'X by BLAS": lambda: lambda: X.T @ X,
    }
