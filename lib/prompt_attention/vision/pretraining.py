"""Pretraining on full-tiled canvases, and the weights that it left."""

import dataclasses
import hashlib
import json
import pathlib
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Int, PRNGKeyArray

from prompt_attention import dynamics
from prompt_attention.vision.adaptation import cross_entropy
from prompt_attention.vision.canvases import Canvases, Family
from prompt_attention.vision.images import Split
from prompt_attention.vision.transformer import Shape, VisionTransformer

FAMILY = Family(name="full", strength=0.7, noise_std=0.3)
"""The canvases of pretraining."""

NUM_STEPS = 600

WEIGHTS = pathlib.Path(str(resources.files("prompt_attention.vision") / "weights.safetensors"))
"""The weights that come with the library."""

REMEDY = "restore it, or make it anew with `make pretrain`"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stream:
    """Fresh canvases without end: each step gets its own, drawn from the key and the step.

    Args:
        key: the key that every step's key is folded from.
        family: the law of the canvases.
        split: the images.
        num_examples: canvases for each step.
    """

    key: PRNGKeyArray
    family: Family
    split: Split
    num_examples: int = dataclasses.field(metadata={"static": True})

    def __call__(self, step: Int[Array, ""]) -> Canvases:
        """The canvases of a step."""
        key = jax.random.fold_in(self.key, step)
        return self.family.sample(key, self.split, self.num_examples)


def pretrain(
    key: PRNGKeyArray,
    shape: Shape,
    split: Split,
    *,
    num_steps: int = NUM_STEPS,
    stop: int | None = None,
    batch_size: int = 128,
    checkpoint: str | pathlib.Path | None = None,
    progress: bool | None = None,
) -> dynamics.Trajectory:
    """Train a transformer on full-tiled canvases by AdamW on the cross-entropy.

    Args:
        key: draws weights and canvases.
        shape: the sizes of the transformer.
        split: the images.
        num_steps: steps, over which the learning rate rises for 50 and falls along a cosine.
        stop: end after that many of them; all when None.
        batch_size: canvases for each step.
        checkpoint: a folder, from which an interrupted run goes on.
        progress: whether to show a bar; None shows one in a terminal.
    """
    start_key, canvas_key = jax.random.split(key)
    model = VisionTransformer(shape, rngs=nnx.Rngs(start_key))
    schedule = optax.warmup_cosine_decay_schedule(0.0, 3e-3, min(50, num_steps), num_steps)
    return dynamics.train(
        model,
        optax.adamw(schedule, weight_decay=1e-2),
        Stream(canvas_key, FAMILY, split, batch_size),
        num_steps if stop is None else stop,
        loss=cross_entropy,
        checkpoint=checkpoint,
        segment=100,
        progress=progress,
    )


def fingerprint(split: Split) -> str:
    """A hash of all images and backgrounds of a split."""
    whole = hashlib.sha256()
    for part in split:
        whole.update(np.ascontiguousarray(part).tobytes())
    return whole.hexdigest()[:16]


def save_weights(path: str | pathlib.Path, model: VisionTransformer, provenance: dict) -> None:
    """Write weights, sizes and provenance (anything that JSON holds) as one safetensors file."""
    from safetensors.numpy import save_file

    about = {"shape": dataclasses.asdict(model.shape), "provenance": provenance}
    arrays = {name: np.asarray(value) for name, value in _arrays(model).items()}
    save_file(arrays, path, {name: json.dumps(value) for name, value in about.items()})


def load_weights(path: str | pathlib.Path = WEIGHTS) -> tuple[VisionTransformer, dict]:
    """The pretrained transformer and its provenance.

    Args:
        path: a file of `save_weights`.

    Raises:
        ValueError: the file is missing or damaged, or does not hold the weights that its sizes ask
            for.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} holds no weights that can be read ({error}): {REMEDY}") from error
    if missing := {"shape", "provenance"} - set(about):
        raise ValueError(f"{path} does not say its {', '.join(sorted(missing))}: {REMEDY}")
    shape = Shape(**about["shape"])
    model = jax.eval_shape(lambda: VisionTransformer(shape, rngs=nnx.Rngs(0)))
    needed = jax.eval_shape(lambda: _arrays(VisionTransformer(shape, rngs=nnx.Rngs(0))))
    expected = {name: value.shape for name, value in needed.items()}
    found = {name: value.shape for name, value in arrays.items()}
    if expected != found:
        wrong = sorted({name for name, _ in expected.items() ^ found.items()})
        raise ValueError(f"{path} has the wrong weights for its sizes in {', '.join(wrong)}")
    for name, value in arrays.items():
        setattr(model, name, nnx.Param(jnp.asarray(value)))
    return model, about["provenance"]


def _arrays(model):
    return {name: v[...] for name, v in vars(model).items() if isinstance(v, nnx.Param)}
