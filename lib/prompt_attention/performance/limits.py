"""Errors in closed form: long contexts, many examples in many dimensions.

In this limit every pooled feature is y times the regressor's direction plus isotropic Gaussian
noise, and two numbers are left: the signal-to-noise ratio s of one feature, and the number of
examples per dimension, alpha = 1 / gamma.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from prompt_attention.data import ContextualModel
from prompt_attention.performance.tails import gaussian_tail


def long_context_snr(
    contextual: ContextualModel, prompt_scale: Real[ArrayLike, "*grid"]
) -> Float[Array, "*grid"]:
    """The signal-to-noise ratio s(tau) of a pooled feature for many tokens (Result X3).

    s = sqrt(T / (1 - zeta)) zeta (W / sigma) exp(tau Q - tau^2 sigma^2). It holds only while tau <
    `freezing_scale`; beyond it, s is far too small.
    """
    contextual.assume("Result X3", "core", "orthogonal", "isotropic", "gaussian")
    sigma = positive_noise("Result X3", contextual)
    T, zeta, tau = contextual.num_tokens, contextual.sparsity, jnp.asarray(prompt_scale, float)
    pooled = jnp.sqrt(T / (1 - zeta)) * zeta * contextual.regressor_norm / sigma
    return pooled * jnp.exp(tau * contextual.context_norm - (tau * sigma) ** 2)


def best_prompt_scale(contextual: ContextualModel) -> Float[Array, ""]:
    """The prompt scale tau = Q / (2 sigma^2) at which `long_context_snr` peaks (Result X3)."""
    contextual.assume("Result X3", "core", "orthogonal", "isotropic", "gaussian")
    return contextual.context_norm / (2 * positive_noise("Result X3", contextual) ** 2)


def gradient_head_error(
    snr: Real[ArrayLike, "*#grid"], samples_per_dim: Real[ArrayLike, "*#grid"], log: bool = False
) -> Float[Array, "*#grid"]:
    """Phibar(s / sqrt(1 + gamma / s^2)), the error of one gradient step (Result X4).

    The argument is written s^2 / hypot(s, sqrt(gamma)).

    Args:
        snr: s >= 0.
        samples_per_dim: alpha = n / d > 0; `jnp.inf` when the regressor is known.
        log: give the logarithm of the error.
    """
    return gaussian_tail(_gradient_margin(snr, samples_per_dim), log)


def bayes_error(
    snr: Real[ArrayLike, "*#grid"], samples_per_dim: Real[ArrayLike, "*#grid"], log: bool = False
) -> Float[Array, "*#grid"]:
    """The least error of any rule that knows s but not the regressor's direction (Result X6).

    The direction is uniform on the sphere. The least error is that of one gradient step,
    `gradient_head_error`: the posterior of the direction has its mode at the average feature.
    """
    return gradient_head_error(snr, samples_per_dim, log)


def ridge_error(
    snr: Real[ArrayLike, "*#grid"],
    samples_per_dim: Real[ArrayLike, "*#grid"],
    ridge: Real[ArrayLike, "*#grid"],
    log: bool = False,
) -> Float[Array, "*#grid"]:
    """Phibar(s / sqrt(1 + gamma / s^2) m1 / sqrt(m2)) for ridge regression (Result X5).

    m1 and m2 are the Marchenko-Pastur limits of tr R / d and tr R^2 / d, where R is the inverse of
    (sample covariance + ridge I). Their quotient is written without cancellation, so it is right as
    ridge -> 0 and as gamma -> 1: with D = sqrt((1 - gamma + ridge)^2 + 4 gamma ridge),
    m1^2 / m2 = 2 D / (1 + gamma + ridge + D).

    Args:
        snr: s >= 0.
        samples_per_dim: alpha = n / d > 0.
        ridge: the penalty in units of the variance of the pooled noise, >= 0; at 0 this is least
            squares, with minimum norm where n < d, and at `jnp.inf` one gradient step.
        log: give the logarithm of the error.
    """
    _check("ridge", ridge, lower=0)
    gamma, penalty = 1 / _samples_per_dim(samples_per_dim), jnp.asarray(ridge, float)
    root = jnp.sqrt((1 - gamma + penalty) ** 2 + 4 * gamma * penalty)
    factor = jnp.sqrt(2 * root / (1 + gamma + penalty + root))
    factor = jnp.where(jnp.isinf(penalty), 1.0, factor)
    return gaussian_tail(_gradient_margin(snr, samples_per_dim) * factor, log)


def least_squares_error(
    snr: Real[ArrayLike, "*#grid"], samples_per_dim: Real[ArrayLike, "*#grid"], log: bool = False
) -> Float[Array, "*#grid"]:
    """Phibar(s / sqrt(1 + gamma / s^2) sqrt(1 - min(gamma, 1 / gamma))), 1/2 at n = d (Result X5).

    Beyond n = d it is the least squares fit of minimum norm.
    """
    alpha = _samples_per_dim(samples_per_dim)
    factor = jnp.sqrt(1 - jnp.minimum(alpha, 1 / alpha))
    return gaussian_tail(_gradient_margin(snr, samples_per_dim) * factor, log)


def freezing_scale(
    num_irrelevant: Real[ArrayLike, "*#grid"], noise_std: Real[ArrayLike, "*#grid"] = 1.0
) -> Float[Array, "*#grid"]:
    """The prompt scale sqrt(log(N) / 2) / sigma where the pooled noise freezes (Result X7).

    Below it the sum of squared weights of N irrelevant tokens obeys the law of large numbers, to
    leading order in log N; above it a few tokens make up the sum. The sum of the weights themselves
    freezes at twice this scale.
    """
    _check("num_irrelevant", num_irrelevant, lower=1)
    _check("noise_std", noise_std, lower=0, strictly=True)
    return jnp.sqrt(jnp.log(jnp.asarray(num_irrelevant, float)) / 2) / jnp.asarray(noise_std)


def frozen_share(
    prompt_scale: Real[ArrayLike, "*#grid"],
    num_irrelevant: Real[ArrayLike, "*#grid"],
    noise_std: Real[ArrayLike, "*#grid"] = 1.0,
) -> Float[Array, "*#grid"]:
    """E[sum p_t^2] = max(0, 1 - tau_f / tau) for the shares p_t in the sum S2 (Result X7).

    It is the chance that two draws, with probabilities in proportion to the squared weights, hit
    the same irrelevant token; tau_f is `freezing_scale`. Holds as N grows, slowly, like 1 / log N.
    """
    _check("prompt_scale", prompt_scale, lower=0, strictly=True)
    frozen = freezing_scale(num_irrelevant, noise_std)
    return jnp.maximum(0.0, 1 - frozen / jnp.asarray(prompt_scale))


def positive_noise(result: str, contextual: ContextualModel) -> Float[ArrayLike, ""]:
    """The noise level sigma; a ValueError that names the result if it is zero."""
    sigma = contextual.noise_std
    if not isinstance(sigma, jax.core.Tracer) and not sigma > 0:
        raise ValueError(f"{result} needs noise on irrelevant tokens, got noise_std {sigma}")
    return sigma


def _gradient_margin(snr, samples_per_dim):
    _check("snr", snr, lower=0)
    s, gamma = jnp.asarray(snr, float), 1 / _samples_per_dim(samples_per_dim)
    return s * (s / (jnp.hypot(s, jnp.sqrt(gamma)) + (s == 0)))


def _samples_per_dim(value):
    _check("samples_per_dim", value, lower=0, strictly=True)
    return jnp.asarray(value, float)


def _check(name, value, lower, strictly=False):
    """Refuse what lies below `lower`, or is not a number; a traced value is not checked."""
    if isinstance(value, jax.core.Tracer):
        return
    values = np.asarray(value)
    holds = values > lower if strictly else values >= lower
    if not holds.all():
        raise ValueError(f"{name} must be {'>' if strictly else '>='} {lower}, got {value}")
