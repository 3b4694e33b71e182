"""Examples, and estimates from them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Batch(NamedTuple):
    """Labelled examples: n examples of T tokens in d dimensions."""

    tokens: Float[Array, "n T d"]
    labels: Float[Array, " n"]  # +1 or -1
    relevant: Bool[Array, "n T"]  # True where a token carries context and label
    nuisance: Float[Array, "n 2"]  # the (dq, dw) of each example


class Estimate(NamedTuple):
    """A Monte Carlo mean, or an array of them."""

    value: Float[Array, "*grid"]
    standard_error: Float[Array, "*grid"]  # sample standard deviation / sqrt(n); nan for n = 1

    @classmethod
    def of(cls, draws: Float[Array, " n"]) -> "Estimate":
        """The mean of independent draws."""
        return cls(*_mean_and_error(draws))


@jax.jit
def _mean_and_error(draws):
    return draws.mean(), draws.std(ddof=1) / jnp.sqrt(len(draws))
