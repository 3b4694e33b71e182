"""Adapting a pretrained transformer to other canvases: prompts, low-rank updates, head, everything.

A method is a choice of what to add and of what to train. Every method trains the head and sees the
same batches. What a method does not train is no argument of its loss, so no gradient can move it.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray, Real

from prompt_attention import draws, models, training
from prompt_attention.vision.canvases import Canvases
from prompt_attention.vision.transformer import Additions, VisionTransformer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """What to add to a transformer, what to train, and how fast.

    Args:
        num_prompts: m, soft prompt tokens.
        deep: whether each layer has prompt tokens of its own.
        reader: whether the head reads the prompts' rows in place of the class token's.
        rank: rank of the updates of query and value weights.
        everything: whether all weights are trained, and not the head and the additions only.
        one_layer: whether the model is a `PatchAttention` on the transformer's features.
        learning_rate: of Adam, at its peak.
    """

    num_prompts: int = 0
    deep: bool = False
    reader: bool = False
    rank: int = 0
    everything: bool = False
    one_layer: bool = False
    learning_rate: float

    def trains(self, path: tuple, value: Any) -> bool:
        """Whether the parameter at this place of a model of this method is trained."""
        return self.everything or path[0] != "backbone" or path[-1] in ("head", "head_bias")


METHODS = {
    "head": Method(learning_rate=0.03),
    "prompts": Method(num_prompts=4, learning_rate=0.1),
    "deep prompts": Method(num_prompts=4, deep=True, learning_rate=0.03),
    "prompt as reader": Method(num_prompts=1, reader=True, learning_rate=0.1),
    "low rank": Method(rank=2, learning_rate=0.03),
    "everything": Method(everything=True, learning_rate=0.003),
    "one layer": Method(one_layer=True, learning_rate=0.03),
}
"""The methods of the chapter, by name."""


class Adapted(nnx.Module):
    """A transformer with the additions of a method, before its first step."""

    def __init__(self, method: Method, backbone: VisionTransformer, *, rngs: nnx.Rngs):
        sizes = {"num_prompts": method.num_prompts, "deep": method.deep, "rank": method.rank}
        self.backbone = backbone
        self.additions = Additions(backbone.shape, reader=method.reader, **sizes, rngs=rngs)
        if method.reader:  # a copy of the class token, nearly: it starts with what was trained
            near = 0.1 * self.additions.prompts[...] + backbone.class_token[...]
            self.additions.prompts = nnx.Param(near)

    def __call__(self, X: Float[Array, "T p"]) -> Float[Array, " classes"]:
        """The score of each class."""
        return self.backbone(X, self.additions)

    def attention(self, X: Float[Array, "T p"]) -> Float[Array, "layers heads _"]:
        """The weights of what the head reads: on class token, patches and prompts."""
        return self.backbone.attention(X, self.additions)


class PatchAttention(nnx.Module):
    """One prompt-attention model for each class, all with one prompt, on frozen patch features.

    Args:
        dim: d, the dimension of the features.
        num_classes: the number of classes.
        rngs: draws prompt and heads, independent N(0, 1/d).
    """

    def __init__(self, dim: int, num_classes: int, *, rngs: nnx.Rngs):
        one = models.PromptAttention(dim, rngs=rngs)
        heads = draws.normal(rngs.params(), (num_classes, dim)) / jnp.sqrt(dim)
        self.prompt, self.heads = nnx.Param(one.prompt[...]), nnx.Param(heads)
        self.bias = nnx.Param(jnp.zeros(num_classes))

    def __call__(self, X: Float[Array, "T d"]) -> Float[Array, " classes"]:
        """<w_c, X' phi(X q)> + b_c for each class c."""
        return jax.vmap(lambda model: model(X))(self.as_prompt_attention()) + self.bias[...]

    def attention(self, X: Float[Array, "T d"]) -> Float[Array, " T"]:
        """phi(X q), the weight of each patch."""
        return jax.tree.map(lambda leaf: leaf[0], self.as_prompt_attention()).attention(X)

    def as_prompt_attention(self) -> models.PromptAttention:
        """The models of the classes, stacked."""
        prompt, dim = self.prompt[...], len(self.prompt[...])
        one = partial(models.PromptAttention, dim, prompt=prompt)
        return jax.vmap(lambda head: one(head=head))(self.heads[...])


class Fit(NamedTuple):
    """An adapted model and the way there."""

    model: nnx.Module
    losses: Float[Array, " steps"]  # before each step


def num_trained(method: Method, model: nnx.Module) -> int:
    """The number of parameters that a method trains."""
    _, trained, _ = nnx.split(model, method.trains, ...)
    return sum(value.size for value in jax.tree.leaves(trained))


@partial(jax.jit, static_argnames=("method", "num_steps", "batch_size"))
def fit(
    key: PRNGKeyArray,
    method: Method,
    backbone: VisionTransformer,
    canvases: Canvases,
    per_class: Int[ArrayLike, ""],
    *,
    learning_rate: Real[ArrayLike, ""] | None = None,
    num_steps: int = 250,
    batch_size: int = 32,
) -> Fit:
    """Adapt a transformer by Adam on the cross-entropy, with a cosine schedule.

    Args:
        key: draws the start and the batches.
        method: what to add and to train; one layer expects features in place of tiles, see
            `features`.
        backbone: the transformer; it is not changed.
        canvases: labelled canvases whose classes take turns, as `Family.sample` draws them.
        per_class: how many canvases of each class to use, the first ones.
        learning_rate: in place of the method's own.
        num_steps: steps.
        batch_size: canvases for each step, drawn with replacement.
    """
    start_key, batch_key = jax.random.split(key)
    rngs, shape = nnx.Rngs(start_key), backbone.shape
    if method.one_layer:
        model = PatchAttention(shape.width, shape.num_classes, rngs=rngs)
    else:
        model = Adapted(method, backbone, rngs=rngs)
    graph, trained, frozen = nnx.split(model, method.trains, ...)
    used = per_class * shape.num_classes
    chosen = jax.random.randint(batch_key, (num_steps, batch_size), 0, used)

    def loss(trained, members):
        batch = jax.tree.map(lambda leaf: leaf[members], canvases)
        return cross_entropy(nnx.merge(graph, trained, frozen), batch)

    peak = method.learning_rate if learning_rate is None else learning_rate
    optimizer = optax.adam(optax.cosine_decay_schedule(peak, num_steps))
    start = training.start(trained, optimizer)
    end, (losses, _) = training.descend(loss, start, optimizer, chosen)
    return Fit(nnx.merge(graph, end.params, frozen), losses)


@partial(jax.jit, static_argnames="layer")
def features(backbone: VisionTransformer, canvases: Canvases, layer: int) -> Canvases:
    """The canvases with the features that enter a layer in place of their tiles."""
    tokens = jax.vmap(lambda X: backbone.features(X, layer))(canvases.tokens)
    return canvases._replace(tokens=tokens)


def cross_entropy(model: Callable, canvases: Canvases) -> Float[Array, ""]:
    """The mean of -log softmax(scores)[label]."""
    scores = jax.vmap(model)(canvases.tokens)
    return optax.softmax_cross_entropy_with_integer_labels(scores, canvases.labels).mean()


@jax.jit
def accuracy(model: nnx.Module, canvases: Canvases) -> Float[Array, ""]:
    """The share of canvases whose highest score is that of their class."""
    scores = jax.vmap(model)(canvases.tokens)
    return jnp.mean(scores.argmax(axis=-1) == canvases.labels)


@jax.jit
def attention_mass(model: nnx.Module, canvases: Canvases) -> Float[Array, "n layers"]:
    """The share of the attention to patches that relevant ones get, layer by layer.

    The attention is that of what the head reads, averaged over attention heads; what class token
    and prompts get is left out. A `PatchAttention` has one layer.
    """
    T = canvases.relevant.shape[-1]
    weights = jax.vmap(model.attention)(canvases.tokens)
    one_layer = isinstance(model, PatchAttention)
    weights = weights[:, None, None] if one_layer else weights[..., 1 : T + 1]
    relevant = (weights * canvases.relevant[:, None, None]).sum(axis=-1)
    return (relevant / weights.sum(axis=-1)).mean(axis=2)
