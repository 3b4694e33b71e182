"""Closed forms on a grid, and ridge regression over many penalties."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr
from sklearn.linear_model import Ridge

from prompt_attention import performance

GRID = 100
PENALTIES = np.geomspace(0.01, 100, 20)


def grid_versions():
    """The error of ridge regression (X5) on a grid of signal-to-noise ratios and sample sizes."""
    snr = np.geomspace(0.1, 10, GRID, dtype=np.float32)[:, None]
    samples = np.geomspace(0.1, 10, GRID, dtype=np.float32)[None]
    compiled = jax.jit(partial(performance.ridge_error, ridge=0.3))
    arrays = jnp.asarray(snr), jnp.asarray(samples)
    return {
        "library": lambda: compiled(*arrays).block_until_ready(),
        "NumPy": partial(_blocked, snr, samples, np.float32(0.3)),
    }


def _blocked(snr, samples, ridge, rows=10):
    """A few rows at a time, so that what is between stays in the cache."""
    out = np.empty((GRID, GRID), np.float32)
    for start in range(0, GRID, rows):
        s, gamma = snr[start : start + rows], 1 / samples
        root = np.sqrt((1 - gamma + ridge) ** 2 + 4 * gamma * ridge)
        shrinkage = np.sqrt(2 * root / (1 + gamma + ridge + root))
        out[start : start + rows] = ndtr(-s * s / np.hypot(s, np.sqrt(gamma)) * shrinkage)
    return out


def ridge_versions(n=2000, d=1000):
    """Heads for twenty penalties."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d), np.float32)
    y = np.where(X[:, 0] + rng.standard_normal(n) > 0, 1, -1).astype(np.float32)
    features, labels, penalties = map(jnp.asarray, (X, y, PENALTIES.astype(np.float32)))

    @jax.jit
    def path(features, labels, penalties):
        fit = partial(performance.fit_head, features, labels, "ridge")
        return jax.lax.map(fit, penalties)

    def separate():
        fits = [Ridge(alpha=n * p, fit_intercept=False).fit(X, y) for p in PENALTIES]
        return np.stack([fit.coef_ for fit in fits])

    return {
        "library": lambda: path(features, labels, penalties).block_until_ready(),
        "scikit-learn, each": separate,
    }
