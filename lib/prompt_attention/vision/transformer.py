"""A small vision transformer, with the places where adaptation may add to it.

It takes one canvas, as a matrix of tokens, and returns a score for each class; batch it with
`jax.vmap`. The blocks are pre-norm: attention, then a two-layer perceptron, each added to its input
after a normalisation. All blocks are alike, so each weight holds those of all layers, and the
layers are one `lax.scan`.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from prompt_attention import draws
from prompt_attention.data.checks import whole_number


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of a transformer; every one is a whole number >= 1."""

    num_tokens: int = 16  # T, patches of a canvas
    patch_dim: int = 64  # p, numbers in a patch
    num_classes: int = 10
    width: int = 32  # d, the dimension of a token inside
    layers: int = 4
    heads: int = 4
    hidden: int = 64  # width of the perceptrons

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            whole_number(name, value, least=1)
        if self.width % self.heads:
            raise ValueError(f"heads must divide width {self.width}, got {self.heads}")


class Additions(nnx.Module):
    """What adaptation adds to a transformer whose weights stay as they are.

    Args:
        shape: the sizes of the transformer.
        num_prompts: m, soft prompt tokens that stand beside the patches.
        deep: whether every layer gets m prompt tokens of its own, in place of what the layer below
            made of its own; otherwise the first layer gets them and the others carry them on.
        rank: r of the low-rank updates A B of the query and value weights of each layer.
        reader: whether the head reads the mean of the prompts' rows, as in Result D2, in place of
            the class token's row.
        rngs: draws prompts, N(0, 1/d), and A, N(0, 1/d). B starts at zero.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        num_prompts: int = 0,
        deep: bool = False,
        rank: int = 0,
        reader: bool = False,
        rngs: nnx.Rngs,
    ):
        self.reader = reader
        for name, value in (("num_prompts", num_prompts), ("rank", rank)):
            whole_number(name, value, least=0)
        if reader and num_prompts == 0:
            raise ValueError("reader needs num_prompts >= 1, got 0")
        L, d = shape.layers, shape.width
        self.prompts = nnx.Param(_normal(rngs, (L if deep else 1, num_prompts, d), d))
        self.down = nnx.Param(_normal(rngs, (L, 2, d, rank), d))
        self.up = nnx.Param(jnp.zeros((L, 2, rank, d)))


class _Reading(NamedTuple):
    """One pass over a canvas."""

    tokens: Float[Array, "layers T d"]  # patch tokens as they enter each layer
    attention: Float[Array, "layers heads N"]  # of what is read: to class token, patches, prompts
    last: Float[Array, " d"]  # what the head reads, after the last layer


class VisionTransformer(nnx.Module):
    """Patch embedding, learned positions, a class token, pre-norm blocks, a linear head.

    Args:
        shape: the sizes.
        rngs: draws the weights, independent N(0, 1 / fan-in); the head starts at zero.
    """

    def __init__(self, shape: Shape, *, rngs: nnx.Rngs):
        self.shape = shape
        L, d, h = shape.layers, shape.width, shape.hidden
        self.embedding = nnx.Param(_normal(rngs, (shape.patch_dim, d), shape.patch_dim))
        self.positions = nnx.Param(_normal(rngs, (shape.num_tokens, d), 25 * d))
        self.class_token = nnx.Param(_normal(rngs, (d,), d))
        self.attention_scale = nnx.Param(jnp.ones((L, d)))
        self.query = nnx.Param(_normal(rngs, (L, d, d), d))
        self.key = nnx.Param(_normal(rngs, (L, d, d), d))
        self.value = nnx.Param(_normal(rngs, (L, d, d), d))
        self.out = nnx.Param(_normal(rngs, (L, d, d), d))
        self.perceptron_scale = nnx.Param(jnp.ones((L, d)))
        self.expand = nnx.Param(_normal(rngs, (L, d, h), d))
        self.expand_bias = nnx.Param(jnp.zeros((L, h)))
        self.contract = nnx.Param(_normal(rngs, (L, h, d), h))
        self.contract_bias = nnx.Param(jnp.zeros((L, d)))
        self.last_scale = nnx.Param(jnp.ones(d))
        self.head = nnx.Param(jnp.zeros((d, shape.num_classes)))
        self.head_bias = nnx.Param(jnp.zeros(shape.num_classes))

    def __call__(
        self, X: Float[Array, "T p"], additions: Additions | None = None
    ) -> Float[Array, " classes"]:
        """The score of each class."""
        last = self._read(X, additions).last
        return _normalise(last, self.last_scale[...]) @ self.head[...] + self.head_bias[...]

    def attention(
        self, X: Float[Array, "T p"], additions: Additions | None = None
    ) -> Float[Array, "layers heads _"]:
        """The weights that what the head reads gives to class token, patches and prompts."""
        return self._read(X, additions).attention

    def features(self, X: Float[Array, "T p"], layer: int) -> Float[Array, "T d"]:
        """The patch tokens as they enter a layer, normalised as that layer sees them.

        Raises:
            ValueError: there is no such layer.
        """
        if not 0 <= layer < self.shape.layers:
            raise ValueError(f"layer must lie in 0..{self.shape.layers - 1}, got {layer}")
        return _normalise(self._read(X, None).tokens[layer], self.attention_scale[layer])

    def _read(self, X, additions):
        shape, T = self.shape, self.shape.num_tokens
        if X.shape != (T, shape.patch_dim):
            raise ValueError(
                f"a canvas must have shape [{T}, {shape.patch_dim}], got {list(X.shape)}"
                + ("; batch the model with jax.vmap" if X.ndim == 3 else "")
            )
        patches = X @ self.embedding[...] + self.positions[...]
        prompts = jnp.zeros((1, 0, shape.width)) if additions is None else additions.prompts[...]
        deep, reader = len(prompts) > 1, additions is not None and additions.reader
        start = jnp.concatenate([self.class_token[...][None], patches, prompts[0]])
        query, value = self.query[...], self.value[...]
        if additions is not None:
            low_rank = additions.down[...] @ additions.up[...]
            query, value = query + low_rank[:, 0], value + low_rank[:, 1]
        layers = {
            "prompts": jnp.broadcast_to(prompts, (shape.layers, *prompts.shape[1:])),
            "query": query,
            "value": value,
        }
        names = "attention_scale key out perceptron_scale expand expand_bias contract contract_bias"
        layers |= {name: getattr(self, name)[...] for name in names.split()}

        def block(tokens, layer):
            if deep:
                tokens = jnp.concatenate([tokens[: T + 1], layer["prompts"]])
            seen = _normalise(tokens, layer["attention_scale"])
            weights, mixed = _attend(seen, layer, shape.heads)
            asked = weights[:, T + 1 :].mean(axis=1) if reader else weights[:, 0]
            after = tokens + mixed @ layer["out"]
            seen = _normalise(after, layer["perceptron_scale"])
            hidden = jax.nn.gelu(seen @ layer["expand"] + layer["expand_bias"])
            after += hidden @ layer["contract"] + layer["contract_bias"]
            return after, (tokens[1 : T + 1], asked)

        end, (tokens, asked) = jax.lax.scan(block, start, layers)
        return _Reading(tokens, asked, end[T + 1 :].mean(axis=0) if reader else end[0])


def _attend(tokens, layer, heads):
    """Multi-head self-attention: weights [heads N N] and mixed values [N d]."""

    def split(matrix):
        return (tokens @ matrix).reshape(len(tokens), heads, -1)

    query, key, value = (split(layer[name]) for name in ("query", "key", "value"))
    scores = jnp.einsum("qhc,khc->hqk", query, key) / jnp.sqrt(query.shape[-1])
    weights = jax.nn.softmax(scores)
    return weights, jnp.einsum("hqk,khc->qhc", weights, value).reshape(tokens.shape)


def _normalise(x, scale):
    """Root-mean-square normalisation."""
    return x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-6) * scale


def _normal(rngs, shape, fan_in):
    return draws.normal(rngs.params(), shape) / jnp.sqrt(fan_in)
