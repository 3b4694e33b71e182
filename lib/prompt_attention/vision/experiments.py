"""One run of an experiment on canvases, in the form that `sweeps.run` calls; and its records."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, Real

from prompt_attention.vision.adaptation import (
    METHODS,
    attention_mass,
    features,
    fit,
)
from prompt_attention.vision.canvases import Canvases, Family
from prompt_attention.vision.images import halves, load
from prompt_attention.vision.pretraining import load_weights

FAMILIES = {
    "full": Family(name="full", strength=0.35, noise_std=0.5),
    "partial": Family(name="partial", num_relevant=4, strength=0.7, noise_std=0.2),
    "embedded": Family(name="embedded", scales=(3.8, 4.0)),
    "marked": Family(name="marked", num_relevant=4, mark=0.5, noise_std=0.2),
}
"""The canvases of the chapter: hard enough that methods differ."""

ALL = 64
"""Labelled canvases of each class, at most."""

NUM_TEST = 1000

LAYER = 0
"""The layer whose incoming features the one-layer model reads."""

RECORDS = ("labels", "relevant", "prompts", "families", "rates", "layers")


def adapt(
    key: PRNGKeyArray,
    *,
    method: str,
    family: str,
    per_class: Real[ArrayLike, ""] = ALL,
    num_relevant: Real[ArrayLike, ""] = 4,
    num_prompts: int | None = None,
    learning_rate: Real[ArrayLike, ""] | None = None,
    layer: int = LAYER,
    judge: str = "test",
) -> dict[str, Float[Array, "..."]]:
    """Adapt the pretrained transformer once, and judge it on images and backgrounds it never saw.

    Args:
        key: draws labelled canvases, start, batches and test canvases.
        method: a name in `METHODS`, or "untouched".
        family: a name in `FAMILIES`.
        per_class: labelled canvases of each class, 1 to `ALL`.
        num_relevant: |R|, in the families "partial" and "marked".
        num_prompts: m in place of the method's own.
        learning_rate: in place of the method's own.
        layer: whose incoming features the one-layer model reads.
        judge: "test", or "validation" to fit on one half of the training split and judge on the
            other, as `choice` needs it.

    Returns:
        Accuracies on test and labelled canvases, and the attention mass on relevant patches in each
        layer; the one-layer model has the same in all.
    """
    canvas_key, fit_key, test_key = jax.random.split(key, 3)
    law = dataclasses.replace(FAMILIES[family], num_relevant=num_relevant)
    backbone, _ = load_weights()
    if judge == "validation":
        with jax.ensure_compile_time_eval():  # data, and no part of what jax traces
            seen, unseen = halves(load("train"))
    else:
        seen, unseen = load("train"), load(judge)
    labelled = law.sample(canvas_key, seen, ALL * backbone.shape.num_classes)
    test = law.sample(test_key, unseen, NUM_TEST)
    if method == "untouched":
        model = backbone
    else:
        chosen = METHODS[method]
        if num_prompts is not None:
            chosen = dataclasses.replace(chosen, num_prompts=num_prompts)
        if chosen.one_layer:
            labelled, test = (features(backbone, canvases, layer) for canvases in (labelled, test))
        rate = {"learning_rate": learning_rate}
        model, _ = fit(fit_key, chosen, backbone, labelled, per_class, **rate)
    used = jnp.arange(len(labelled.labels)) < per_class * backbone.shape.num_classes
    # All at once, since compiling a transformer takes longer than running it.
    both = Canvases(*(jnp.concatenate(parts) for parts in zip(labelled, test, strict=True)))
    right = jax.vmap(model)(both.tokens).argmax(axis=-1) == both.labels
    fitted, judged = jnp.split(right, [len(labelled.labels)])
    mass = attention_mass(model, both)[len(labelled.labels) :].mean(axis=0)
    return {
        "accuracy": judged.mean(),
        "training accuracy": jnp.sum(fitted * used) / jnp.sum(used),
        "mass": jnp.broadcast_to(mass, (backbone.shape.layers,)),
    }


def choice(columns: Mapping[str, np.ndarray], *names: str) -> dict[str, tuple]:
    """What gives each method its best validation accuracy, averaged over families and seeds.

    Args:
        columns: records.
        names: the columns to choose in, "learning_rate" or "layer" say.

    Returns:
        The chosen values of these columns, by the name of the method.
    """
    chosen = {}
    for method in np.unique(columns["method"]):
        rows = columns["method"] == method
        options = list(zip(*(columns[name][rows].tolist() for name in names), strict=True))
        accuracy = columns["accuracy"][rows]
        means = {
            option: np.mean([a for o, a in zip(options, accuracy, strict=True) if o == option])
            for option in sorted(set(options))
        }
        chosen[str(method)] = max(means, key=means.get)
    return chosen


def write_records(
    path: str | pathlib.Path, columns: Mapping[str, Any], provenance: Mapping[str, Any]
) -> None:
    """Write columns of equal length, one row for each run, with their provenance as JSON.

    The provenance gets a hash of the columns, so that numbers are changed by a run or not at all.
    """
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    lists = {
        name: (x.astype(float).round(4) if x.dtype.kind == "f" else x).tolist()
        for name, x in arrays.items()
    }
    about = {**provenance, "hash": _digest(lists)}
    text = json.dumps({"provenance": about, "columns": lists}, separators=(",", ":"))
    pathlib.Path(path).write_text(text.replace('],"', '],\n"') + "\n", "utf8")


def read_records(
    name: str, folder: str | pathlib.Path | None = None
) -> tuple[dict[str, np.ndarray], dict]:
    """The columns and the provenance of an experiment.

    Args:
        name: one of `RECORDS`.
        folder: where its file is; with the library when None.

    Raises:
        ValueError: the file is missing, cut off, has columns of unequal length, or others than were
            written.
    """
    if folder is None:
        folder = pathlib.Path(str(resources.files("prompt_attention.vision") / "records"))
    path = pathlib.Path(folder) / f"{name}.json"
    remedy = "restore it, or make it anew with `make experiments`"
    try:
        content = json.loads(path.read_text("utf8"))
        columns = {key: np.asarray(column) for key, column in content["columns"].items()}
        provenance = content["provenance"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{path} holds no records that can be read ({error!r}): {remedy}"
        ) from error
    if len({len(column) for column in columns.values()}) != 1:
        raise ValueError(f"{path} has columns of unequal length: {remedy}")
    if provenance.get("hash") != _digest(content["columns"]):
        raise ValueError(f"{path} has other numbers than were written: {remedy}")
    return columns, provenance


def _digest(lists):
    return hashlib.sha256(json.dumps(lists, sort_keys=True).encode()).hexdigest()[:16]


def summary(
    columns: Mapping[str, np.ndarray], value: str, by: str, **where: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means and standard errors over seeds of a column, for each value of another one.

    Args:
        columns: records.
        value: the column to average.
        by: the column whose values to tell apart.
        where: the rows to use, by the values of other columns.

    Raises:
        ValueError: no such rows.
    """
    chosen = np.ones(len(columns[by]), bool)
    for name, wanted in where.items():
        chosen &= columns[name] == wanted
    if not chosen.any():
        raise ValueError(f"no records with {where}")
    points = np.unique(columns[by][chosen])
    groups = [columns[value][chosen & (columns[by] == point)] for point in points]
    means = np.array([group.mean(axis=0) for group in groups])
    errors = np.array([group.std(axis=0, ddof=1) / np.sqrt(len(group)) for group in groups])
    return points, means, errors
