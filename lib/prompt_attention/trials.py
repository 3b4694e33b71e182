"""Heads that know the prompt, trained and tested on tokens drawn in full: the formulas' judges."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, Real

from prompt_attention import draws, models, risk
from prompt_attention.data import Batch, ContextualModel, Estimate
from prompt_attention.data.checks import one_or_several, whole_number
from prompt_attention.performance import fit_head
from prompt_attention.performance.heads import SOLVED_BY_JAX
from prompt_attention.performance.pooled import weighting_power

Draw = Callable[[ContextualModel, PRNGKeyArray, int], Batch]


class PooledBatch(NamedTuple):
    """Examples after pooling with the prompt tau qbar*."""

    features: Float[Array, "n d"]  # pooled tokens, their part along q* removed
    labels: Float[Array, " n"]
    mass: Float[Array, " n"]  # attention on relevant tokens
    spread: Float[Array, " n"]  # sum of squared weights of irrelevant tokens


@jax.jit
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
    prompt_scale: Real[ArrayLike, "*grid"],
    num_examples: SupportsIndex | Sequence[SupportsIndex],
    num_trials: SupportsIndex,
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
        prompt_scale: tau; the prompt is tau qbar*. All scales pool the same tokens.
        num_examples: n, the size of a training set, or several; the estimates then have the sizes
            as their first axis, and a smaller training set is the beginning of the largest.
        num_trials: the number of training sets of each size, at least 2.
        method: as in `fit_head`.
        weighting: "uniform", or "optimal" to weigh each feature by its m / v.
        ridge: as in `fit_head`, but in units of the mean variance of the pooled noise.
        num_test: test examples for each trial.
        draw: a function of (contextual, key, n) in place of `ContextualModel.sample`. For several
            sizes its examples must be independent, or else the first of many are no sample.

    Raises:
        ValueError: a size that is not a whole number >= 1, fewer than two trials, an unknown
            weighting, or as `fit_head`.
    """
    power = weighting_power(weighting)
    scales = jnp.asarray(prompt_scale, float)
    several = isinstance(num_examples, Sequence)
    sizes = one_or_several("num_examples", num_examples)
    num_trials = whole_number("num_trials", num_trials, least=2)
    projected = draw is None and contextual.noise_law is jax.random.normal
    draw = ContextualModel.sample if draw is None else draw
    drawn = (key, contextual, scales.ravel(), max(sizes), num_trials, draw)
    largest, test_keys = _training_sets(*drawn)
    found = []
    for n in sizes:
        train = _prepared(largest, contextual.noise_std, ridge, power, n)
        heads = _fit_all(*train, method)
        test = (test_keys, contextual, scales.ravel(), heads, num_test)
        errors = _projected_errors(*test) if projected else _full_errors(*test, draw)
        estimates = jax.vmap(Estimate.of, in_axes=1)(errors)
        found.append(Estimate(*(part.reshape(scales.shape) for part in estimates)))
    return jax.tree.map(lambda *of_sizes: jnp.stack(of_sizes), *found) if several else found[0]


def noisy_relevant_tokens(contextual: ContextualModel, key: PRNGKeyArray, n: int) -> Batch:
    """Draw a batch whose relevant tokens carry the noise of the irrelevant ones, too."""
    sample_key, noise_key = jax.random.split(key)
    batch = contextual.sample(sample_key, n)
    z = contextual.noise_std * draws.normal(noise_key, batch.tokens.shape)
    return batch._replace(tokens=batch.tokens + z * batch.relevant[..., None])


@partial(jax.jit, static_argnames=("num_examples", "num_trials", "draw"))
def _training_sets(key, contextual, prompt_scales, num_examples, num_trials, draw):
    """One pooled batch for each trial and scale, with these two axes in front, and a test key."""
    train_keys, test_keys = jax.random.split(key, 2 * num_trials).reshape(-1, 2).T

    def one(key):
        batch = draw(contextual, key, num_examples)
        return jax.vmap(partial(pool, contextual, batch))(prompt_scales)

    return jax.lax.map(one, train_keys), test_keys


@partial(jax.jit, static_argnames=("num_examples",))
def _prepared(train, noise_std, ridge, power, num_examples):
    """Weighed features, labels and a penalty for each trial and scale, of the first n examples."""
    train = jax.tree.map(lambda part: part[:, :, :num_examples], train)
    features = train.features * (train.mass / train.spread)[..., None] ** power
    return features, train.labels, ridge * noise_std**2 * train.spread.mean(axis=-1)


def _fit_all(features, labels, penalties, method):
    """One head for each trial and scale."""
    if method in SOLVED_BY_JAX:
        return _fit_in_jax(features, labels, penalties, method)
    x, y, penalty = (np.asarray(part) for part in (features, labels, penalties))
    heads = [
        fit_head(jnp.asarray(x[at]), jnp.asarray(y[at]), method, float(penalty[at]))
        for at in np.ndindex(penalty.shape)
    ]
    return jnp.array(heads).reshape(*penalty.shape, -1)


@partial(jax.jit, static_argnames=("method",))
def _fit_in_jax(features, labels, penalties, method):
    def fit(x, y, penalty):
        return fit_head(x, y, method, penalty)

    return jax.vmap(jax.vmap(fit))(features, labels, penalties)


def _model(contextual, prompt_scale, head):
    direction = contextual.context / contextual.context_norm
    return models.PromptAttention(contextual.dim, head=head, prompt=prompt_scale * direction)


@partial(jax.jit, static_argnames=("num_test",))
def _projected_errors(keys, contextual, prompt_scales, heads, num_test):
    def one(key, scale, head):
        model = _model(contextual, scale, head)
        return risk.projected_error(model, contextual, key, num_test).value

    every_scale = jax.vmap(one, in_axes=(None, 0, 0))
    return jax.lax.map(lambda at: every_scale(at[0], prompt_scales, at[1]), (keys, heads))


@partial(jax.jit, static_argnames=("num_test", "draw"))
def _full_errors(keys, contextual, prompt_scales, heads, num_test, draw):
    def one(at):
        key, heads = at
        test = draw(contextual, key, num_test)

        def error(scale, head):
            return risk.error_rate(_model(contextual, scale, head), test).value

        return jax.vmap(error)(prompt_scales, heads)

    return jax.lax.map(one, (keys, heads))
