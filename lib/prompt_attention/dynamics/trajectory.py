"""Full training: any model, loss and optimizer, with fresh batches, a record and a checkpoint.

The steps are one `lax.scan` (`training.descend`), run in segments, so that a long run can show how
far it is and be stopped and taken up again.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree
from tqdm import tqdm

from prompt_attention import risk, training
from prompt_attention.data import Batch, ContextualModel
from prompt_attention.data.checks import whole_number
from prompt_attention.dynamics.steps import alignment


class Trajectory(NamedTuple):
    """Where training ended and what it passed; entry k belongs to the model before step k."""

    model: nnx.Module
    optimizer_state: PyTree
    losses: Float[Array, " steps"]
    records: PyTree  # what `record` kept, steps first


class Observation(NamedTuple):
    """What `observe` keeps of a model on a batch; nan where the model has no such part."""

    error: Float[Array, "*steps"]  # share of the batch with y f(X) <= 0
    attention_mass: Float[Array, "*steps"]  # mean weight on the relevant tokens
    head_alignment: Float[Array, "*steps"]  # cos^2(head, w*)
    prompt_alignment: Float[Array, "*steps"]  # cos^2(prompt, q*)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stream:
    """Fresh batches without end: step k gets its own, drawn from the key and k, and none is kept.

    Args:
        key: the key that every step's key is folded from.
        contextual: the data.
        num_examples: examples for each batch.
    """

    key: PRNGKeyArray
    contextual: ContextualModel
    num_examples: int = dataclasses.field(metadata={"static": True})

    def __call__(self, step: Int[Array, ""]) -> Batch:
        """The batch of a step."""
        return self.contextual.sample(jax.random.fold_in(self.key, step), self.num_examples)


def observing(contextual: ContextualModel) -> Callable[[nnx.Module, Batch], Observation]:
    """A record for `train`: error, attention mass and alignments, from the batch of the step.

    On a stream the batch is fresh, so its error is a test error.
    """
    return jax.tree_util.Partial(_observe, contextual.context, contextual.regressor)


def _observe(context, regressor, model, batch):
    weights = jax.vmap(model.attention)(batch.tokens)
    weights = weights.mean(axis=1) if weights.ndim == 3 else weights
    prompt = getattr(model, "prompt", None)
    return Observation(
        risk.error_rate(model, batch).value,
        jnp.sum(weights * batch.relevant, axis=1).mean(),
        alignment(model.head[...], regressor),
        jnp.full((), jnp.nan) if prompt is None else alignment(prompt[...], context),
    )


def train(
    model: nnx.Module,
    optimizer: optax.GradientTransformation,
    batches: Batch | Callable[[Int[Array, ""]], Batch],
    num_steps: SupportsIndex,
    *,
    loss: Callable[[nnx.Module, Batch], Float[Array, ""]] = risk.squared_loss,
    record: Callable[[nnx.Module, Batch], PyTree] = lambda model, batch: None,
    checkpoint: str | pathlib.Path | None = None,
    segment: SupportsIndex = 1000,
    progress: bool | None = None,
) -> Trajectory:
    """Train a model by `num_steps` steps of an optax optimizer.

    Loss and record see the same batch in the same compiled step, so what they share (scores,
    attention weights, outputs) is computed once.

    Args:
        model: where to start.
        optimizer: any optax transformation.
        batches: one batch for all steps, or a function from the step number to the batch of that
            step, such as a `Stream`.
        num_steps: steps in all, those before a checkpoint included.
        loss: a function of (model, batch).
        record: what to keep before each step, a function of (model, batch); see `observing`.
        checkpoint: a folder. The run is saved there after every segment, and taken up from there
            if the folder holds an earlier part of it; the result is the same, bit for bit.
        segment: steps between two saves, and between two movements of the progress bar.
        progress: whether to show a bar; None shows one in a terminal, for runs over a second.

    Raises:
        ValueError: a negative number of steps, a segment below 1, or a checkpoint beyond
            `num_steps`.
    """
    num_steps = whole_number("num_steps", num_steps, least=0)
    segment = whole_number("segment", segment, least=1)
    advance = partial(_advance, loss=loss, optimizer=optimizer)
    batches, record = _as_pytree(batches), _as_pytree(record)
    descent = training.start(model, optimizer)
    _, kept = jax.eval_shape(advance, descent, jnp.arange(0), batches, record)
    history = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), kept)
    done = 0
    saves = None if checkpoint is None else _Saves(checkpoint)
    if saves is not None and (latest := saves.latest()) is not None:
        if latest > num_steps:
            raise ValueError(f"checkpoint is at step {latest}, beyond num_steps = {num_steps}")
        shapes = jax.tree.map(lambda x: np.zeros((latest, *x.shape[1:]), x.dtype), history)
        done, (descent, history) = latest, saves.load(latest, (descent, shapes))
    quiet = None if progress is None else not progress
    delay = 0 if progress else 1
    with tqdm(total=num_steps, initial=done, disable=quiet, delay=delay, unit="step") as bar:
        while done < num_steps:
            count = min(segment - done % segment, num_steps - done)
            descent, kept = advance(descent, jnp.arange(done, done + count), batches, record)
            history = jax.tree.map(lambda *x: np.concatenate(x), history, kept)
            done += count
            if saves is not None:
                saves.save(done, (descent, history))
            bar.update(count)
    losses, records = jax.tree.map(jnp.asarray, history)
    return Trajectory(descent.params, descent.optimizer_state, losses, records)


@partial(jax.jit, static_argnames=("loss", "optimizer"))
def _advance(descent, steps, batches, record, *, loss, optimizer):
    def loss_and_record(model, step):
        batch = batches if isinstance(batches, Batch) else batches(step)
        return loss(model, batch), jax.lax.stop_gradient(record(model, batch))

    return training.descend(loss_and_record, descent, optimizer, steps, has_aux=True)


def _as_pytree(function):
    """A plain function as a pytree that jit takes as an argument; a pytree as it is."""
    is_plain = callable(function) and jax.tree_util.all_leaves([function])
    return jax.tree_util.Partial(function) if is_plain else function


class _Saves:
    """Orbax checkpoints of a pytree, one for each step saved; only the last two are kept."""

    def __init__(self, folder):
        import orbax.checkpoint as ocp  # takes seconds to import, and few runs are saved

        self.folder = pathlib.Path(folder).absolute()
        self.args = ocp.args
        self.options = ocp.CheckpointManagerOptions(max_to_keep=2, create=True)
        self.manager = ocp.CheckpointManager

    def latest(self):
        with self.manager(self.folder, options=self.options) as manager:
            return manager.latest_step()

    def save(self, step, tree):
        leaves = {str(k): leaf for k, leaf in enumerate(jax.tree.leaves(tree))}
        with self.manager(self.folder, options=self.options) as manager:
            manager.save(step, args=self.args.StandardSave(leaves))

    def load(self, step, like):
        leaves, structure = jax.tree.flatten(like)
        shapes = {str(k): leaf for k, leaf in enumerate(leaves)}
        with self.manager(self.folder, options=self.options) as manager:
            restored = manager.restore(step, args=self.args.StandardRestore(shapes))
        return jax.tree.unflatten(structure, [restored[str(k)] for k in range(len(leaves))])
