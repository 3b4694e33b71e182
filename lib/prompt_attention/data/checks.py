"""What a contextual model must fulfil, and which assumptions of a result it breaks.

A traced value is not checked; the others are looked at in NumPy, which tracing leaves alone.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

ASSUMPTIONS = {
    "core": "the core dataset (nuisance = (0, 0))",
    "discrete": "the discrete dataset (noise_std = 0)",
    "orthogonal": "a context orthogonal to the regressor (correlation = 0)",
    "isotropic": "isotropic noise (noise_factor = None)",
    "gaussian": "Gaussian noise (noise_law = jax.random.normal)",
    "symmetric": "labels of equal chance (positive_rate = 0.5)",
}


def checked_once(*, traced: tuple[str, ...], static: tuple[str, ...]) -> Callable[[type], type]:
    """Register a frozen dataclass as a pytree that is checked when it is made, and never again.

    jax takes a pytree apart and puts it together with tracers or placeholders in its fields.

    Args:
        traced: fields that `jit`, `vmap` and `grad` may trace.
        static: the other fields, which a compiled function depends on.
    """

    def register(cls: type) -> type:
        def flatten(instance):
            return tuple(
                tuple(getattr(instance, name) for name in part) for part in (traced, static)
            )

        def unflatten(fixed, leaves):
            instance = object.__new__(cls)
            for name, value in zip(traced + static, (*leaves, *fixed), strict=True):
                object.__setattr__(instance, name, value)
            return instance

        jax.tree_util.register_pytree_node(cls, flatten, unflatten)
        return cls

    return register


def is_concrete(value: Any) -> bool:
    """Whether a value is known now, not traced."""
    return not isinstance(value, jax.core.Tracer)


def whole_number(name: str, value: Any, *, least: int) -> int:
    """The value as an int; a ValueError unless it is a whole number and large enough."""
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise ValueError(f"{name} must be a whole number >= {least}, got {value!r}")
    return number


def one_or_several(name: str, value: Any) -> list[int]:
    """A size or a sequence of sizes as a list; a ValueError unless all are whole and >= 1."""
    sizes = list(value) if isinstance(value, Sequence) else [value]
    if not sizes:
        raise ValueError(f"{name} must be a size or several, got none")
    return [whole_number(name, size, least=1) for size in sizes]


def scalar(name: str, value: Any) -> Any:
    """The value as a float unless it is traced; a ValueError unless it is one number."""
    if np.ndim(value) != 0:
        raise ValueError(f"{name} must be one number, got shape {np.shape(value)}")
    return float(value) if is_concrete(value) else value


def check_labels(labels, num_examples):
    """Raise a ValueError unless there is one label of +1 or -1 for each example."""
    if labels.shape != (num_examples,):
        raise ValueError(f"labels must have shape [{num_examples}], got {labels.shape}")
    if is_concrete(labels) and not (abs(np.asarray(labels)) == 1).all():
        raise ValueError(f"labels must be +1 or -1, got {np.unique(labels)}")


def check_shapes(model):
    """Raise a ValueError where shapes, types or names do not fit."""
    if model.context.ndim != 1 or model.context.shape != model.regressor.shape:
        raise ValueError(
            "context and regressor must be vectors of the same length, got shapes "
            f"{model.context.shape} and {model.regressor.shape}"
        )
    if model.nuisance.ndim != 2 or model.nuisance.shape[1] != 2 or not len(model.nuisance):
        raise ValueError(
            "nuisance must be a sequence of pairs (dq, dw), shape [m, 2] with m >= 1, got "
            f"shape {model.nuisance.shape}; write ((dq, dw),) for a single pair"
        )
    probs = model.nuisance_probs
    if probs is not None and probs.shape != model.nuisance.shape[:1]:
        raise ValueError(
            f"nuisance_probs must have one entry for each of the {len(model.nuisance)} pairs of "
            f"nuisance, got shape {probs.shape}"
        )
    factor = model.noise_factor
    if factor is not None and (factor.ndim != 2 or factor.shape[0] != model.dim):
        raise ValueError(f"noise_factor must have shape [{model.dim}, k], got {factor.shape}")
    if model.relevance not in ("random", "first"):
        raise ValueError(f"relevance must be 'random' or 'first', got {model.relevance!r}")


def check_values(model):
    """Raise a ValueError where a value that is not traced lies outside its domain."""
    _check_sparsity(model.sparsity, model.num_tokens)
    for name in ("context", "regressor", "nuisance", "noise_factor"):
        value = getattr(model, name)
        if value is not None and is_concrete(value) and not np.isfinite(value).all():
            raise ValueError(f"{name} must be finite, got {value}")
    std, rate = model.noise_std, model.positive_rate
    if is_concrete(std) and not (0 <= std < math.inf):
        raise ValueError(f"noise_std must be finite and >= 0, got {std}")
    if is_concrete(rate) and not (0 <= rate <= 1):
        raise ValueError(f"positive_rate must lie in [0, 1], got {rate}")
    probs = model.nuisance_probs
    if probs is not None and is_concrete(probs) and not _is_distribution(np.asarray(probs)):
        raise ValueError(f"nuisance_probs must be >= 0 and sum to one, got {probs}")
    if is_concrete(model.nuisance) and (lowest := np.asarray(model.nuisance)[:, 0].min()) < 0:
        raise ValueError(f"the context strength dq in nuisance must be >= 0, got {lowest}")


def check_assumptions(model, result, assumptions):
    """Raise a ValueError that names the first assumption of `result` that the model breaks."""
    holds = {
        "core": not is_concrete(model.nuisance) or not np.asarray(model.nuisance).any(),
        "discrete": not is_concrete(model.noise_std) or model.noise_std == 0,
        "orthogonal": _orthogonal(model.context, model.regressor),
        "isotropic": model.noise_factor is None,
        "gaussian": model.noise_law is jax.random.normal,
        "symmetric": not is_concrete(model.positive_rate) or model.positive_rate == 0.5,
    }
    for name in assumptions:
        if name not in holds:
            raise ValueError(f"assumptions must be names out of {list(holds)}, got {name!r}")
        if not holds[name]:
            raise ValueError(f"{result} assumes {ASSUMPTIONS[name]}, which this model breaks")


def _orthogonal(context, regressor):
    """Whether the vectors are orthogonal, or traced: in numpy, which tracing leaves alone."""
    if not (is_concrete(context) and is_concrete(regressor)):
        return True
    q, w = np.asarray(context), np.asarray(regressor)
    return not abs(q @ w) > 1e-5 * np.linalg.norm(q) * np.linalg.norm(w)


def _is_distribution(probs):
    return probs.min() >= 0 and abs(probs.sum() - 1) < 1e-5


def _check_sparsity(sparsity, num_tokens):
    if not 0 < sparsity < 1:
        raise ValueError(f"sparsity must lie in (0, 1), got {sparsity}")
    product = sparsity * num_tokens
    nearest = min(max(round(product), 1), num_tokens - 1)
    if abs(product - nearest) > 1e-6 * num_tokens:
        raise ValueError(
            "sparsity * num_tokens must be a whole number in 1..num_tokens-1, got "
            f"{sparsity} * {num_tokens} = {product:g}; the nearest sparsity that fits is "
            f"{nearest / num_tokens:g} ({nearest} of {num_tokens} tokens)"
        )
