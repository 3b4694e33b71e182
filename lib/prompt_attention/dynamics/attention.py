"""What a prompt of a given length and alignment attends to, and the head it yields: G3, G3w.

The scores are drawn, one normal number for each irrelevant token; nothing else is simulated.
"""

import math
from functools import partial
from typing import SupportsIndex

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, Real

from prompt_attention.data import ContextualModel, Estimate
from prompt_attention.data.checks import whole_number
from prompt_attention.dynamics.laws import positive


def attention_mass(
    key: PRNGKeyArray,
    contextual: ContextualModel,
    prompt_norm: Real[ArrayLike, ""],
    alignment: Real[ArrayLike, ""],
    num_draws: SupportsIndex,
) -> Estimate:
    """E[M] of a prompt with a given norm and squared cosine to q*, from its scores (Result G3).

    Relevant tokens score beta c Q, irrelevant ones beta sigma g_t, so one draw of M takes one
    normal number for each irrelevant token. The prompt's component along w*, of order
    1 / sqrt(d), is left out.

    Raises:
        ValueError: a negative norm, an alignment outside [0, 1], fewer than two draws, or a broken
            assumption.
    """
    contextual.assume("Result G3", "core", "orthogonal", "isotropic", "gaussian")
    return Estimate.of(_draw_pooling(key, contextual, prompt_norm, alignment, num_draws)[0])


def second_head_alignment(
    key: PRNGKeyArray,
    contextual: ContextualModel,
    num_examples: Real[ArrayLike, "*n"],
    prompt_norm: Real[ArrayLike, ""],
    alignment: Real[ArrayLike, ""],
    num_draws: SupportsIndex,
    *,
    balanced: bool = False,
) -> Estimate:
    """cos^2(w2, w*) = m^2 W^2 / (m^2 W^2 + o [random labels] / n + sigma^2 v d / n).

    m = E[M], v = E[V], and V is the sum of squared attention weights of the irrelevant tokens;
    o = E[M^2 Q^2 + 2 M A c Q sigma + sigma^2 A^2], and A is the mean of their g_t by the same
    weights. The limit n, d -> infinity with d/n and T fixed; at prompt norm 0 it is
    `head_alignment`. The standard error is that of the draws of (M, V), to first order and without
    the term of random labels. (Result G3w)

    Args:
        key: for the draws, which serve all n.
        contextual: the data: core, orthogonal, isotropic, Gaussian, with labels of equal chance.
        num_examples: n, the examples of the third step.
        prompt_norm: beta, the norm of the prompt.
        alignment: its squared cosine to q*, from `prompt_alignment` or measured.
        num_draws: draws of (M, V).
        balanced: whether exactly half of the labels are +1; random labels leave a piece of the mean
            pooled token in the head, along context and prompt.

    Raises:
        ValueError: n <= 0, or as for `attention_mass`.
    """
    contextual.assume("Result G3w", "core", "orthogonal", "isotropic", "gaussian", "symmetric")
    n = positive("num_examples", num_examples)
    M, V, A = _draw_pooling(key, contextual, prompt_norm, alignment, num_draws)
    m, v = M.mean(), V.mean()
    signal = (m * contextual.regressor_norm) ** 2
    along, noise = M * contextual.context_norm, contextual.noise_std * A
    piece = (along**2 + 2 * jnp.sqrt(alignment) * along * noise + noise**2).mean()
    offset = 0.0 if balanced else piece / n
    cos2 = signal / (signal + offset + contextual.noise_std**2 * v * contextual.dim / n)
    log_odds = Estimate.of(2 * M / m - V / v)  # the first-order change of log(cos2 / (1 - cos2))
    return Estimate(cos2, cos2 * (1 - cos2) * log_odds.standard_error)


def limiting_attention_mass(
    contextual: ContextualModel,
    prompt_norm: Real[ArrayLike, "*b"],
    alignment: Real[ArrayLike, ""],
) -> Float[Array, "*b"]:
    """M for T -> infinity: zeta e^{bcQ} / (zeta e^{bcQ} + (1-zeta) e^{b^2 sigma^2/2}).

    b is the prompt's norm; M is largest at b = c Q / sigma^2. Holds while b stays below
    `freezing_norm`. (Result G3)

    Raises:
        ValueError: a negative norm, an alignment outside [0, 1], or a broken assumption.
    """
    contextual.assume("Result G3", "core", "orthogonal", "isotropic", "gaussian")
    beta, c = _prompt(prompt_norm, alignment)
    zeta = contextual.sparsity
    gain = beta * c * contextual.context_norm - (beta * contextual.noise_std) ** 2 / 2
    return jax.nn.sigmoid(math.log(zeta) - math.log1p(-zeta) + gain)


def hard_attention_mass(
    contextual: ContextualModel, alignment: Real[ArrayLike, ""]
) -> Float[Array, ""]:
    """E[M] for prompt norm -> infinity: Phi(c Q / sigma)^{(1 - zeta) T}, exact for any T.

    An infinitely large prompt picks the token of the largest score. (Result G3)
    """
    contextual.assume("Result G3", "core", "orthogonal", "isotropic", "gaussian")
    _, c = _prompt(0.0, alignment)
    T_irr = contextual.num_tokens - contextual.num_relevant
    return jnp.exp(T_irr * log_ndtr(c * contextual.context_norm / contextual.noise_std))


def freezing_norm(contextual: ContextualModel) -> Float[Array, ""]:
    """The prompt norm sqrt(2 log T_irr) / sigma from which single noise tokens win (Result G3).

    Beyond it the sum over irrelevant tokens is carried by its largest terms and no longer by its
    mean: the law of large numbers behind the long-context limit fails.
    """
    contextual.assume("Result G3", "isotropic", "gaussian")
    T_irr = contextual.num_tokens - contextual.num_relevant
    return jnp.sqrt(2 * math.log(T_irr)) / contextual.noise_std


def _prompt(prompt_norm, alignment):
    beta, alignment = jnp.asarray(prompt_norm), jnp.asarray(alignment)
    if not isinstance(beta, jax.core.Tracer) and not (beta >= 0).all():
        raise ValueError(f"prompt_norm must be >= 0, got {beta}")
    if not isinstance(alignment, jax.core.Tracer) and not 0 <= alignment <= 1:
        raise ValueError(f"alignment, a squared cosine, must lie in [0, 1], got {alignment}")
    return beta, jnp.sqrt(alignment)


def _draw_pooling(key, contextual, prompt_norm, alignment, num_draws):
    """Draws of M, the mass on relevant tokens, and of V and A, which sum over the others.

    V sums their squared weights, A their weights times g_t.
    """
    num_draws = whole_number("num_draws", num_draws, least=2)
    beta, c = _prompt(prompt_norm, alignment)
    T, k = contextual.num_tokens, contextual.num_relevant
    scores = beta * c * contextual.context_norm, beta * contextual.noise_std
    return _pooling(key, *scores, T, k, num_draws)


# Nothing here has the length of a token: one program serves every dimension.
@partial(jax.jit, static_argnames=("num_tokens", "num_relevant", "num_draws"))
def _pooling(key, relevant_score, noise_scale, num_tokens, num_relevant, num_draws):
    T_irr = num_tokens - num_relevant

    def draw(key):
        g = jax.random.normal(key, (T_irr,), relevant_score.dtype)
        scores = noise_scale * g
        relevant = math.log(num_relevant) + relevant_score
        log_total = jnp.logaddexp(relevant, jax.nn.logsumexp(scores))
        weights = jnp.exp(scores - log_total)
        return jnp.exp(relevant - log_total), (weights**2).sum(), weights @ g

    batch_size = min(num_draws, max(1, 2**20 // T_irr))
    return jax.lax.map(draw, jax.random.split(key, num_draws), batch_size=batch_size)
