"""The cells of a grid, their names, and the keys of their runs."""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

Cell = dict[str, Any]


def plain(grid: Mapping[str, Sequence]) -> dict[str, list]:
    """The grid with Python's own numbers, as a file can hold it.

    Raises:
        ValueError: a value that is no number, string or truth value, a value given twice, or a
            parameter without values.
    """
    lists = {}
    for name, values in grid.items():
        items = [value.item() if hasattr(value, "item") else value for value in values]
        good = bool(items) and all(isinstance(item, bool | int | float | str) for item in items)
        if not good or len({digest({name: item}) for item in items}) < len(items):
            raise ValueError(
                f"grid[{name!r}] must hold different numbers, strings or truth values, got {values}"
            )
        lists[name] = items
    return lists


def cells(grid: Mapping[str, Sequence]) -> list[Cell]:
    """Every combination of values, the last parameter changing fastest."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def digest(cell: Cell) -> str:
    """A short name for a cell, the same in every sweep that contains it."""
    return hashlib.sha256(json.dumps(cell, sort_keys=True).encode()).hexdigest()[:16]


def cell_key(key: PRNGKeyArray, cell: Cell) -> PRNGKeyArray:
    """The key of a cell: folded from its name, so that the rest of the grid does not matter."""
    for word in np.frombuffer(bytes.fromhex(digest(cell)), ">u4"):
        key = jax.random.fold_in(key, int(word))
    return key
