"""Losses and errors of a model, with standard errors."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from prompt_attention import models
from prompt_attention.data import Batch, ContextualModel, Estimate


def outputs(model: nnx.Module, tokens: Float[Array, "n T d"]) -> Float[Array, " n"]:
    """f(X_i) for each example."""
    return jax.vmap(model)(tokens)


def squared_loss(model: nnx.Module, batch: Batch) -> Float[Array, ""]:
    """(1 / 2n) sum_i (y_i - f(X_i))^2."""
    return jnp.mean((batch.labels - outputs(model, batch.tokens)) ** 2) / 2


def logistic_loss(model: nnx.Module, batch: Batch) -> Float[Array, ""]:
    """(1 / n) sum_i log(1 + exp(-y_i f(X_i)))."""
    return jnp.mean(jax.nn.softplus(-batch.labels * outputs(model, batch.tokens)))


BLOCK_BYTES = 2**19
"""Half of the second cache of a common processor core."""


def streamed(loss: Callable[..., Float[Array, ""]]) -> Callable[..., Float[Array, ""]]:
    """A loss with the same value, and a gradient that reads the tokens from memory once.

    `jax.grad` of a loss reads all tokens forwards and once more backwards. Here both happen for one
    block of examples after the other, while it is in the processor's cache, and the gradients of
    the blocks are added up. There is no gradient with respect to the batch, and none of a gradient.

    Args:
        loss: a mean over the examples of a batch, as a function of (model, batch).
    """

    @jax.custom_vjp
    def value(model, batch):
        return loss(model, batch)

    def value_and_gradient(model, batch):
        return _over_blocks(jax.value_and_grad(loss), model, batch)

    def scaled(gradient, cotangent):
        return jax.tree.map(lambda x: cotangent * x, gradient), None

    value.defvjp(value_and_gradient, scaled)
    return value


def _over_blocks(value_and_gradient, model, batch):
    n = len(batch.labels)
    limit = min(n, max(1, BLOCK_BYTES * n // batch.tokens.nbytes))
    size = max(k for k in range(1, limit + 1) if n % k == 0)  # a rest would cost a copy of all

    def add(total, block):
        return jax.tree.map(jnp.add, total, value_and_gradient(model, block)), None

    blocks = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), batch)
    zero = jax.tree.map(jnp.zeros_like, (batch.labels[0], model))
    total, _ = jax.lax.scan(add, zero, blocks)
    return jax.tree.map(lambda x: x * (size / n), total)


def error_rate(model: nnx.Module, batch: Batch) -> Estimate:
    """The share of examples without y f(X) > 0: a tie is an error, and so is an output of nan.

    >>> model = models.MeanPooling(1, head=jnp.ones(1))
    >>> tokens = jnp.array([2.0, 3.0, -1.0, 0.0]).reshape(4, 1, 1)
    >>> batch = Batch(tokens, jnp.ones(4), jnp.ones((4, 1), bool), jnp.zeros((4, 2)))
    >>> print(error_rate(model, batch).value)
    0.5
    """
    margins = batch.labels * outputs(model, batch.tokens)
    return Estimate.of((~(margins > 0)).astype(margins.dtype))


class ScoredExamples(NamedTuple):
    """Fresh examples of which the scores are drawn and nothing else."""

    mass: Float[Array, " n"]  # weight on the relevant tokens
    error: Float[Array, " n"]  # chance of y f(X) <= 0 given the scores


def projected_error(
    model: nnx.Module, contextual: ContextualModel, key: PRNGKeyArray, num_examples: int
) -> Estimate:
    """The error rate on fresh examples, each example's chance of an error in closed form.

    The mean over `scored_examples`: one normal draw for each token in place of d, no errors to
    count, and chances far below 1 / num_examples are resolved. `counted_error` is the reference.
    (Result S1)

    Raises:
        ValueError: as `counted_error` does.
    """
    return Estimate.of(scored_examples(model, contextual, key, num_examples).error)


def scored_examples(
    model: nnx.Module, contextual: ContextualModel, key: PRNGKeyArray, num_examples: int
) -> ScoredExamples:
    """Draw the scores of fresh examples: attention mass, and the chance of an error given them.

    For prompt-attention, linear prompt-attention and mean pooling the weights a depend on the
    scores <prompt, x_t> only, and given the scores the values <head, x_t> are Gaussian. So is
    f(X), with mean m and standard deviation s = sigma tau sqrt(sum of a_t^2 over irrelevant t),
    where tau is what the scores leave of the head's noise; the chance of an error is
    Phibar(y m / s). (Result S1)

    Raises:
        ValueError: as `counted_error` does.
    """
    vectors = _vectors("projected_error", model, contextual)
    head = vectors.pop("head")
    projected = contextual.project(jnp.stack([*vectors.values(), head]))
    basis = _with_basis(model, len(vectors) + 1)
    return _scored(basis, projected, key, num_examples)


# Its shapes do not depend on the dimension of the tokens: one compilation serves all of them.
@partial(jax.jit, static_argnames="num_examples")
def _scored(on_coordinates, projected, key, num_examples):
    # Coordinates are the score (for a model with a prompt) and the value; the factor of their noise
    # is triangular, so that the entries of its last row beyond the score's are the value's own.
    F = projected.noise_factor
    k = len(F) - 1
    shared = dataclasses.replace(projected, noise_factor=F[:, :k], relevance="first")
    batch = shared.sample(key, num_examples)
    weights = jax.vmap(on_coordinates.attention)(batch.tokens)
    means = batch.labels * jnp.einsum("nt,nt->n", weights, batch.tokens[..., -1])
    own = projected.noise_std * jnp.linalg.norm(F[-1, k:])
    deviations = own * jnp.linalg.norm(jnp.where(batch.relevant, 0, weights), axis=1)
    mass = jnp.sum(weights * batch.relevant, axis=1)
    return ScoredExamples(mass, _chance_of_error(means, deviations))


def counted_error(
    model: nnx.Module, contextual: ContextualModel, key: PRNGKeyArray, num_examples: int
) -> Estimate:
    """The share of errors among fresh examples, drawn as coordinates along the model's vectors.

    For prompt-attention, linear prompt-attention and mean pooling f(X) depends on X through
    <head, x_t> and <prompt, x_t> only, so the same model with unit vectors e1, e2 as its parameters
    gives the same number on those coordinates: n T 2 normal draws in place of n T d. (Result D3)

    Raises:
        ValueError: a parameter of the model is not a vector (self-attention mixes all directions),
            or what `ContextualModel.sample_projections` refuses.
    """
    vectors = _vectors("counted_error", model, contextual)
    order = [vectors[name] for name in (*(name for name in vectors if name != "head"), "head")]
    batch = contextual.sample_projections(key, num_examples, jnp.stack(order))
    return error_rate(_with_basis(model, len(order)), batch)


def _vectors(function, model, contextual):
    """The parameters of a model that sees two directions at most; "head" among them."""
    vectors = models.parameters(model)
    for name, vector in vectors.items():
        if vector.ndim != 1:
            raise ValueError(
                f"{function} needs a model whose parameters are vectors, got {name} of shape "
                f"{list(vector.shape)} in {type(model).__name__}, which may mix all directions; "
                "use error_rate on full tokens"
            )
        if vector.shape[0] != contextual.dim:
            raise ValueError(
                f"the model has dimension {vector.shape[0]} and the data {contextual.dim}"
            )
    return vectors


def _with_basis(model, k):
    """The same kind of model on k coordinates: the value is the last, a score the one before."""
    basis = jnp.eye(k)
    vectors = {"head": basis[-1]} if k == 1 else {"head": basis[-1], "prompt": basis[0]}
    return type(model)(k, **vectors)


def _chance_of_error(means, deviations):
    """P(Gaussian <= 0); without spread a mean that is not positive is an error, and so is nan."""
    spread = deviations > 0
    chance = jax.scipy.special.ndtr(-means / jnp.where(spread, deviations, 1))
    chance = jnp.where(spread, chance, ~(means > 0))
    return jnp.where(jnp.isnan(means), 1, chance).astype(means.dtype)
