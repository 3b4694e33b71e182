"""Averaged heads on real features, their relatives, and the errors that they have."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, Real

from prompt_attention import draws
from prompt_attention.data import Estimate
from prompt_attention.vision.canvases import Canvases
from prompt_attention.vision.prediction import Moments


def signed(canvases: Canvases) -> Canvases:
    """Labels +1 and -1 in place of two classes, the larger class +1.

    Raises:
        ValueError: the canvases do not have two classes.
    """
    classes = jnp.unique(canvases.labels)
    if len(classes) != 2:
        raise ValueError(f"signed labels need canvases of 2 classes, got {len(classes)}")
    return canvases._replace(labels=jnp.where(canvases.labels == classes[1], 1, -1))


@jax.jit
def dealt(key: PRNGKeyArray, canvases: Canvases) -> Canvases:
    """The same tokens dealt anew: each to a random canvas of its label, to a place of its kind.

    So the tokens of one canvas know nothing of each other but the label, as in theory.
    """
    n, T, d = canvases.tokens.shape
    kind = (2 * canvases.relevant + (canvases.labels > 0)[:, None]).reshape(-1)
    drawn = jax.random.uniform(key, kind.shape)
    # places and tokens, both sorted by kind; the tokens in random order within it
    places, tokens = jnp.argsort(kind, stable=True), jnp.lexsort((drawn, kind))
    flat = canvases.tokens.reshape(-1, d)
    return canvases._replace(
        tokens=jnp.zeros_like(flat).at[places].set(flat[tokens]).reshape(n, T, d)
    )


@jax.jit
def gaussian(key: PRNGKeyArray, moments: Moments, canvases: Canvases) -> Canvases:
    """Independent Gaussian tokens with given moments, at the labels and places of canvases."""
    z = draws.normal(key, canvases.tokens.shape)
    sign = canvases.labels[:, None, None]
    drawn = [kind.mean + sign * kind.lean + z @ _root(kind.covariance).T for kind in moments]
    return canvases._replace(tokens=jnp.where(canvases.relevant[..., None], *drawn))


def _root(covariance):
    """A symmetric square root; a covariance that was estimated may be singular."""
    values, vectors = jnp.linalg.eigh(covariance)
    return vectors * jnp.sqrt(jnp.maximum(values, 0)) @ vectors.T


@partial(jax.jit, static_argnames=("num_examples", "num_trials"))
def averaged_head_error(
    key: PRNGKeyArray,
    train: Canvases,
    test: Canvases,
    context: Float[Array, " d"],
    prompt_scale: Real[ArrayLike, ""],
    num_examples: int,
    num_trials: int,
) -> Estimate:
    """The test error of a head averaged from pooled features, as real tokens have it.

    Tokens are pooled with the prompt tau qbar*, the part along q* is left out, and so is the mean
    of all pooled training features. The head averages label times feature over n examples.

    Args:
        key: draws the n examples of each trial, half of them of each label, from `train`.
        train: canvases with labels +1 and -1.
        test: canvases to test on, the same for all trials.
        context: q*, of any length.
        prompt_scale: tau.
        num_examples: n.
        num_trials: heads to average over; the standard error counts these and the test canvases.
    """
    direction = context / jnp.linalg.norm(context)
    across = jnp.eye(len(context)) - jnp.outer(direction, direction)

    def pool(canvases):
        weights = jax.nn.softmax(prompt_scale * canvases.tokens @ direction)
        return jnp.einsum("nt,ntd->nd", weights, canvases.tokens) @ across

    features = pool(train)
    centre = features.mean(axis=0)
    features, shown = features - centre, pool(test) - centre
    sides = [train.labels > 0, train.labels < 0]

    def trial(key):
        keys = jax.random.split(key)
        parts = [
            jax.random.choice(k, len(features), (num_examples // 2,), p=side / side.sum())
            for k, side in zip(keys, sides, strict=True)
        ]
        head = features[parts[0]].mean(axis=0) - features[parts[1]].mean(axis=0)
        return test.labels * (shown @ head) <= 0

    wrong = jax.lax.map(trial, jax.random.split(key, num_trials))
    of_heads, of_canvases = (Estimate.of(wrong.mean(axis=axis)) for axis in (1, 0))
    error = jnp.hypot(of_heads.standard_error, of_canvases.standard_error)
    return Estimate(of_heads.value, error)
