"""Losses and errors of a model, with standard errors."""

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


def projected_error(
    model: nnx.Module, contextual: ContextualModel, key: PRNGKeyArray, num_examples: int
) -> Estimate:
    """The error rate on fresh examples, from coordinates along the model's vectors (Result D3).

    For prompt-attention, linear prompt-attention and mean pooling f(X) depends on X through
    <head, x_t> and <prompt, x_t> only, so the same model with unit vectors e1, e2 as its parameters
    gives the same number on those coordinates. Costs n T 2 normal draws in place of n T d.

    Raises:
        ValueError: a parameter of the model is not a vector (self-attention mixes all directions),
            or what `ContextualModel.sample_projections` refuses.
    """
    vectors = models.parameters(model)
    for name, vector in vectors.items():
        if vector.ndim != 1:
            raise ValueError(
                f"projected_error needs a model whose parameters are vectors, got {name} of shape "
                f"{list(vector.shape)} in {type(model).__name__}, which may mix all directions; "
                "use error_rate on full tokens"
            )
        if vector.shape[0] != contextual.dim:
            raise ValueError(
                f"the model has dimension {vector.shape[0]} and the data {contextual.dim}"
            )
    directions = jnp.stack(list(vectors.values()))
    k = len(directions)
    basis = dict(zip(vectors, jnp.eye(k, dtype=directions.dtype), strict=True))
    projected_model = type(model)(k, **basis)
    return error_rate(projected_model, contextual.sample_projections(key, num_examples, directions))
