"""How well the first two gradient steps point, and the examples it takes: results G1, G2, G4.

Core dataset, context orthogonal to regressor, labels of equal chance, small steps. An alignment is
a squared cosine. Nothing here is simulated.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from prompt_attention.data import ContextualModel


def head_alignment(
    contextual: ContextualModel, num_examples: Real[ArrayLike, "*n"], *, balanced: bool = False
) -> Float[Array, "*n"]:
    """cos^2(w1, w*) = zeta^2 W^2 / (zeta^2 W^2 + zeta^2 Q^2 [random labels] / n + nu^2 d).

    nu^2 d = (1 - zeta) tr(Sigma) / (T n), for noise of any law and shape with tr(Sigma^2) much
    smaller than tr(Sigma)^2. The limit n, d -> infinity with d/n and T fixed; at finite d the mean
    lies within about 1/d of it. (Result G1)

    Args:
        contextual: the data, core and orthogonal, with labels of equal chance.
        num_examples: n, the examples of the step.
        balanced: whether exactly half of the labels are +1; random labels leave a piece of the
            context in the head.

    Raises:
        ValueError: n <= 0, or the model breaks an assumption; the message names it.
    """
    contextual.assume("Result G1", "core", "orthogonal", "symmetric")
    n = positive("num_examples", num_examples)
    zeta, T = contextual.sparsity, contextual.num_tokens
    Q, W = contextual.context_norm, contextual.regressor_norm
    offset = 0.0 if balanced else zeta**2 * Q**2 / n
    noise = (1 - zeta) * _noise_trace(contextual) / (T * n)
    return (zeta * W) ** 2 / ((zeta * W) ** 2 + offset + noise)


def prompt_alignment(
    contextual: ContextualModel, num_examples: Real[ArrayLike, "*n"], *, balanced: bool = False
) -> Float[Array, "*n"]:
    """cos^2(q1, q*) as E<q1, q*/Q>^2 / E||q1||^2, both moments exact for every n, T, d (Result G2).

    Only the fluctuation of the quotient is left out, of relative size 1/d + 1/n. The limit for
    n, d -> infinity with d/n and T fixed is `limiting_prompt_alignment`.

    Args:
        contextual: the data: core, orthogonal, isotropic, Gaussian, with labels of equal chance.
        num_examples: n, the fresh examples of each of the two steps.
        balanced: whether exactly half of the labels are +1 in both batches; random labels add terms
            of order 1/n.

    Raises:
        ValueError: n <= 0, or the model breaks an assumption; the message names it.
    """
    contextual.assume("Result G2", "core", "orthogonal", "isotropic", "gaussian", "symmetric")
    n = positive("num_examples", num_examples)
    zeta, T, d = contextual.sparsity, contextual.num_tokens, contextual.dim
    Q2, W2 = contextual.context_norm**2, contextual.regressor_norm**2
    var = contextual.noise_std**2
    imbalance = 0.0 if balanced else 1 / n  # E[ybar^2], called epsilon
    nu2 = var * (1 - zeta) / (T * n)
    # Second moments of the first head: a = <w1, q*>, b = <w1, w*>.
    a2 = zeta**2 * Q2**2 * imbalance + nu2 * Q2
    b2 = zeta**2 * W2**2 + nu2 * W2
    w2 = zeta**2 * (W2 + Q2 * imbalance) + nu2 * d
    # Chat w1 = mu <r, w1> r + kappa w1 + noise, linear and quadratic in the tokens' noise.
    mu, kappa = zeta * (1 - zeta), (1 - zeta) * (1 - 1 / T) * var
    linear, quadratic = zeta**2 * nu2, var * nu2 * _theta(zeta, T)
    along = mu**2 * Q2 * b2 + linear * (Q2 * w2 + 3 * a2 + b2) + quadratic * (w2 + a2 / Q2)
    along += imbalance * (mu + kappa / Q2) ** 2 * Q2 * a2
    total = mu**2 * (Q2 * b2 + W2 * a2)
    total += linear * ((Q2 + W2) * w2 + (d + 2) * (a2 + b2)) + quadratic * (d + 1) * w2
    tilt = mu**2 * (Q2 * a2 + W2 * b2) + kappa**2 * w2 + 2 * mu * kappa * (a2 + b2)
    total += imbalance * tilt
    return along / total


def limiting_prompt_alignment(
    contextual: ContextualModel, num_examples: Real[ArrayLike, "*n"]
) -> Float[Array, "*n"]:
    """cos^2(q1, q*) = S^2 / (S^2 + N) for n, d -> infinity with d/n and T fixed (Result G2).

    S = zeta^2 (1 - zeta) W^2 Q and, with ||w1||^2 = zeta^2 W^2 + nu^2 d,
    N = nu^2 d [theta sigma^2 ||w1||^2 + zeta^4 W^4], theta = 1 - (1 + zeta) / T.

    Raises:
        ValueError: as for `prompt_alignment`.
    """
    contextual.assume("Result G2", "core", "orthogonal", "isotropic", "gaussian", "symmetric")
    n = positive("num_examples", num_examples)
    zeta, T = contextual.sparsity, contextual.num_tokens
    Q, W, var = contextual.context_norm, contextual.regressor_norm, contextual.noise_std**2
    noise = contextual.dim * var * (1 - zeta) / (T * n)  # nu^2 d
    w2 = zeta**2 * W**2 + noise
    S = zeta**2 * (1 - zeta) * W**2 * Q
    N = noise * (_theta(zeta, T) * var * w2 + zeta**4 * W**4)
    return S**2 / (S**2 + N)


def population_prompt_alignment(correlation: Real[ArrayLike, "*r"]) -> Float[Array, "*r"]:
    """cos^2(q1, q*) for n -> infinity when context and regressor are correlated (Result G2).

    The prompt is then along qbar + rho wbar in unit vectors, so cos^2 = (1 + rho^2)^2 /
    (1 + 3 rho^2): never below 8/9, which it takes at rho^2 = 1/3.

    Raises:
        ValueError: a correlation outside [-1, 1].
    """
    rho = jnp.asarray(correlation)
    if not isinstance(rho, jax.core.Tracer) and not (abs(rho) <= 1).all():
        raise ValueError(f"correlation must lie in [-1, 1], got {rho}")
    return (1 + rho**2) ** 2 / (1 + 3 * rho**2)


def samples_for_alignment(
    contextual: ContextualModel, target: Real[ArrayLike, "*t"], *, balanced: bool = False
) -> Float[Array, "*t"]:
    """The n at which `head_alignment` equals target (Result G4).

    For balanced labels target / (1 - target) times d sigma^2 (1 - zeta) / (T zeta^2 W^2): linear in
    d, inverse in T zeta^2.

    Raises:
        ValueError: a target outside (0, 1), or a broken assumption of G1.
    """
    contextual.assume("Result G4", "core", "orthogonal", "symmetric")
    t = _target(target)
    zeta, T = contextual.sparsity, contextual.num_tokens
    offset = 0.0 if balanced else (zeta * contextual.context_norm) ** 2
    noise = (1 - zeta) * _noise_trace(contextual) / T
    return t / (1 - t) * (offset + noise) / (zeta * contextual.regressor_norm) ** 2


def samples_for_prompt_alignment(
    contextual: ContextualModel, target: Real[ArrayLike, "*t"]
) -> Float[Array, "*t"]:
    """The n at which `limiting_prompt_alignment` equals target (Result G4).

    n = x n_half with n_half the number for head alignment 1/2 and u = 1/x the positive root of
    theta sigma^2 u^2 + (theta sigma^2 + zeta^2 W^2) u = (1 - zeta)^2 Q^2 (1 - target) / target,
    theta = 1 - (1 + zeta) / T; written so that nothing cancels.

    Raises:
        ValueError: a target outside (0, 1), or a broken assumption of G2.
    """
    contextual.assume("Result G4", "core", "orthogonal", "isotropic", "gaussian", "symmetric")
    t = _target(target)
    zeta, T, var = contextual.sparsity, contextual.num_tokens, contextual.noise_std**2
    A = _theta(zeta, T) * var
    B = A + (zeta * contextual.regressor_norm) ** 2
    K = ((1 - zeta) * contextual.context_norm) ** 2 * (1 - t) / t
    u = 2 * K / (B + jnp.sqrt(B**2 + 4 * A * K))
    return samples_for_alignment(contextual, 0.5, balanced=True) / u


def _theta(zeta, T):
    """What centring within an example leaves of the quadratic noise."""
    return 1 - (1 + zeta) / T


def _noise_trace(contextual):
    F = contextual.noise_factor
    return contextual.noise_std**2 * (contextual.dim if F is None else jnp.sum(F**2))


def positive(name: str, value: ArrayLike) -> Array:
    """The value as an array; a ValueError unless it is positive or traced."""
    value = jnp.asarray(value)
    if not isinstance(value, jax.core.Tracer) and not (value > 0).all():
        raise ValueError(f"{name} must be > 0, got {value}")
    return value


def _target(target):
    t = jnp.asarray(target)
    if not isinstance(t, jax.core.Tracer) and not ((t > 0) & (t < 1)).all():
        raise ValueError(f"target must lie in (0, 1), got {t}")
    return t
