"""The prompt that separates, how long it must be, and what Gaussian noise makes of it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from prompt_attention.data import ContextualModel, Estimate
from prompt_attention.expressivity.thresholds import _checked, _odds


class SeparatingPrompt(NamedTuple):
    """Parameters of prompt-attention."""

    head: Float[Array, " d"]  # w, orthogonal to the context
    prompt: Float[Array, " d"]  # q, orthogonal to the regressor


def separating_prompt(
    context: Float[Array, " d"], regressor: Float[Array, " d"], scale: Float[ArrayLike, ""]
) -> SeparatingPrompt:
    """The pair w = (I - qbar qbar') w*, q = Gamma (I - wbar wbar') q* (Result E1).

    A bar is for unit length. Without noise y f = kappa [M - (1 - M) dw] and
    M / (1 - M) = zeta / (1 - zeta) exp(Gamma chi (1 + dq)), with kappa = W^2 (1 - rho^2) and
    chi = Q^2 (1 - rho^2).

    Raises:
        ValueError: context and regressor are collinear, or one of them is zero.
    """
    _check_not_collinear(context, regressor)
    return SeparatingPrompt(_reject(regressor, context), scale * _reject(context, regressor))


def prompt_scale_threshold(
    context: Float[Array, " d"],
    regressor: Float[Array, " d"],
    sparsity: Float[ArrayLike, "..."],
    nuisance: Float[ArrayLike, "m 2"],
) -> Float[Array, "..."]:
    """The Gamma above which, and only above which, the separating prompt has no error (Result E1).

    The maximum over the values of the nuisance with dw > 0 of
    log(dw (1 - zeta) / zeta) / (chi (1 + dq)); minus infinity if there is none. A negative value
    says that uniform attention, Gamma = 0, has no error already. Broadcasts over `sparsity`.

    Raises:
        ValueError: as `separating_prompt`, a sparsity outside (0, 1), or a dq <= -1, where
            irrelevant tokens hold as much context as relevant ones and no scale is large enough.
    """
    _check_not_collinear(context, regressor)
    dq, dw = jnp.moveaxis(jnp.asarray(nuisance), -1, 0)
    _checked("the context strength dq in nuisance", "be > -1", dq, lambda dq: dq > -1)
    chi = context @ _reject(context, regressor)
    k = jnp.expand_dims(_odds(sparsity), -1)
    log_odds = jnp.log(jnp.where(dw > 0, dw, 1) / k)
    return jnp.max(jnp.where(dw > 0, log_odds / (chi * (1 + dq)), -jnp.inf), axis=-1)


def noisy_error(
    key: PRNGKeyArray, contextual: ContextualModel, scale: Float[ArrayLike, ""], num_draws: int
) -> Estimate:
    """The error of the separating prompt under Gaussian noise, any T (Results E1n and D3).

    Labels and nuisance are enumerated and the noise of the values is integrated out: given the
    scores <q, z_t>, f is Gaussian, so each draw gives an exact conditional error. Noise of any
    covariance; the estimate is over `num_draws` draws of the scores.

    Raises:
        ValueError: as `separating_prompt`, or noise that is not Gaussian.
    """
    w, q = separating_prompt(contextual.context, contextual.regressor, scale)
    plane = contextual.project(jnp.stack([q, w]))
    sigma, factor = plane.noise_std, plane.noise_factor  # lower triangular: scores come first
    num_irrelevant = plane.num_tokens - plane.num_relevant
    labels, nuisance, probs = _cases(plane)

    def conditional_error(g, label, nuisance):
        """P(y f <= 0) given the scores sigma factor[0, 0] g."""
        r, u = plane.relevant_token(label), plane.irrelevant_mean(label, nuisance)
        scores = jnp.append(u[0] + sigma * factor[0, 0] * g, r[0] + jnp.log(plane.num_relevant))
        a = jax.nn.softmax(scores)
        mean = a[-1] * r[1] + a[:-1] @ (u[1] + sigma * factor[1, 0] * g)
        std = sigma * jnp.abs(factor[1, 1]) * jnp.linalg.norm(a[:-1])
        margin = label * mean
        tail = jax.scipy.special.ndtr(-margin / jnp.where(std > 0, std, 1))
        return jnp.where(std > 0, tail, margin <= 0)

    def draw(key):
        g = jax.random.normal(key, (num_irrelevant,), plane.context.dtype)
        return probs @ jax.vmap(conditional_error, (None, 0, 0))(g, labels, nuisance)

    return Estimate.of(jax.vmap(draw)(jax.random.split(key, num_draws)))


def long_context_mass(
    contextual: ContextualModel, scale: Float[ArrayLike, "..."]
) -> Float[Array, "... m"]:
    """The limit of M for many tokens, for each value of the nuisance (Result E1n).

    M / (1 - M) = zeta / (1 - zeta) exp(Gamma chi (1 + dq) - q' Sigma q / 2), with
    q' Sigma q = Gamma^2 sigma^2 chi for isotropic noise, so that Gamma = (1 + dq) / sigma^2 is
    best. In the limit T to infinity at fixed scale and sparsity.

    Raises:
        ValueError: as `noisy_error`.
    """
    exponent, _ = _long_context(contextual, scale)
    return jax.nn.sigmoid(jnp.log(_odds(contextual.sparsity)) + exponent)


def long_context_noisy_error(
    contextual: ContextualModel, scale: Float[ArrayLike, "..."]
) -> Float[Array, "..."]:
    """The limit of the error for many tokens (Result E1n).

    f has a limit for each label and nuisance: y f = kappa [M - (1 - M) dw] + y (1 - M) w' Sigma q.
    Its last term is the noise that attention selects; it is -sigma^2 Gamma rho Q W (1 - rho^2) for
    isotropic noise, and not zero unless q* is orthogonal to w*. The error is the probability of
    the pairs where the limit is not positive; where it is zero, the limit of the error may differ.

    Raises:
        ValueError: as `noisy_error`.
    """
    w, _ = separating_prompt(contextual.context, contextual.regressor, 1.0)
    kappa = w @ contextual.regressor
    _, tilt = _long_context(contextual, scale)
    M = long_context_mass(contextual, scale)[..., None, :]
    y = jnp.array([[1.0], [-1.0]], kappa.dtype)
    dw = contextual.nuisance[:, 1]
    margins = kappa * (M - (1 - M) * dw) + y * (1 - M) * tilt[..., None, None]
    _, _, probs = _cases(contextual)
    return jnp.sum(probs.reshape(2, -1) * (margins <= 0), axis=(-2, -1))


def long_context_threshold(contextual: ContextualModel) -> Float[Array, " m"]:
    """The strength dw from which noise defeats every scale, for each dq (Result E1n).

    zeta / (1 - zeta) exp(chi (1 + dq)^2 / (2 sigma^2)), the largest M / (1 - M) in the limit of
    many tokens, reached at Gamma = (1 + dq) / sigma^2; one entry for each value of the nuisance,
    infinite without noise.

    Raises:
        ValueError: the noise is not isotropic and Gaussian, or q* is not orthogonal to w*.
    """
    contextual.assume("Result E1n", "orthogonal", "isotropic", "gaussian")
    chi, sigma, dq = contextual.context_norm**2, contextual.noise_std, contextual.nuisance[:, 0]
    return _odds(contextual.sparsity) * jnp.exp(chi * (1 + dq) ** 2 / 2 / jnp.square(sigma))


def _long_context(contextual, scale):
    """The exponents [... m] of M / (1 - M) and the tilt w' Sigma q [...], for any scale."""
    contextual.assume("Result E1n", "gaussian")
    Gamma = jnp.asarray(scale, contextual.context.dtype)[..., None]
    w, q = separating_prompt(contextual.context, contextual.regressor, 1.0)
    chi, dq = q @ contextual.context, contextual.nuisance[:, 0]
    factor = contextual.noise_factor
    Fq, Fw = (q, w) if factor is None else (factor.T @ q, factor.T @ w)
    variance = contextual.noise_std**2
    exponent = Gamma * chi * (1 + dq) - Gamma**2 * variance * (Fq @ Fq) / 2
    return exponent, Gamma[..., 0] * variance * (Fw @ Fq)


def _cases(contextual):
    """Labels [2m], nuisance [2m 2] and probabilities [2m] of all pairs, label +1 first."""
    labels = jnp.repeat(jnp.array([1.0, -1.0], contextual.context.dtype), len(contextual.nuisance))
    nuisance = jnp.tile(contextual.nuisance, (2, 1))
    rate = contextual.positive_rate
    rates = jnp.stack([jnp.asarray(rate), jnp.asarray(1 - rate)])
    return labels, nuisance, jnp.outer(rates, contextual.nuisance_weights).reshape(-1)


def _reject(vector, direction):
    """The part of `vector` that is orthogonal to `direction`."""
    unit = direction / jnp.linalg.norm(direction)
    return vector - (unit @ vector) * unit


def _check_not_collinear(context, regressor):
    if isinstance(context, jax.core.Tracer) or isinstance(regressor, jax.core.Tracer):
        return
    q, w = np.asarray(context, np.float64), np.asarray(regressor, np.float64)
    lengths = np.linalg.norm(q) * np.linalg.norm(w)
    rho = q @ w / lengths if lengths else np.nan
    if not 1 - rho**2 > 1e-6:
        raise ValueError(
            "context and regressor must not be collinear, nor zero, got correlation "
            f"{rho:g}; without an angle between them no prompt tells the one from the other"
        )
