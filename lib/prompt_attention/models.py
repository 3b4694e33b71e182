"""Four one-layer models of a matrix of tokens, and the prompt-tuned layer behind the first.

Every model takes one example X of shape [T d] and returns one number; batch it with `jax.vmap`. A
model pools the tokens with weights of its own making, `attention(X)`, and reads the pooled token
with a linear head. The models follow Oymak et al. (2023).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from prompt_attention import draws


class PromptAttention(nnx.Module):
    """Softmax prompt-attention f(X) = <w, X' phi(X q)>: the tokens compete for the prompt.

    >>> model = PromptAttention(2, head=jnp.array([0.0, 1.0]), prompt=jnp.array([200.0, 0.0]))
    >>> X = jnp.array([[1.0, 3.0], [0.0, -7.0]])
    >>> print(model.attention(X), model(X))
    [1. 0.] 3.0

    Args:
        dim: d, the dimension of a token.
        rngs: draws the parameters that are not given, independent N(0, 1/d).
        head: w, shape [d].
        prompt: q, shape [d].

    Raises:
        ValueError: a given parameter has a wrong shape, or `rngs` is missing where one is drawn.
    """

    def __init__(self, dim: int, *, rngs: nnx.Rngs | None = None, head=None, prompt=None):
        self.head = _parameter("head", head, (dim,), rngs)
        self.prompt = _parameter("prompt", prompt, (dim,), rngs)

    def attention(self, X: Float[Array, "T d"]) -> Float[Array, " T"]:
        """phi(X q), the weight of each token; they are positive and sum to one."""
        return jax.nn.softmax(_tokens(X, self.head) @ self.prompt[...])

    def __call__(self, X: Float[Array, "T d"]) -> Float[Array, ""]:
        """<w, X' phi(X q)>."""
        return self.attention(X) @ (X @ self.head[...])


class SelfAttention(nnx.Module):
    """Softmax self-attention f(X) = (1/T) sum_t <v, X' phi(X W x_t)>: the tokens ask each other.

    Args:
        dim: d, the dimension of a token.
        rngs: draws the parameters that are not given, independent N(0, 1/d).
        head: v, shape [d].
        weights: W, shape [d d].

    Raises:
        ValueError: as for `PromptAttention`.
    """

    def __init__(self, dim: int, *, rngs: nnx.Rngs | None = None, head=None, weights=None):
        self.head = _parameter("head", head, (dim,), rngs)
        self.weights = _parameter("weights", weights, (dim, dim), rngs)

    def attention(self, X: Float[Array, "T d"]) -> Float[Array, "T T"]:
        """Row t is phi(X W x_t), the weight that token t gives to each token."""
        return jax.nn.softmax(_tokens(X, self.head) @ self.weights[...].T @ X.T)

    def __call__(self, X: Float[Array, "T d"]) -> Float[Array, ""]:
        """(1/T) sum_t <v, X' phi(X W x_t)>."""
        return self.attention(X).mean(axis=0) @ (X @ self.head[...])


class LinearPromptAttention(nnx.Module):
    """Linear prompt-attention f(X) = <w, X' X q> / T: no softmax, so weights may be negative.

    Args:
        dim: d, the dimension of a token.
        rngs: draws the parameters that are not given, independent N(0, 1/d).
        head: w, shape [d].
        prompt: q, shape [d].

    Raises:
        ValueError: as for `PromptAttention`.
    """

    def __init__(self, dim: int, *, rngs: nnx.Rngs | None = None, head=None, prompt=None):
        self.head = _parameter("head", head, (dim,), rngs)
        self.prompt = _parameter("prompt", prompt, (dim,), rngs)

    def attention(self, X: Float[Array, "T d"]) -> Float[Array, " T"]:
        """X q / T, the weight of each token, of either sign."""
        return _tokens(X, self.head) @ self.prompt[...] / len(X)

    def __call__(self, X: Float[Array, "T d"]) -> Float[Array, ""]:
        """<w, X' X q> / T."""
        return self.attention(X) @ (X @ self.head[...])


class MeanPooling(nnx.Module):
    """Mean pooling f(X) = <w, xbar>: every token counts the same.

    Args:
        dim: d, the dimension of a token.
        rngs: draws the head if it is not given, independent N(0, 1/d).
        head: w, shape [d].

    Raises:
        ValueError: as for `PromptAttention`.
    """

    def __init__(self, dim: int, *, rngs: nnx.Rngs | None = None, head=None):
        self.head = _parameter("head", head, (dim,), rngs)

    def attention(self, X: Float[Array, "T d"]) -> Float[Array, " T"]:
        """1/T for each token."""
        return jnp.full(len(_tokens(X, self.head)), 1 / len(X), self.head[...].dtype)

    def __call__(self, X: Float[Array, "T d"]) -> Float[Array, ""]:
        """<w, xbar>."""
        return self.attention(X) @ (X @ self.head[...])


class Frozen(nnx.Variable):
    """A weight that was trained earlier: neither `nnx.grad` nor `jax.grad` moves it."""


class PromptTunedLayer(nnx.Module):
    """One frozen attention head with m trainable prompt rows and a trainable linear head.

    The prompt's output rows are phi(P W_Q W_K' X') X W_V, of shape [m h], and
    f(X) = sum_j <head_j, row_j>. A scale such as 1 / sqrt(h) is part of W_Q. `as_prompt_attention`
    says which m prompt-attention models this is the sum of (Result D2).

    Args:
        dim: d, the dimension of a token and of a prompt row.
        head_dim: h, the width of the attention head.
        num_prompts: m.
        rngs: draws all weights, independent N(0, 1/d), and N(0, 1/h) for the linear head.
    """

    def __init__(self, dim: int, *, head_dim: int, num_prompts: int, rngs: nnx.Rngs):
        self.query = Frozen(_draw(rngs, (dim, head_dim), 1 / dim))
        self.key = Frozen(_draw(rngs, (dim, head_dim), 1 / dim))
        self.value = Frozen(_draw(rngs, (dim, head_dim), 1 / dim))
        self.prompt = nnx.Param(_draw(rngs, (num_prompts, dim), 1 / dim))
        self.head = nnx.Param(_draw(rngs, (num_prompts, head_dim), 1 / head_dim))

    def attention(self, X: Float[Array, "T d"]) -> Float[Array, "m T"]:
        """Row j is phi(X W_K W_Q' p_j), the weight that prompt row j gives to each token."""
        W_Q, W_K = map(jax.lax.stop_gradient, (self.query[...], self.key[...]))
        return jax.nn.softmax(self.prompt[...] @ W_Q @ W_K.T @ _tokens(X, self.query).T)

    def __call__(self, X: Float[Array, "T d"]) -> Float[Array, ""]:
        """sum_j <head_j, phi(p_j W_Q W_K' X') X W_V>."""
        W_V = jax.lax.stop_gradient(self.value[...])
        return jnp.sum(self.head[...] * (self.attention(X) @ (X @ W_V)))

    def as_prompt_attention(self) -> list[PromptAttention]:
        """The m models with w_j = W_V head_j and q_j = W_K W_Q' p_j; f is their sum (Result D2)."""
        W_Q, W_K, W_V = (
            jax.lax.stop_gradient(frozen[...]) for frozen in (self.query, self.key, self.value)
        )
        heads = self.head[...] @ W_V.T
        prompts = self.prompt[...] @ W_Q @ W_K.T
        dim = heads.shape[1]
        return [PromptAttention(dim, head=w, prompt=q) for w, q in zip(heads, prompts, strict=True)]


class Cost(NamedTuple):
    """The price of a model."""

    parameters: int  # trainable numbers
    flops: float  # floating-point operations for one example, as XLA counts them


def parameters(model: nnx.Module) -> dict[str, Array]:
    """The trainable parameters of a model by name, as plain arrays."""
    return {name: v[...] for name, v in vars(model).items() if isinstance(v, nnx.Param)}


def cost(model: nnx.Module, tokens: Float[Array, "T d"]) -> Cost:
    """Count the trainable parameters, and the operations of one call on `tokens`."""
    compiled = jax.jit(lambda model, X: model(X)).lower(model, tokens).compile()
    size = sum(value.size for value in parameters(model).values())
    return Cost(size, compiled.cost_analysis()["flops"])


def _draw(rngs, shape, variance):
    return jnp.sqrt(variance) * draws.normal(rngs.params(), shape)


def _parameter(name, value, shape, rngs):
    if value is None:
        if rngs is None:
            raise ValueError(f"{name} was not given, so rngs is needed to draw it")
        value = _draw(rngs, shape, 1 / shape[0])
    value = jnp.asarray(value)
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {list(shape)}, got {list(value.shape)}")
    return nnx.Param(value.astype(jnp.promote_types(value.dtype, jnp.float32)))


def _tokens(X, weight):
    dim = weight.shape[0]
    if X.ndim != 2 or X.shape[1] != dim:
        raise ValueError(
            f"tokens must have shape [T, {dim}], got {list(X.shape)}"
            + ("; batch the model with jax.vmap" if X.ndim == 3 else "")
        )
    return X
