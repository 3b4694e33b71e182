"""A guard against a jax that miscompiles: jitted results are compared with NumPy's.

jax 0.10.2 silently gives wrong numbers on the CPU for a jitted vmap, over many rows, of a small
matrix-vector product followed by a reduction (jax issue 39103): just what a batch of short examples
is. It is excluded in requirements.txt; this test notices it, and its like.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.mark.parametrize("rows", [16_385, 32_769, 70_000])
@pytest.mark.parametrize("dim", [2, 3, 8])
def test_jitted_products_of_many_rows_are_right(dtype, rows, dim):
    rng = np.random.default_rng(rows + dim)
    matrix, X = rng.normal(size=(dim, dim)), rng.normal(size=(rows, dim))
    expected = ((X @ matrix.T) ** 2).sum(axis=1)
    matrix, X = jnp.asarray(matrix, dtype), jnp.asarray(X, dtype)
    result = jax.jit(jax.vmap(lambda row: jnp.sum((matrix @ row) ** 2)))(X)
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("n", "T", "d"), [(1, 8, 5), (100, 50, 64), (20_000, 4, 2)])
def test_jitted_softmax_pooling_is_right(dtype, n, T, d):
    rng = np.random.default_rng(n * T * d)
    X, q = rng.normal(size=(n, T, d)), rng.normal(size=d)
    weights = np.exp(X @ q)
    expected = np.einsum("nt,ntd->nd", weights / weights.sum(axis=1, keepdims=True), X)
    X, q = jnp.asarray(X, dtype), jnp.asarray(q, dtype)
    result = jax.jit(jax.vmap(lambda x: jax.nn.softmax(x @ q) @ x))(X)
    np.testing.assert_allclose(result, expected, atol=1e-3)
