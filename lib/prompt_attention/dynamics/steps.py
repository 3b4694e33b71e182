"""The three gradient steps of Oymak et al. (2023), taken on tokens drawn in full or conditioned.

From w = 0 and q = 0, with a fresh batch of n examples for each step:

    (1) w1 = -eta   grad_w L(0, 0),
    (2) q1 = -gamma grad_q L(w1, 0),
    (3) w2 = -eta   grad_w L(0, q1).
"""

import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, Real

from prompt_attention import models, risk
from prompt_attention.data import ContextualModel
from prompt_attention.data.checks import one_or_several, whole_number
from prompt_attention.dynamics import conditioning

FEWEST_PLACES = 2048
"""Room for results in the program of `simulate`, so that few numbers of runs compile another."""


class ThreeSteps(NamedTuple):
    """What the three steps leave, each in units of its step size."""

    first_head: Float[Array, " d"]  # w1 / eta
    prompt: Float[Array, " d"]  # q1 / (eta gamma), or rescaled to the prompt norm asked for
    head: Float[Array, " d"]  # w2 / eta

    def model(self) -> models.PromptAttention:
        """Prompt-attention with the prompt and the second head."""
        return models.PromptAttention(len(self.head), head=self.head, prompt=self.prompt)


class Simulation(NamedTuple):
    """What independent repetitions of the three steps reached, one entry each, several n first."""

    head_alignment: Float[Array, "*sizes repeats"]  # cos^2(w1, w*)
    prompt_alignment: Float[Array, "*sizes repeats"]  # cos^2(q1, q*)
    second_head_alignment: Float[Array, "*sizes repeats"]  # cos^2(w2, w*)
    attention_mass: Float[Array, "*sizes repeats"]  # mean over fresh examples, on relevant tokens
    error: Float[Array, "*sizes repeats"]  # share of fresh examples with y f(X) <= 0


def alignment(u: Float[Array, " d"], v: Float[Array, " d"]) -> Float[Array, ""]:
    """The squared cosine between two vectors; nan when one is zero."""
    return (u @ v) ** 2 / ((u @ u) * (v @ v))


def head_descent(
    X: Float[Array, "T d"], label: Float[Array, ""], prompt: Float[Array, " d"]
) -> Float[Array, " d"]:
    """-grad_w of (y - f)^2 / 2 at w = 0: the label times the pooled token, y X' phi(X q)."""
    return label * (jax.nn.softmax(X @ prompt) @ X)


def prompt_descent(
    X: Float[Array, "T d"],
    label: Float[Array, ""],
    head: Float[Array, " d"],
    step_size: Real[ArrayLike, ""] = 1.0,
) -> Float[Array, " d"]:
    """-grad_q of (y - f)^2 / 2 at (eta w, 0), over eta: (y - eta <w, xbar>) Chat w.

    Chat = X'X / T - xbar xbar' is the covariance of the tokens; eta = 0 is the limit of small
    steps.
    """
    values = X @ head
    residual = label - step_size * values.mean()
    return residual * ((values - values.mean()) @ X) / len(X)


def three_steps(
    key: PRNGKeyArray,
    contextual: ContextualModel,
    num_examples: SupportsIndex,
    prompt_norm: Real[ArrayLike, ""] | None = None,
    balanced: bool = False,
    *,
    step_size: Real[ArrayLike, ""] = 0.0,
    shared_batch: bool = False,
    method: str = "direct",
) -> ThreeSteps:
    """Take the three steps, each on n fresh examples.

    The direct method draws them token by token, in chunks; the conditioned one has the same law for
    Gaussian noise and draws d + nT numbers for a step in place of n T d (Result S2).

    Args:
        key: drawn from once for each step.
        contextual: any data, core or not.
        num_examples: n, the examples of each step.
        prompt_norm: rescale q1 to this norm; None keeps q1 / (eta gamma).
        balanced: give exactly half of the examples of each step the label +1.
        step_size: eta, the first step, which makes the residual of the second step y - eta f; 0 is
            the limit of small steps, where the residual is the label.
        shared_batch: take all three steps on the same n examples.
        method: "direct" or "conditioned".

    Raises:
        ValueError: n < 1, an odd n or a positive rate other than 1/2 for balanced labels, a
            negative prompt norm, an unknown method, or noise that "conditioned" cannot draw.
    """
    num_examples = whole_number("num_examples", num_examples, least=1)
    _check(contextual, num_examples, prompt_norm, balanced, method)
    static = {"balanced": balanced, "shared_batch": shared_batch}
    if method == "conditioned":
        return ThreeSteps(
            *conditioning.three_steps(
                key, contextual, num_examples, prompt_norm, step_size, room=num_examples, **static
            )
        )
    contextual, chunk = _relevant_first(contextual), _chunk(contextual, num_examples)
    return _three_steps(
        key, contextual, num_examples, prompt_norm, step_size, chunk=chunk, **static
    )


def simulate(
    key: PRNGKeyArray,
    contextual: ContextualModel,
    num_examples: SupportsIndex | Sequence[SupportsIndex],
    num_repeats: SupportsIndex,
    *,
    prompt_norm: Real[ArrayLike, ""] | None = None,
    balanced: bool = False,
    step_size: Real[ArrayLike, ""] = 0.0,
    shared_batch: bool = False,
    method: str = "direct",
    num_test: int = 1000,
) -> Simulation:
    """Repeat the three steps and measure alignments, attention mass and test error of each run.

    Mass and error come from `num_test` fresh examples, of which only the scores are drawn (Result
    S1), so the noise must be Gaussian; `num_test=0` leaves them out, as nan, and takes any noise.

    Args:
        key: each repetition has its own, the same for all sizes.
        contextual: any data.
        num_examples: n, or several, which one compiled program serves; the conditioned method then
            draws as much for the smallest as for the largest.
        num_repeats: runs of each size.
        prompt_norm: as for `three_steps`, like the rest up to the method.
        balanced: see there.
        step_size: see there.
        shared_batch: see there.
        method: "direct" or "conditioned".
        num_test: test examples for each run.

    Raises:
        ValueError: as for `three_steps`, or `num_repeats` is not a whole number >= 1.
    """
    several = isinstance(num_examples, Sequence)
    sizes = one_or_several("num_examples", num_examples)
    for n in sizes:
        _check(contextual, n, prompt_norm, balanced, method)
    num_repeats = whole_number("num_repeats", num_repeats, least=1)
    contextual, conditioned = _relevant_first(contextual), method == "conditioned"
    count = len(sizes) * num_repeats
    places = max(FEWEST_PLACES, 2 ** math.ceil(math.log2(count)))
    found = _simulate(
        key,
        contextual,
        np.resize(np.repeat(sizes, num_repeats), places),
        np.arange(places) % num_repeats,
        count,
        prompt_norm,
        step_size,
        room=max(sizes) if conditioned else _chunk(contextual, max(sizes)),
        conditioned=conditioned,
        balanced=balanced,
        shared_batch=shared_batch,
        num_test=num_test,
    )
    shape = (len(sizes), num_repeats) if several else num_repeats
    return jax.tree.map(lambda field: field[:count].reshape(shape), found)


@partial(jax.jit, static_argnames=("room", "conditioned", "balanced", "shared_batch", "num_test"))
def _simulate(
    key,
    contextual,
    sizes,
    repeats,
    count,
    prompt_norm,
    step_size,
    *,
    room,
    conditioned,
    balanced,
    shared_batch,
    num_test,
):
    """One run for each size and repetition, up to the count; one program serves any count."""
    static = {"balanced": balanced, "shared_batch": shared_batch}
    keys = jax.random.split(key, len(repeats))

    def run(n, repeat):
        step_key, test_key = jax.random.split(keys[repeat])
        given = step_key, contextual, n, prompt_norm, step_size
        if conditioned:
            steps = ThreeSteps(*conditioning.three_steps(*given, room=room, **static))
        else:
            steps = _three_steps(*given, chunk=room, **static)
        mass = error = jnp.full((), jnp.nan)
        if num_test:
            scored = risk.scored_examples(steps.model(), contextual, test_key, num_test)
            mass, error = scored.mass.mean(), scored.error.mean()
        return Simulation(
            alignment(steps.first_head, contextual.regressor),
            alignment(steps.prompt, contextual.context),
            alignment(steps.head, contextual.regressor),
            mass,
            error,
        )

    def add(i, found):
        return jax.tree.map(lambda all, one: all.at[i].set(one), found, run(sizes[i], repeats[i]))

    one = jax.eval_shape(run, sizes[0], repeats[0])
    nothing = jax.tree.map(lambda field: jnp.zeros(len(sizes), field.dtype), one)
    return jax.lax.fori_loop(0, count, add, nothing)


@partial(jax.jit, static_argnames=("chunk", "balanced", "shared_batch"))
def _three_steps(
    key, contextual, num_examples, prompt_norm, step_size, *, chunk, balanced, shared_batch
):
    # num_examples is traced: one compilation serves many sample sizes.
    origin = jnp.zeros(contextual.dim, contextual.context.dtype)

    def step(vectors, step_input):
        step_key, moves_prompt = step_input
        w, q = vectors

        def contributions(X, y):
            return head_descent(X, y, q), prompt_descent(X, y, w, step_size)

        new_w, new_q = _average(contributions, step_key, contextual, num_examples, chunk, balanced)
        if prompt_norm is not None:
            new_q = prompt_norm * new_q / jnp.linalg.norm(new_q)
        vectors = (jnp.where(moves_prompt, w, new_w), jnp.where(moves_prompt, new_q, q))
        return vectors, vectors[0]

    # A scan, so that one compiled step serves all three: head, prompt, head.
    # The same key draws the same batch again.
    keys = jax.random.split(key, 3)[jnp.array([0, 0, 0] if shared_batch else [0, 1, 2])]
    inputs = (keys, jnp.array([False, True, False]))
    (w2, q1), (w1, _, _) = jax.lax.scan(step, (origin, origin), inputs)
    return ThreeSteps(w1, q1, w2)


def _average(contributions, key, contextual, num_examples, chunk, balanced):
    """The mean of contributions(X, y) over fresh examples, one chunk in memory at a time."""

    def add(i, totals):
        index = chunk * i + jnp.arange(chunk)
        labels = 1.0 - 2.0 * (index % 2) if balanced else None
        batch = contextual.sample(jax.random.fold_in(key, i), chunk, labels)
        drawn = jax.vmap(contributions)(batch.tokens, batch.labels)
        counted = (index < num_examples).astype(batch.labels.dtype)
        return jax.tree.map(lambda total, x: total + counted @ x, totals, drawn)

    zero = jnp.zeros(contextual.dim, contextual.context.dtype)
    totals = jax.lax.fori_loop(0, -(-num_examples // chunk), add, (zero, zero))
    return jax.tree.map(lambda total: total / num_examples, totals)


def _relevant_first(contextual):
    """Nothing here depends on the order of the tokens, and shuffling them takes time."""
    return dataclasses.replace(contextual, relevance="first")


def _chunk(contextual, num_examples):
    """How many examples to hold: few sizes, as each is compiled anew."""
    limit = max(1, 2**18 // (contextual.num_tokens * contextual.dim))
    return min(4 if num_examples <= 4 else 64, 2 ** int(math.log2(limit)))


def _check(contextual, num_examples, prompt_norm, balanced, method):
    if balanced:
        contextual.assume("balanced=True", "symmetric")
        if num_examples % 2:
            raise ValueError(f"num_examples must be even for balanced labels, got {num_examples}")
    norm = prompt_norm
    if norm is not None and not isinstance(norm, jax.core.Tracer) and not norm >= 0:
        raise ValueError(f"prompt_norm must be >= 0, got {norm}")
    if method not in ("direct", "conditioned"):
        raise ValueError(f"method must be 'direct' or 'conditioned', got {method!r}")
    if method == "conditioned":
        contextual.assume('method="conditioned" (Result S2)', "gaussian")
