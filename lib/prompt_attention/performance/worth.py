"""The worth of context in examples: how many a target error takes, with and without a prompt."""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, Real
from scipy import optimize

from prompt_attention.data import ContextualModel
from prompt_attention.performance.limits import (
    best_prompt_scale,
    freezing_scale,
    gradient_head_error,
    long_context_snr,
)
from prompt_attention.performance.pipeline import learned_prompt_error
from prompt_attention.performance.pooled import known_prompt_error

METHODS = ("mean pooling", "known prompt", "learned prompt")


def samples_for_error(
    contextual: ContextualModel,
    target: Real[ArrayLike, "*grid"],
    method: str = "known prompt",
    *,
    key: PRNGKeyArray | None = None,
    prompt_scales: Float[Array, " m"] | None = None,
    num_draws: int = 4_000,
) -> Float[np.ndarray, "*grid"] | float:
    """The number of examples n at which a head's error falls to a target (Result X8).

    Inverts the error formulas with a root finder; round up for a whole number. In each, the error
    is that of the best of `prompt_scales`.

    Args:
        contextual: the model.
        target: the error to reach, in (0, 1/2).
        method: "mean pooling" inverts X4 with s at prompt scale 0, which is exact for any T as n
            and d grow. "known prompt" inverts X2 if a key is given, and otherwise X4 with X3 at the
            best prompt scale. "learned prompt" inverts G7 with balanced labels, and needs a key; n
            is then the size of each of the three batches.
        key: for the draws of X2 and G7, the same for all n and all scales.
        prompt_scales: the prompt scales to choose from; by default 33 of them, from 0 to twice the
            larger of `best_prompt_scale` and `freezing_scale`.
        num_draws: draws for each scale.

    Returns:
        n for each target, at least 1, or infinity if no number of examples below 10^12 is enough.

    Raises:
        ValueError: `target` or `method` lies outside its domain, a key is missing, the long-context
            formula is asked for beyond its freezing scale, or the model breaks an assumption.
    """
    targets = np.asarray(target, float)
    if not ((targets > 0) & (targets < 0.5)).all():
        raise ValueError(f"target must lie in (0, 1/2), got {target}")
    log_error = _log_error(contextual, method, key, prompt_scales, num_draws)

    def solve(target):
        def excess(log_n):
            return float(log_error(np.exp(log_n))) - np.log(target)

        low, high = 0.0, np.log(1e12)
        if excess(low) <= 0:
            return 1.0
        if excess(high) > 0:
            return np.inf
        return np.exp(optimize.brentq(excess, low, high, rtol=1e-6))

    return np.vectorize(solve, otypes=[float])(targets)[()]


def _log_error(contextual, method, key, scales, num_draws):
    """The logarithm of the error as a function of n."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if method == "mean pooling" or (method == "known prompt" and key is None):
        snr = long_context_snr(contextual, _closed_form_scale(contextual, method))
        return lambda n: gradient_head_error(snr, n / (contextual.dim - 1), log=True)
    if key is None:
        raise ValueError("method 'learned prompt' needs a key")
    scales = _default_scales(contextual) if scales is None else scales
    if method == "learned prompt":
        errors = partial(learned_prompt_error, key, contextual, prompt_norm=scales)
    else:
        errors = partial(known_prompt_error, key, contextual, scales)
    return lambda n: jnp.min(errors(num_examples=n, num_draws=num_draws, log=True).value)


def _closed_form_scale(contextual, method):
    if method == "mean pooling":
        return 0.0
    best = best_prompt_scale(contextual)
    frozen = freezing_scale(contextual.num_tokens - contextual.num_relevant, contextual.noise_std)
    if best > frozen:
        raise ValueError(
            "the long-context formula holds below the freezing scale "
            f"{float(frozen):.3g}, but the best prompt scale is {float(best):.3g}: give a key, and "
            "the error for this number of tokens is used"
        )
    return best


def _default_scales(contextual):
    num_irrelevant = contextual.num_tokens - contextual.num_relevant
    frozen = freezing_scale(num_irrelevant, contextual.noise_std)
    top = 2 * jnp.maximum(best_prompt_scale(contextual), frozen)
    return jnp.linspace(0.05, 1, 33) * top
