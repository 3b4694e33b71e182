r"""Training on Gaussian noise that is drawn only as far as it is looked at (Result S2).

Gradient descent touches the noise matrix Z (a row for each irrelevant token of the sample, d
columns) through products Z x and Z' c alone. Suppose orthonormal v_1, v_2, ... with a_j = Z v_j and
orthonormal u_1, u_2, ... with b_i = Z' u_i have been revealed, and let V, A, U, B have them as
columns. Split Z by the projection U U' on the left and V V' on the right:

    Z = U B' + (I - U U') A V' + (I - U U') Z (I - V V').

The first two terms are known. The last is independent of them: the blocks of a Gaussian matrix in a
fixed orthonormal basis are independent, and since each new basis vector is chosen by what is known,
and the rest is Gaussian in every basis of what is left, induction over the products gives the same
for a basis that is chosen on the way. So a product with a new direction x draws one vector g of
independent normal numbers and no more: with r = ||(I - V V') x|| and v = (I - V V') x / r,

    Z v = U B' v + (I - U U') g,      Z x = A V' x + r Z v,

and the same with the sides exchanged for Z' c. The law is exact for any n, T, d and any number of
products, and the matrix is never formed: this is the principle of deferred decisions that Y. M. Lu
(2021) uses, with random reflectors in place of the projections, in "Householder Dice".
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray, Real

from prompt_attention import models
from prompt_attention.data import ContextualModel
from prompt_attention.data.checks import whole_number


class Side(NamedTuple):
    """Directions revealed on one side of a matrix, and its products with them; the rest is zero."""

    directions: Float[Array, "size capacity"]  # orthonormal columns
    products: Float[Array, "other capacity"]
    count: Int[Array, ""]


class DeferredMatrix(NamedTuple):
    """A matrix of independent standard normal numbers, drawn as products with it are asked for."""

    key: PRNGKeyArray
    right: Side  # v and Z v
    left: Side  # u and Z' u

    @classmethod
    def of(
        cls, key: PRNGKeyArray, shape: tuple[int, int], capacity: tuple[int, int], dtype
    ) -> "DeferredMatrix":
        """Nothing is known yet.

        Args:
            key: all numbers come from it.
            shape: rows and columns.
            capacity: how many products Z x and Z' c may be asked for.
            dtype: of the numbers.
        """
        rows, columns = shape

        def side(size, other, capacity):
            zeros = jnp.zeros((size, capacity), dtype), jnp.zeros((other, capacity), dtype)
            return Side(*zeros, jnp.zeros((), int))

        return cls(key, side(columns, rows, capacity[0]), side(rows, columns, capacity[1]))

    def times(self, x: Float[Array, " columns"]) -> tuple[Float[Array, " rows"], "DeferredMatrix"]:
        """Z x, and the matrix with what is known now."""
        key = jax.random.fold_in(self.key, 2 * self.right.count)
        product, right = _reveal(key, x, self.right, self.left)
        return product, self._replace(right=right)

    def transposed_times(
        self, c: Float[Array, " rows"]
    ) -> tuple[Float[Array, " columns"], "DeferredMatrix"]:
        """Z' c, and the matrix with what is known now."""
        key = jax.random.fold_in(self.key, 2 * self.left.count + 1)
        product, left = _reveal(key, c, self.left, self.right)
        return product, self._replace(left=left)


def _reveal(key, x, side, other):
    """The product with x, and the side with the direction that was new in x."""
    V, A, count = side
    U, B, _ = other
    along = V.T @ x
    rest = x - V @ along
    rest -= V @ (V.T @ rest)  # once more: rounding must not tilt the basis
    r = jnp.linalg.norm(rest)
    is_new = r > 32 * jnp.finfo(x.dtype).eps * jnp.linalg.norm(x)  # else the rest is rounding
    v = jnp.where(is_new, rest / r, 0)
    numbers = A.shape[:1], A.dtype
    g = jax.lax.cond(is_new, lambda: jax.random.normal(key, *numbers), lambda: jnp.zeros(*numbers))
    g = jax.lax.optimization_barrier(g)  # else each use would draw it again
    a = U @ (B.T @ v - U.T @ g) + g
    new = Side(V.at[:, count].set(v), A.at[:, count].set(a), count + 1)
    return A @ along + jnp.where(is_new, r, 0) * a, new


class Tokens(NamedTuple):
    """The tokens X of a batch, relevant ones first, with noise that is not drawn yet."""

    contextual: ContextualModel
    labels: Float[Array, " n"]
    nuisance: Float[Array, "n 2"]
    noise: DeferredMatrix

    @classmethod
    def of(
        cls,
        key: PRNGKeyArray,
        contextual: ContextualModel,
        num_examples: int,
        balanced: bool,
        capacity: tuple[int, int],
    ) -> "Tokens":
        """A fresh batch; `capacity` says how many products X x and X' c will be asked for."""
        label_key, nuisance_key, noise_key = jax.random.split(key, 3)
        n, dtype = num_examples, contextual.context.dtype
        positive = jax.random.bernoulli(label_key, contextual.positive_rate, (n,))
        positive = jnp.arange(n) % 2 == 0 if balanced else positive
        nuisance = contextual.draw_nuisance(nuisance_key, n)
        F = contextual.noise_factor
        rows = n * (contextual.num_tokens - contextual.num_relevant)
        shape = rows, contextual.dim if F is None else F.shape[1]
        noise = DeferredMatrix.of(noise_key, shape, capacity, dtype)
        return cls(contextual, jnp.where(positive, 1, -1).astype(dtype), nuisance, noise)

    def times(self, x: Float[Array, " d"]) -> tuple["PerToken", "Tokens"]:
        """<x, x_t> for every token, and the tokens with what is known now."""
        data, y, (dq, dw) = self.contextual, self.labels, self.nuisance.T
        along_context, along_regressor = data.context @ x, data.regressor @ x
        F = data.noise_factor
        z, noise = self.noise.times(x if F is None else F.T @ x)
        mean = -dq * along_context - dw * y * along_regressor
        irrelevant = mean[:, None] + data.noise_std * z.reshape(len(y), -1)
        relevant = along_context + y * along_regressor
        return PerToken(relevant, irrelevant, data.num_relevant), self._replace(noise=noise)

    def transposed_times(self, c: "PerToken") -> tuple[Float[Array, " d"], "Tokens"]:
        """The sum of c_t x_t over all tokens, and the tokens with what is known now."""
        data, y, (dq, dw) = self.contextual, self.labels, self.nuisance.T
        on_relevant, on_irrelevant = c.copies * c.relevant, c.irrelevant.sum(axis=1)
        F = data.noise_factor
        z, noise = self.noise.transposed_times(c.irrelevant.ravel())
        mean = jnp.sum(on_relevant - dq * on_irrelevant) * data.context
        mean += jnp.sum(y * (on_relevant - dw * on_irrelevant)) * data.regressor
        return mean + data.noise_std * (z if F is None else F @ z), self._replace(noise=noise)


class PerToken(NamedTuple):
    """A number for each token of each example; the relevant ones, which are equal, share theirs."""

    relevant: Float[Array, " n"]
    irrelevant: Float[Array, "n rest"]
    copies: int  # relevant tokens in an example

    def sum(self) -> Float[Array, " n"]:
        """The sum over the tokens."""
        return self.copies * self.relevant + self.irrelevant.sum(axis=1)

    def mean(self) -> Float[Array, " n"]:
        """The mean over the tokens."""
        return self.sum() / (self.copies + self.irrelevant.shape[1])

    def map(self, function: Callable[..., Array], *others: "PerToken | Array") -> "PerToken":
        """The function of each number; of others, those of the token or of its example."""
        per_token = [isinstance(other, PerToken) for other in others]
        first = [o.relevant if p else o for o, p in zip(others, per_token, strict=True)]
        rest = [o.irrelevant if p else o[:, None] for o, p in zip(others, per_token, strict=True)]
        relevant, irrelevant = function(self.relevant, *first), function(self.irrelevant, *rest)
        return PerToken(relevant, irrelevant, self.copies)

    def softmax(self) -> "PerToken":
        """Weights that sum to one over the tokens."""
        top = jnp.maximum(self.relevant, self.irrelevant.max(axis=1))
        exponentials = self.map(lambda score, top: jnp.exp(score - top), top)
        return exponentials.map(jnp.divide, exponentials.sum())


@partial(jax.jit, static_argnames=("room", "balanced", "shared_batch"))
def three_steps(
    key, contextual, num_examples, prompt_norm, step_size, *, room, balanced, shared_batch
):
    """The vectors w1, q1 and w2 of `dynamics.three_steps`, by products alone.

    A batch has room for more examples than n, which may be traced; those beyond n weigh nothing.
    """
    n, T, d = num_examples, contextual.num_tokens, contextual.dim
    counted = jnp.arange(room) < n

    def fresh(key):
        return Tokens.of(key, contextual, room, balanced, (3, 3) if shared_batch else (1, 1))

    def step(state, step_input):
        w, q, tokens = state
        step_key, moves_prompt = step_input
        tokens = tokens if shared_batch else fresh(step_key)
        # Values <w, x_t> for the prompt, scores <q, x_t> for a head; at q = 0 nothing is drawn.
        along, tokens = tokens.times(jnp.where(moves_prompt, w, q))
        y, mean = tokens.labels * counted, along.mean()
        residual = y - step_size * mean * counted
        for_head = along.softmax().map(lambda a, y: y * a / n, y)
        for_prompt = along.map(lambda v, mean, r: r * (v - mean) / (n * T), mean, residual)
        c = for_head.map(lambda head, prompt: jnp.where(moves_prompt, prompt, head), for_prompt)
        moved, tokens = tokens.transposed_times(c)
        turned = moved
        if prompt_norm is not None:
            turned = prompt_norm * moved / jnp.linalg.norm(moved)
        w, q = jnp.where(moves_prompt, w, moved), jnp.where(moves_prompt, turned, q)
        return (w, q, tokens if shared_batch else None), w

    # A scan, so that one compiled step serves all three: head, prompt, head.
    batch_key, *step_keys = jax.random.split(key, 4)
    origin = jnp.zeros(d, contextual.context.dtype)
    start = origin, origin, fresh(batch_key) if shared_batch else None
    inputs = jnp.stack(step_keys), jnp.array([False, True, False])
    (w2, q1, _), (w1, _, _) = jax.lax.scan(step, start, inputs)
    return w1, q1, w2


def conditioned_descent(
    key: PRNGKeyArray,
    model: models.PromptAttention,
    contextual: ContextualModel,
    num_examples: SupportsIndex,
    num_steps: SupportsIndex,
    learning_rate: Real[ArrayLike, ""],
    *,
    shared_batch: bool = True,
) -> tuple[models.PromptAttention, Float[Array, " steps"]]:
    """Gradient descent on the squared loss, in law the same as on tokens drawn in full.

    m steps on one batch draw 2 m vectors of the length of all its irrelevant tokens and 2 m of
    length d, and keep them: worth it while m is well below d. `train` with `optax.sgd` is the
    reference. (Result S2)

    Args:
        key: the data come from it.
        model: where to start.
        contextual: any data with Gaussian noise.
        num_examples: n, the examples of a batch.
        num_steps: m.
        learning_rate: of head and prompt.
        shared_batch: take all steps on one batch; a fresh one for each step otherwise.

    Returns:
        The trained model, and the loss before each step.

    Raises:
        ValueError: noise that is not Gaussian, or a number of examples or steps that is not a whole
            number >= 1.
    """
    contextual.assume("Result S2", "gaussian")
    num_examples = whole_number("num_examples", num_examples, least=1)
    num_steps = whole_number("num_steps", num_steps, least=1)
    capacity = (2 * num_steps,) * 2 if shared_batch else (2, 2)
    return _descent(
        key, model, contextual, learning_rate, num_examples, num_steps, shared_batch, capacity
    )


@partial(jax.jit, static_argnums=(4, 5, 6, 7))
def _descent(key, model, contextual, rate, num_examples, num_steps, shared_batch, capacity):
    n = num_examples

    def fresh(key):
        return Tokens.of(key, contextual, n, False, capacity)

    def step(state, step_key):
        w, q, tokens = state
        tokens = tokens if shared_batch else fresh(step_key)
        scores, tokens = tokens.times(q)
        values, tokens = tokens.times(w)
        weights = scores.softmax()
        outputs = weights.map(jnp.multiply, values).sum()
        residual = tokens.labels - outputs
        c = weights.map(lambda a, r: r * a / n, residual)
        to_prompt = c.map(lambda c, v, f: c * (v - f), values, outputs)
        for_head, tokens = tokens.transposed_times(c)
        for_prompt, tokens = tokens.transposed_times(to_prompt)
        state = w + rate * for_head, q + rate * for_prompt, tokens
        return state, jnp.mean(residual**2) / 2

    batch_key, steps_key = jax.random.split(key)
    start = (model.head[...], model.prompt[...], fresh(batch_key))
    (w, q, _), losses = jax.lax.scan(step, start, jax.random.split(steps_key, num_steps))
    return models.PromptAttention(contextual.dim, head=w, prompt=q), losses
