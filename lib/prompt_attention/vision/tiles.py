"""Canvases of square tiles, some of them handwritten digits and the others cut from photographs.

Digits and photographs ship with scikit-learn; nothing is downloaded.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from sklearn import datasets

SIDE = 8
"""Pixels along a tile, the size of scikit-learn's digits."""


class Tiles(NamedTuple):
    """Grey tiles with values in [0, 1]."""

    digits: dict[int, Float[np.ndarray, "_ 8 8"]]  # handwritten digits by class, 0 to 9
    photographs: Float[np.ndarray, "p 8 8"]  # all disjoint tiles of the photographs


class Canvas(NamedTuple):
    """One picture as a matrix of tokens, each a flattened tile."""

    tokens: Float[Array, "T d"]
    relevant: Bool[Array, " T"]  # True where the tile shows a digit


def load_tiles() -> Tiles:
    """The 1,797 digits of scikit-learn, and its two photographs cut into tiles."""
    scans = datasets.load_digits()
    images = scans.images.astype(np.float32) / 16
    digits = {label: images[scans.target == label] for label in range(10)}
    photographs = np.stack(datasets.load_sample_images().images).astype(np.float32)
    grey = photographs.mean(axis=-1) / 255
    rows, columns = grey.shape[1] // SIDE, grey.shape[2] // SIDE
    cut = grey[:, : rows * SIDE, : columns * SIDE].reshape(-1, rows, SIDE, columns, SIDE)
    return Tiles(digits, cut.swapaxes(2, 3).reshape(-1, SIDE, SIDE))


def partial_canvas(
    key: PRNGKeyArray,
    digits: Float[np.ndarray, "_ 8 8"],
    photographs: Float[np.ndarray, "_ 8 8"],
    *,
    num_tokens: int,
    num_relevant: int,
) -> Canvas:
    """A canvas with digits at random places and photograph tiles elsewhere.

    Raises:
        ValueError: `num_relevant` is not in 1..num_tokens-1.
    """
    if not 0 < num_relevant < num_tokens:
        raise ValueError(
            f"num_relevant must lie in 1..{num_tokens - 1} for {num_tokens} tokens, got "
            f"{num_relevant}"
        )
    place_key, digit_key, photograph_key = jax.random.split(key, 3)
    relevant = jax.random.permutation(place_key, jnp.arange(num_tokens) < num_relevant)
    shown = jax.random.choice(digit_key, jnp.asarray(digits), (num_tokens,))
    behind = jax.random.choice(photograph_key, jnp.asarray(photographs), (num_tokens,))
    tiles = jnp.where(relevant[:, None, None], shown, behind)
    return Canvas(tiles.reshape(num_tokens, -1), relevant)
