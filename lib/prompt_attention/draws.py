"""Random arrays of several axes, drawn as one row and folded: the same numbers, sooner compiled.

JAX numbers the entries of an array and makes each random number from the number of its entry, so
how the entries are arranged changes none of them. For several axes XLA's compiler for processors
takes several times as long as for one.
"""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
from jaxtyping import Array, PRNGKeyArray

Law = Callable[..., Array]


def in_a_row(law: Law) -> Law:
    """A law of independent numbers, a function of (key, shape, dtype), drawn as one row.

    >>> law = in_a_row(jax.random.normal)
    >>> key = jax.random.key(0)
    >>> bool((law(key, (2, 3)) == law(key, (6,)).reshape(2, 3)).all())
    True
    """

    @wraps(law)
    def folded(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = float) -> Array:
        return law(key, (math.prod(shape),), dtype).reshape(shape)

    return folded


normal = in_a_row(jax.random.normal)
uniform = in_a_row(jax.random.uniform)
