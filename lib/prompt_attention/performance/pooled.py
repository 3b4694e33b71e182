"""Features pooled with a known prompt, and the error of a head averaged from n of them.

With the prompt q = tau qbar*, scores and the rest of a token are independent, so everything about
an example but its label and its d - 1 noise coordinates is in two numbers: the attention mass m and
the spread v of the noise weights.
"""

import dataclasses
import math
from functools import partial
from typing import NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, Real

from prompt_attention import draws
from prompt_attention.data import ContextualModel, Estimate
from prompt_attention.data.checks import checked_once, whole_number
from prompt_attention.performance.limits import positive_noise
from prompt_attention.performance.tails import gaussian_tail, rescaled


@checked_once(
    traced=("context_norm", "regressor_norm", "noise_std", "dim"),
    static=("num_tokens", "num_relevant"),
)
@dataclasses.dataclass(frozen=True, kw_only=True)
class Invariants:
    """What a rotation of the tokens leaves of the core dataset, if q* and w* are orthogonal.

    The errors depend on nothing else, and a program compiled for these serves every dimension.
    """

    context_norm: Real[ArrayLike, ""]  # Q
    regressor_norm: Real[ArrayLike, ""]  # W
    noise_std: Real[ArrayLike, ""]  # sigma
    dim: Real[ArrayLike, ""]  # d
    num_tokens: int  # T
    num_relevant: int  # |R| = zeta T

    @classmethod
    def of(cls, contextual: ContextualModel) -> "Invariants":
        """Those of a model, whose assumptions the caller has checked."""
        values = {field.name: getattr(contextual, field.name) for field in dataclasses.fields(cls)}
        return cls(**{**values, "dim": float(contextual.dim)})


class PooledMoments(NamedTuple):
    """What the scores of n examples decide: P X' phi = mass y w* + sigma sqrt(spread) h."""

    mass: Float[Array, "*grid n"]  # m, the weight on relevant tokens
    spread: Float[Array, "*grid n"]  # v, the sum of squared weights of irrelevant tokens


class SoftmaxSums(NamedTuple):
    """Sums over one softmax, whose irrelevant scores are scale * g_t."""

    mass: Float[Array, ""]  # sum of the weights of relevant tokens
    spread: Float[Array, ""]  # sum of the squared weights of irrelevant tokens
    lean: Float[Array, ""]  # sum of g_t times its weight


def softmax_sums(
    relevant_score: Real[ArrayLike, ""],
    num_relevant: int,
    scale: Real[ArrayLike, ""],
    noise: Float[Array, " N"],
) -> SoftmaxSums:
    """Sums over the softmax of `num_relevant` equal scores and the scores scale * noise.

    A spread below the square root of the smallest number of its type, 1e-19 in single precision, is
    given as that root, so that quotients by it and by its square stay finite.
    """
    scores = scale * noise
    top = jnp.maximum(relevant_score, scores.max())
    relevant = num_relevant * jnp.exp(relevant_score - top)
    weights = jnp.exp(scores - top)
    D = relevant + weights.sum()
    least = math.sqrt(jnp.finfo(D.dtype).tiny)
    spread = jnp.maximum((weights**2).sum() / D**2, least)
    return SoftmaxSums(relevant / D, spread, weights @ noise / D)


def pooled_moments(
    key: PRNGKeyArray,
    contextual: ContextualModel,
    prompt_scale: Real[ArrayLike, "*grid"],
    num_draws: SupportsIndex,
) -> PooledMoments:
    """Draw (m, v) of independent examples, for the prompt tau qbar* (Result X1).

    With S1 = sum_t e^{tau sigma g_t}, S2 = sum_t e^{2 tau sigma g_t} over irrelevant tokens and
    D = zeta T e^{tau Q} + S1: m = zeta T e^{tau Q} / D and v = S2 / D^2. Exact for any T. The same
    g serve every prompt scale.

    Raises:
        ValueError: the model breaks an assumption, or `num_draws` is not a whole number >= 1.
    """
    contextual.assume("Result X1", "core", "orthogonal", "isotropic", "gaussian")
    num_draws = whole_number("num_draws", num_draws, least=1)
    return _draw_moments(key, Invariants.of(contextual), prompt_scale, num_draws)


@partial(jax.jit, static_argnames=("num_draws",))
def _draw_moments(key, model, prompt_scale, num_draws):
    k, Q, sigma = model.num_relevant, model.context_norm, model.noise_std
    g = draws.normal(key, (num_draws, model.num_tokens - k))

    def at(tau):
        sums = jax.vmap(lambda g: softmax_sums(tau * Q, k, tau * sigma, g))(g)
        return PooledMoments(sums.mass, sums.spread)

    return PooledMoments(
        *jnp.vectorize(at, signature="()->(n),(n)")(jnp.asarray(prompt_scale, float))
    )


def known_prompt_error(
    key: PRNGKeyArray,
    contextual: ContextualModel,
    prompt_scale: Real[ArrayLike, "*#grid"],
    num_examples: Real[ArrayLike, "*#grid"],
    weighting: str = "uniform",
    num_draws: SupportsIndex = 10_000,
    log: bool = False,
) -> Estimate:
    """The error of a head averaged from n pooled features, as n and d grow at a fixed d/n.

    With weights c = 1 ("uniform", Result X2) or c = m / v ("optimal", Result X6w), and gamma =
    (d - 1) / n because the pooled features lie in the complement of q*,

        ERR = E_{(m,v)} Phibar( (m / sqrt v)(W / sigma)
                                / sqrt(1 + gamma sigma^2 E[c^2 v] / (E[c m]^2 W^2)) ).

    Any number of tokens. `prompt_scale` and `num_examples` broadcast; every entry is computed from
    the same draws, so curves are smooth. The standard error includes that of the inner averages.
    With `log` the estimate is of the logarithm of the error, and its standard error is relative.

    Raises:
        ValueError: the model breaks an assumption, `weighting` is unknown, or an argument is not
            positive.
    """
    contextual.assume("Result X2", "core", "orthogonal", "isotropic", "gaussian")
    positive_noise("Result X2", contextual)
    check_positive("num_examples", num_examples)
    num_draws = whole_number("num_draws", num_draws, least=1)
    grid = (jnp.asarray(prompt_scale, float), jnp.asarray(num_examples, float))
    power = weighting_power(weighting)
    *scaled, top = _known_prompt(key, Invariants.of(contextual), *grid, power, num_draws)
    return rescaled(Estimate(*scaled), top, log)


@partial(jax.jit, static_argnames=("num_draws",))
def _known_prompt(key, model, prompt_scale, num_examples, power, num_draws):
    def one(tau, n):
        moments = _draw_moments(key, model, tau, num_draws)
        scaled, top = averaged_head_error(moments, model, n, power)
        return *scaled, top

    return jnp.vectorize(one, signature="(),()->(),(),()")(prompt_scale, num_examples)


def averaged_head_error(
    moments: PooledMoments,
    model: Invariants,
    num_examples: Real[ArrayLike, ""],
    power: Real[ArrayLike, ""] = 0.0,
) -> tuple[Estimate, Float[Array, ""]]:
    """The error of `known_prompt_error` from draws at hand, for the weights c = (m / v)^power.

    Returns the estimate divided by the largest error of a draw, and the logarithm of that error.
    """
    m, v = moments
    ratio = model.regressor_norm / model.noise_std
    gamma = (model.dim - 1) / jnp.asarray(num_examples, float)
    c = (m / v) ** power
    parts = jnp.stack([c * m, c**2 * v])

    def log_errors(averages):
        signal, noise = averages
        margins = m / jnp.sqrt(v) * ratio * _cosine(signal * ratio, gamma * noise)
        return gaussian_tail(margins, log=True)

    averages = parts.mean(axis=1)
    top = log_errors(averages).max()
    slope = jax.grad(lambda averages: jnp.exp(log_errors(averages) - top).mean())(averages)
    # the delta method: what each draw adds to the estimate, through its error and the averages
    through_averages = slope @ (parts - averages[:, None])
    return Estimate.of(jnp.exp(log_errors(averages) - top) + through_averages), top


def finite_sample_error(
    key: PRNGKeyArray,
    contextual: ContextualModel,
    prompt_scale: Real[ArrayLike, ""],
    num_examples: SupportsIndex,
    weighting: str = "uniform",
    num_heads: SupportsIndex = 500,
    log: bool = False,
) -> Estimate:
    """The error of an averaged head, without any limit: exact for every n, d >= 2 and T.

    The head is m w* + noise whose part along w* is one normal number and whose other d - 2
    coordinates enter by their length only (Result X2). Draws `num_heads` training sets of n pairs
    (m, v), and as many test pairs for each. `log` is that of `known_prompt_error`.

    Raises:
        ValueError: as for `known_prompt_error`, or `num_examples` is not a whole number >= 1.
    """
    contextual.assume("Result X2", "core", "orthogonal", "isotropic", "gaussian")
    positive_noise("Result X2", contextual)
    num_examples = whole_number("num_examples", num_examples, least=1)
    num_heads = whole_number("num_heads", num_heads, least=1)
    keys = jax.random.split(key, num_heads)
    scale, power = jnp.asarray(prompt_scale, float), weighting_power(weighting)
    log_errors = _finite_sample(keys, contextual, scale, power, num_examples)
    top = log_errors.max()
    return rescaled(Estimate.of(jnp.exp(log_errors - top)), top, log)


@partial(jax.jit, static_argnames=("num_examples",))
def _finite_sample(keys, contextual, prompt_scale, power, num_examples):
    ratio = contextual.regressor_norm / contextual.noise_std

    def one_head(key):
        train_key, test_key, noise_key = jax.random.split(key, 3)
        train = pooled_moments(train_key, contextual, prompt_scale, num_examples)
        test = pooled_moments(test_key, contextual, prompt_scale, num_examples)
        c = (train.mass / train.spread) ** power
        std = jnp.sqrt((c**2 * train.spread).mean() / num_examples)
        h = std * jax.random.normal(noise_key, (contextual.dim - 1,))
        cosine = _cosine((c * train.mass).mean() * ratio + h[0], h[1:] @ h[1:])
        log_tails = gaussian_tail(test.mass / jnp.sqrt(test.spread) * ratio * cosine, log=True)
        return jax.nn.logsumexp(log_tails) - jnp.log(num_examples)

    batch_size = max(1, 2**18 // (num_examples * contextual.num_tokens))
    return jax.lax.map(one_head, keys, batch_size=min(batch_size, len(keys)))


def check_positive(name: str, value: Real[ArrayLike, "..."]) -> None:
    """Refuse what is not > 0 everywhere; a traced value is not checked."""
    if not isinstance(value, jax.core.Tracer) and not (np.asarray(value) > 0).all():
        raise ValueError(f"{name} must be > 0, got {value}")


def weighting_power(weighting: str) -> float:
    """The power of m / v by which features are weighed."""
    if weighting not in ("uniform", "optimal"):
        raise ValueError(f"weighting must be 'uniform' or 'optimal', got {weighting!r}")
    return float(weighting == "optimal")


def _cosine(along, squared_across):
    """The cosine of a vector's angle, from its part along and its squared length across."""
    return along / jnp.sqrt(along**2 + squared_across)
