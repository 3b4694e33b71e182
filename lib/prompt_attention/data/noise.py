"""Noise laws: functions of (key, shape, dtype) with mean 0 and variance 1.

Beside these, `jax.random.normal` and `jax.random.rademacher` are noise laws.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from prompt_attention import draws

NoiseLaw = Callable[..., Array]

INDEPENDENT_LAWS = (jax.random.normal, jax.random.rademacher)
"""Laws of JAX whose numbers do not depend on how they are arranged."""


def shared_noise(key: PRNGKeyArray, shape: tuple[int, int, int], dtype: Any) -> Array:
    """A noise law [n T d] that gives all tokens of an example the same normal vector.

    It breaks the independence between tokens that D1 needs.
    """
    n, _, d = shape
    return jnp.broadcast_to(draws.normal(key, (n, 1, d), dtype), shape)


def student_t8(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
    """A noise law with heavy tails: Student's t with 8 degrees of freedom, scaled to variance 1.

    Its moments below the eighth are finite; its exponential moments are not. A chi-squared number
    with 8 degrees of freedom is twice a sum of four exponential ones.
    """
    normal_key, chi_key = jax.random.split(key)
    exponential = draws.in_a_row(jax.random.exponential)
    half_chi_squared = exponential(chi_key, (4, *shape), dtype).sum(axis=0)
    return draws.normal(normal_key, shape, dtype) * jnp.sqrt(3 / half_chi_squared)
