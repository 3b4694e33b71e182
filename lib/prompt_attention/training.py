"""Gradient descent as one `lax.scan`: any loss, any optax optimizer, any pytree of parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax
from jaxtyping import Array, Float, PyTree


class Descent(NamedTuple):
    """Where gradient descent stands; all that is needed to go on."""

    params: PyTree
    optimizer_state: PyTree


def start(params: PyTree, optimizer: optax.GradientTransformation) -> Descent:
    """The state before the first step."""
    return Descent(params, optimizer.init(params))


def descend(
    loss: Callable[..., Float[Array, ""]],
    descent: Descent,
    optimizer: optax.GradientTransformation,
    inputs: PyTree,
    record: Callable[[PyTree], Any] = lambda params: None,
    has_aux: bool = False,
) -> tuple[Descent, tuple[Float[Array, " steps"], PyTree]]:
    """Take one step for each input, `params <- params + update(grad loss(params, input))`.

    Pure, so it may be jitted and vmapped over starts.

    Args:
        loss: a function of (params, input).
        descent: the state to start from, see `start`.
        optimizer: any optax transformation.
        inputs: a pytree whose leaves have the steps as their leading axis: a key, a batch, or a
            step number for each step.
        record: what to keep of the parameters before each step.
        has_aux: whether `loss` returns a pair (value, kept), as in `jax.value_and_grad`; `kept`
            then takes the place of the record and costs no second pass over the input.

    Returns:
        The state after the last step, and the losses and records before each step.
    """

    def step(descent, step_input):
        answer, gradient = jax.value_and_grad(loss, has_aux=has_aux)(descent.params, step_input)
        value, kept = answer if has_aux else (answer, record(descent.params))
        updates, state = optimizer.update(gradient, descent.optimizer_state, descent.params)
        return Descent(optax.apply_updates(descent.params, updates), state), (value, kept)

    return jax.lax.scan(step, descent, inputs)
