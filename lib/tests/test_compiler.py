"""A guard against a jax that miscompiles: jitted results are compared with NumPy's.

jax 0.10.2 gave wrong numbers on the CPU for a jitted vmap of a matrix-vector product followed by a
reduction, which is the shape of every model here.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.mark.parametrize("n", [1, 3, 16, 100])
@pytest.mark.parametrize("T", [2, 8, 50])
@pytest.mark.parametrize("d", [2, 5, 64, 100])
def test_jitted_products_and_reductions_are_right(n, T, d):
    rng = np.random.default_rng(n * T * d)
    X, q = rng.normal(size=(n, T, d)).astype(np.float32), rng.normal(size=d).astype(np.float32)
    scores = np.einsum("ntd,d->nt", X.astype(np.float64), q.astype(np.float64))
    reductions = {"sum": (jnp.sum, np.sum), "max": (jnp.max, np.max), "mean": (jnp.mean, np.mean)}
    for name, (ours, theirs) in reductions.items():
        result = jax.jit(jax.vmap(lambda x, ours=ours: ours(x @ q)))(X)
        tolerance = 1e-5 * T * np.sqrt(d) * 5
        np.testing.assert_allclose(result, theirs(scores, axis=1), atol=tolerance, err_msg=name)
    softmax = np.exp(scores - scores.max(axis=1, keepdims=True))
    softmax /= softmax.sum(axis=1, keepdims=True)
    pooled = np.einsum("nt,ntd->nd", softmax, X)
    result = jax.jit(jax.vmap(lambda x: jax.nn.softmax(x @ q) @ x))(X)
    np.testing.assert_allclose(result, pooled, atol=1e-3)
