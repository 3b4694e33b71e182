"""The models on every example that the discrete dataset has: exact errors, and training.

Without noise an example has two distinct tokens, the relevant r and the irrelevant u, and a label
and a value of the nuisance fix both. Tokens that are equal get equal weights, so two tokens with
their shares zeta and 1 - zeta stand for all T: exact, and the same shapes for every sparsity.
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from prompt_attention import draws, models, training
from prompt_attention.data import ContextualModel
from prompt_attention.expressivity.thresholds import _positive, _sparsity, joint_nuisance

KINDS = (
    models.PromptAttention,
    models.SelfAttention,
    models.LinearPromptAttention,
    models.MeanPooling,
)
TIES = 64
"""A margin within this many rounding units of zero counts as a tie, and so as an error."""


class Support(NamedTuple):
    """Every example of a discrete dataset, and how often it comes."""

    tokens: Float[Array, "m 2 d"]  # the relevant token r and the irrelevant token u
    shares: Float[Array, "2"]  # zeta and 1 - zeta
    labels: Float[Array, " m"]  # +1 or -1
    probs: Float[Array, " m"]

    @classmethod
    def of(cls, contextual: ContextualModel) -> "Support":
        """Enumerate the labels and the values of the nuisance.

        Raises:
            ValueError: the tokens carry noise.
        """
        contextual.assume("The discrete error", "discrete")
        return cls(*_enumerated(contextual))


@jax.jit
def _enumerated(contextual):
    m, dtype = len(contextual.nuisance), contextual.context.dtype
    labels = jnp.repeat(jnp.array([1.0, -1.0], dtype), m)
    nuisance = jnp.tile(contextual.nuisance, (2, 1))
    r = jax.vmap(contextual.relevant_token)(labels)
    u = jax.vmap(contextual.irrelevant_mean)(labels, nuisance)
    rates = jnp.where(labels > 0, contextual.positive_rate, 1 - contextual.positive_rate)
    probs = rates * jnp.tile(contextual.nuisance_weights, 2)
    zeta = contextual.sparsity
    return jnp.stack([r, u], axis=1), jnp.array([zeta, 1 - zeta], dtype), labels, probs


class Restarts(NamedTuple):
    """Trained models, one for each random start."""

    errors: Float[Array, " k"]  # the exact error of each
    models: nnx.Module  # all of them: each parameter has the starts as its leading axis

    def best(self) -> nnx.Module:
        """The model with the least error."""
        return jax.tree.map(lambda values: values[jnp.argmin(self.errors)], self.models)


def discrete_error(model: nnx.Module, contextual: ContextualModel) -> Float[Array, ""]:
    """The exact error of a model on a discrete dataset, by enumeration (Result E6).

    Sigma = 0, so label and nuisance fix the tokens. A margin y f(X) that rounding cannot tell from
    zero counts as a tie, and a tie is an error: zero error is never made up by rounding.

    Raises:
        ValueError: the tokens carry noise, or the model is none of the four of `models`.
    """
    return support_error(model, Support.of(contextual))


def support_margins(model: nnx.Module, support: Support) -> Float[Array, " m"]:
    """The margin y f(X) of every example of a support."""
    return _margins(model, support)[0]


def support_error(model: nnx.Module, support: Support) -> Float[Array, ""]:
    """`discrete_error` for a support at hand, whose shares may be traced."""
    margins, resolution = _margins(model, support)
    return jnp.sum(jnp.where(margins > resolution, 0, support.probs))


def support_loss(model: nnx.Module, support: Support) -> Float[Array, ""]:
    """The expected logistic loss E log(1 + exp(-y f(X))), exact."""
    return support.probs @ jax.nn.softplus(-support_margins(model, support))


def best_of_restarts(
    key: PRNGKeyArray,
    kind: type[nnx.Module],
    contextual: ContextualModel,
    num_restarts: int,
    *,
    num_steps: int = 300,
    learning_rate: float = 0.1,
) -> Restarts:
    """Train one kind of model from many random starts and report exact errors (Result E6).

    Adam on the expected logistic loss of the discrete dataset, side by side for all starts, whose
    parameters are independent normal numbers with standard deviation 1.

    Args:
        key: draws the starts.
        kind: one of the four models of `models`.
        contextual: the dataset, without noise.
        num_restarts: how many starts.
        num_steps: steps of each.
        learning_rate: the step size of Adam.

    Raises:
        ValueError: as `discrete_error`.
    """
    _check_kind(kind)
    return _fit(key, kind, Support.of(contextual), num_restarts, num_steps, learning_rate)


def restarts_on_grid(
    key: PRNGKeyArray,
    kind: type[nnx.Module],
    contextual: ContextualModel,
    sparsity: Float[ArrayLike, "..."],
    strength: Float[ArrayLike, "..."],
    num_restarts: int,
    *,
    num_steps: int = 300,
    learning_rate: float = 0.1,
) -> Float[Array, "... k"]:
    """The errors of `best_of_restarts` on joint datasets, all at once (Results E5 and E6).

    For each pair of `sparsity` and `strength`, which broadcast, `contextual` gets the nuisance
    of `joint_nuisance` and the share of relevant tokens that the sparsity says. The number of
    tokens plays no part.

    Raises:
        ValueError: as `best_of_restarts`, a sparsity outside (0, 1) or a strength that is not
            positive.
    """
    _check_kind(kind)
    zeta, delta = _sparsity(sparsity), _positive(strength)
    shape = jnp.broadcast_shapes(zeta.shape, delta.shape)

    def errors(key, zeta, delta):
        joint = dataclasses.replace(contextual, nuisance=joint_nuisance(delta), nuisance_probs=None)
        support = Support.of(joint)._replace(shares=jnp.stack([zeta, 1 - zeta]))
        return _fit(key, kind, support, num_restarts, num_steps, learning_rate).errors

    flat = [jnp.broadcast_to(value, shape).ravel() for value in (zeta, delta)]
    found = jax.vmap(errors)(jax.random.split(key, flat[0].size), *flat)
    return found.reshape(*shape, num_restarts)


@partial(jax.jit, static_argnames=("kind", "num_restarts", "num_steps"))
def _fit(key, kind, support, num_restarts, num_steps, learning_rate):
    dim, dtype = support.tokens.shape[-1], support.tokens.dtype
    optimizer = optax.adam(learning_rate)

    def run(key):
        drawn = models.parameters(kind(dim, rngs=nnx.Rngs(0)))  # for the shapes
        keys = jax.random.split(key, len(drawn))
        values = {
            name: draws.normal(key, value.shape, dtype)
            for key, (name, value) in zip(keys, drawn.items(), strict=True)
        }
        start = training.start(kind(dim, **values), optimizer)
        end, _ = training.descend(
            lambda model, _: support_loss(model, support), start, optimizer, jnp.arange(num_steps)
        )
        return support_error(end.params, support), end.params

    return Restarts(*jax.vmap(run)(jax.random.split(key, num_restarts)))


def _margins(model, support):
    """Margins, and for each the size that rounding may give to one that is zero."""
    if not isinstance(model, KINDS):
        _check_kind(type(model))
    return _compiled_margins(model, support)


@jax.jit
def _compiled_margins(model, support):
    def margin(tokens, label):
        weights, head = _weights(model, tokens, support.shares), model.head[...]
        size = jnp.abs(weights) @ (jnp.abs(tokens) @ jnp.abs(head))
        return label * (weights @ (tokens @ head)), TIES * jnp.finfo(size.dtype).eps * size

    return jax.vmap(margin)(support.tokens, support.labels)


def _weights(model, tokens, shares):
    """The total weight of the relevant and of the irrelevant tokens, shape [2]."""
    match model:
        case models.PromptAttention():
            return jax.nn.softmax(tokens @ model.prompt[...] + jnp.log(shares))
        case models.SelfAttention():
            scores = tokens @ model.weights[...].T @ tokens.T
            return shares @ jax.nn.softmax(scores + jnp.log(shares))
        case models.LinearPromptAttention():
            return shares * (tokens @ model.prompt[...])
        case models.MeanPooling():
            return shares


def _check_kind(kind):
    if kind not in KINDS:
        known = ", ".join(known.__name__ for known in KINDS)
        raise ValueError(f"the model must be one of {known}, got {kind.__name__}")
