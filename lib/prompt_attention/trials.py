"""Heads that know the prompt, trained and tested on tokens drawn in full: the formulas' judges."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, Real

from prompt_attention import models, risk
from prompt_attention.data import Batch, ContextualModel, Estimate
from prompt_attention.performance import fit_head

Draw = Callable[[ContextualModel, PRNGKeyArray, int], Batch]


class PooledBatch(NamedTuple):
    """Examples after pooling with the prompt tau qbar*."""

    features: Float[Array, "n d"]  # pooled tokens, their part along q* removed
    labels: Float[Array, " n"]
    mass: Float[Array, " n"]  # attention on relevant tokens
    spread: Float[Array, " n"]  # sum of squared weights of irrelevant tokens


def pool(
    contextual: ContextualModel, batch: Batch, prompt_scale: Real[ArrayLike, ""]
) -> PooledBatch:
    """Pool every example with the prompt tau qbar*."""
    direction = contextual.context / contextual.context_norm
    weights = jax.nn.softmax(prompt_scale * batch.tokens @ direction)
    pooled = jnp.einsum("nt,ntd->nd", weights, batch.tokens)
    features = pooled - jnp.outer(pooled @ direction, direction)
    mass = (weights * batch.relevant).sum(axis=1)
    spread = (weights**2 * ~batch.relevant).sum(axis=1)
    return PooledBatch(features, batch.labels, mass, spread)


def known_prompt_trials(
    key: PRNGKeyArray,
    contextual: ContextualModel,
    prompt_scale: Real[ArrayLike, ""],
    num_examples: int,
    num_trials: int,
    *,
    method: str = "gradient",
    weighting: str = "uniform",
    ridge: float = 0.0,
    num_test: int = 2000,
    draw: Draw | None = None,
) -> Estimate:
    """The test error of a head fitted to pooled features, over independent training sets.

    Test tokens are drawn as coordinates along prompt and head (Result D3) where that is exact, and
    in full for noise that is not Gaussian or a `draw` of the caller's.

    Args:
        key: split once for each trial.
        contextual: any data.
        prompt_scale: tau; the prompt is tau qbar*.
        num_examples: n, the size of a training set.
        num_trials: the number of training sets.
        method: as in `fit_head`.
        weighting: "uniform", or "optimal" to weigh each feature by its m / v.
        ridge: as in `fit_head`, but in units of the mean variance of the pooled noise.
        num_test: test examples for each trial.
        draw: a function of (contextual, key, n) in place of `ContextualModel.sample`.
    """
    projected = draw is None and contextual.noise_law is jax.random.normal
    draw = ContextualModel.sample if draw is None else draw
    variance = contextual.noise_std**2

    def trial(key):
        train_key, test_key = jax.random.split(key)
        train = _pooled(train_key, contextual, prompt_scale, num_examples, draw)
        features = train.features
        if weighting == "optimal":
            features = features * (train.mass / train.spread)[:, None]
        penalty = float(ridge * variance * train.spread.mean()) if ridge else 0.0
        head = fit_head(features, train.labels, method, penalty)
        test = (test_key, contextual, prompt_scale, head, num_test)
        return _projected_error(*test) if projected else _full_error(*test, draw)

    return Estimate.of(jnp.stack([trial(key) for key in jax.random.split(key, num_trials)]))


def noisy_relevant_tokens(contextual: ContextualModel, key: PRNGKeyArray, n: int) -> Batch:
    """Draw a batch whose relevant tokens carry the noise of the irrelevant ones, too."""
    sample_key, noise_key = jax.random.split(key)
    batch = contextual.sample(sample_key, n)
    z = contextual.noise_std * jax.random.normal(noise_key, batch.tokens.shape)
    return batch._replace(tokens=batch.tokens + z * batch.relevant[..., None])


@partial(jax.jit, static_argnames=("num_examples", "draw"))
def _pooled(key, contextual, prompt_scale, num_examples, draw):
    return pool(contextual, draw(contextual, key, num_examples), prompt_scale)


def _model(contextual, prompt_scale, head):
    direction = contextual.context / contextual.context_norm
    return models.PromptAttention(contextual.dim, head=head, prompt=prompt_scale * direction)


@partial(jax.jit, static_argnames=("num_test",))
def _projected_error(key, contextual, prompt_scale, head, num_test):
    model = _model(contextual, prompt_scale, head)
    return risk.projected_error(model, contextual, key, num_test).value


@partial(jax.jit, static_argnames=("num_test", "draw"))
def _full_error(key, contextual, prompt_scale, head, num_test, draw):
    model = _model(contextual, prompt_scale, head)
    return risk.error_rate(model, draw(contextual, key, num_test)).value
