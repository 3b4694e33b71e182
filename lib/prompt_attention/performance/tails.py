"""The tail of the standard normal law, right also where it is as small as 1e-300."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real


def gaussian_tail(x: Real[ArrayLike, "*grid"], log: bool = False) -> Float[Array, "*grid"]:
    """Phibar(x) = P(N(0, 1) > x), or its logarithm, which does not underflow."""
    log_tail = jax.scipy.special.log_ndtr(-jnp.asarray(x, float))
    return log_tail if log else jnp.exp(log_tail)
