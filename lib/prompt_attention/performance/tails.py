"""The tail of the standard normal law, and means of it, right also where they are 1e-300."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from prompt_attention.data import Estimate


def gaussian_tail(x: Real[ArrayLike, "*grid"], log: bool = False) -> Float[Array, "*grid"]:
    """Phibar(x) = P(N(0, 1) > x), or its logarithm, which does not underflow.

    Six terms of the asymptotic series, where JAX would take three, keep every digit of the
    logarithm beyond x = 20.
    """
    x = -jnp.asarray(x, float)
    if log:
        return jax.scipy.special.log_ndtr(x, series_order=6)
    return jax.scipy.special.ndtr(x)


def rescaled(estimate: Estimate, log_scale: Float[Array, "*grid"], log: bool = False) -> Estimate:
    """The estimate times exp(log_scale); with `log` its logarithm, whose error is relative.

    Draws are divided by their largest one before they are averaged: the square of 1e-30, which a
    standard deviation takes, is zero in single precision.
    """
    value, standard_error = estimate
    if log:
        return Estimate(log_scale + jnp.log(value), standard_error / value)
    return Estimate(jnp.exp(log_scale) * value, jnp.exp(log_scale) * standard_error)
