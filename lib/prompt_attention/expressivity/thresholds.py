"""The strengths of the nuisance at which three of the four models fail, sharp.

All functions take arrays and broadcast. A strength is Delta itself, never its square. A sparsity
outside (0, 1) and a strength that is not positive raise a ValueError, or give nan where they are
traced by `jit` or `vmap`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jaxtyping import Array, ArrayLike, Float


class LeastErrors(NamedTuple):
    """The least error that any parameters of a model reach."""

    prompt: Float[Array, "..."]
    self_attention: Float[Array, "..."]
    linear: Float[Array, "..."]
    mean: Float[Array, "..."]


def linear_threshold(sparsity: Float[ArrayLike, "..."]) -> Float[Array, "..."]:
    """sqrt(zeta / (1 - zeta)): linear prompt-attention fails from this Delta on (Result E2).

    The nuisance is (0, 0) or (Delta, -Delta). Below, zero error is reached; at the threshold and
    above, one of four examples is wrong for any parameters.
    """
    return jnp.sqrt(_odds(sparsity))


def mean_pooling_threshold(sparsity: Float[ArrayLike, "..."]) -> Float[Array, "..."]:
    """The odds zeta / (1 - zeta): mean pooling fails from this Delta on (Result E4).

    The nuisance is (0, 0) or (Delta, Delta). Below, zero error is reached; at the threshold and
    above, two of four examples are wrong for any head.
    """
    return _odds(sparsity)


def self_attention_mass(
    sparsity: Float[ArrayLike, "..."],
    strength: Float[ArrayLike, "..."],
    score: Float[ArrayLike, "..."],
) -> Float[Array, "..."]:
    """M(s), the weight of the relevant tokens under self-attention with s = <r, W r> (Result E3).

    M(s) = zeta S(s (1 + Delta) + L) + (1 - zeta) S(-Delta (1 + Delta) s + L) for the nuisance
    (Delta, Delta), with S the logistic function and L = log(zeta / (1 - zeta)).
    """
    k, delta = _odds(sparsity), _positive(strength)
    return 1 - _leak(jnp.asarray(score) * (1 + delta), k, delta)


def attention_mass_bound(
    sparsity: Float[ArrayLike, "..."], strength: Float[ArrayLike, "..."]
) -> Float[Array, "..."]:
    """sup_s M(s), the most weight that self-attention can give to relevant tokens (Result E3).

    The best point of a grid is refined to a root of M'; the limits zeta and 1 - zeta for s to
    plus and minus infinity count too.
    """
    return 1 - jnp.vectorize(_least_leak)(_odds(sparsity), _positive(strength))


def self_attention_threshold(sparsity: Float[ArrayLike, "..."]) -> Float[Array, "..."]:
    """Delta* at which self-attention fails, and beyond which it keeps failing (Result E3).

    The nuisance is (0, 0) or (Delta, Delta). Below, zero error is reached; at the threshold and
    above, two of four examples are wrong for any parameters. Delta* is the root of
    Delta = Mmax / (1 - Mmax), where Mmax depends on Delta as well; with k = zeta / (1 - zeta) it is
    k for k >= 1, and between 1/k and 1/k + 1 + k for k < 1.
    """
    return jnp.vectorize(_self_attention_root)(_odds(sparsity))


def simple_self_attention_threshold(sparsity: Float[ArrayLike, "..."]) -> Float[Array, "..."]:
    """1 / min(zeta (1 - zeta), (1 - zeta)^2) - 1, never below the sharp threshold (Result E3)."""
    k = _odds(sparsity)
    return jnp.where(k < 1, 1 / k + 1 + k, k * (k + 2))


def joint_nuisance(strength: Float[ArrayLike, ""]) -> Float[Array, "3 2"]:
    """The nuisance (0, 0), (Delta, Delta), (Delta, -Delta) of the joint dataset (Result E5)."""
    delta = _positive(strength)
    return delta * jnp.array([[0.0, 0.0], [1.0, 1.0], [1.0, -1.0]], delta.dtype)


def least_errors(
    sparsity: Float[ArrayLike, "..."], strength: Float[ArrayLike, "..."]
) -> LeastErrors:
    """The least error of each model on the joint dataset with labels of equal chance (Result E5).

    Zero for prompt-attention; zero below the model's threshold for the others, and from it on 1/3
    for self-attention and mean pooling and 1/6 for linear prompt-attention.
    """
    k, delta = _odds(sparsity), _positive(strength)
    never = 0 * k * delta  # broadcasts, and carries nan

    def error(threshold, least):
        return never + jnp.where(delta >= threshold, least, 0)

    return LeastErrors(
        prompt=never,
        self_attention=error(self_attention_threshold(sparsity), 1 / 3),
        linear=error(linear_threshold(sparsity), 1 / 6),
        mean=error(mean_pooling_threshold(sparsity), 1 / 3),
    )


def _odds(sparsity):
    """The odds zeta / (1 - zeta), checked."""
    zeta = _sparsity(sparsity)
    return zeta / (1 - zeta)


def _sparsity(sparsity):
    return _checked("sparsity", "lie in (0, 1)", sparsity, lambda z: (z > 0) & (z < 1))


def _positive(strength):
    return _checked(
        "strength", "be positive and finite", strength, lambda s: (s > 0) & (s < jnp.inf)
    )


def _checked(name, expected, value, holds):
    value = jnp.asarray(value)
    value = value.astype(jnp.promote_types(value.dtype, jnp.float32))
    if isinstance(value, jax.core.Tracer):
        return jnp.where(holds(value), value, jnp.nan)
    if not holds(value).all():
        raise ValueError(f"{name} must {expected}, got {np.asarray(value)}")
    return value


def _leak(x, k, delta):
    """1 - M as a function of x = s (1 + Delta), without cancellation."""
    L = jnp.log(k)
    return (k * jax.nn.sigmoid(-L - x) + jax.nn.sigmoid(delta * x - L)) / (1 + k)


def _slope_sign(x, k, delta):
    """A number with the sign of M'(x): log of the rising term's slope over the falling one's."""
    L = jnp.log(k)

    def log_slope(z):  # of the logistic function
        return -jax.nn.softplus(z) - jax.nn.softplus(-z)

    return L + log_slope(x + L) - jnp.log(delta) - log_slope(L - delta * x)


@jax.jit
def _least_leak(k, delta):
    """The infimum over x of the leak: a grid, a bisection in its best cell, the two limits."""
    reach = (40 + jnp.abs(jnp.log(k))) * jnp.maximum(1, 1 / delta)
    least = 1e-3 / jnp.maximum(1, delta)
    half = jnp.exp(jnp.linspace(jnp.log(least), jnp.log(reach), 200))
    grid = jnp.concatenate([-half[::-1], half])
    best = jnp.clip(jnp.argmin(_leak(grid, k, delta)), 1, len(grid) - 2)
    root = _bisect(lambda x: -_slope_sign(x, k, delta), grid[best - 1], grid[best + 1])
    candidates = [_leak(root, k, delta), _leak(grid[best], k, delta), 1 / (1 + k), k / (1 + k)]
    return jnp.min(jnp.stack(candidates))


@jax.jit
def _self_attention_root(k):
    """The root of (1 + Delta) inf leak = 1 in [1/k, 1/k + 1 + k] for k < 1, else k."""
    small = jnp.where(k < 1, k, 0.5)
    root = _bisect(
        lambda delta: jnp.log1p(delta) + jnp.log(_least_leak(small, delta)),
        1 / small,
        1 / small + 1 + small,
    )
    return jnp.where(k < 1, root, k)


def _bisect(function, lower, upper):
    """Where the function turns positive, to rounding: 60 halvings; an end if it never does."""
    return optimistix.root_find(
        lambda y, _: function(y),
        optimistix.Bisection(rtol=0.0, atol=0.0, flip=False),
        (lower + upper) / 2,
        options={"lower": lower, "upper": upper},
        max_steps=60,
        throw=False,  # zero tolerance, so all steps are taken
    ).value
