"""Canvases: pictures that are mostly beside the point, in four families.

A canvas is a square of tiles, and each tile is a token. Every canvas knows which tokens are
relevant, that is, which hold pixels of an image whose class is the label.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray, Real

from prompt_attention import draws
from prompt_attention.data.checks import checked_once, whole_number
from prompt_attention.vision.images import Split

FAMILIES = ("full", "partial", "embedded", "marked")


class Canvases(NamedTuple):
    """Pictures as matrices of tokens, each a flattened tile."""

    tokens: Float[Array, "*n T p"]
    labels: Int[Array, "*n"]
    relevant: Bool[Array, "*n T"]


@checked_once(
    traced=("num_relevant", "strength", "noise_std", "mark"), static=("name", "grid", "scales")
)
@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """A law of canvases.

    Args:
        name: "full": every tile is an image of the class. "partial": `num_relevant` tiles are, the
            others are background. "embedded": one image of the class at a random place and scale
            on a background. "marked": every tile is an image, but only `num_relevant` marked ones
            are of the class; the others are of other classes.
        grid: tiles along an edge of the canvas, so T = grid^2.
        num_relevant: |R|; not used by "full" and "embedded".
        strength: share of the image where an image covers the background, in (0, 1].
        noise_std: standard deviation of the noise on every pixel.
        mark: what the mark adds to the left and right edge of a marked tile.
        scales: least and largest edge of an embedded image, in tiles.
    """

    name: str
    grid: int = 4
    num_relevant: Int[ArrayLike, ""] = 4
    strength: Real[ArrayLike, ""] = 1.0
    noise_std: Real[ArrayLike, ""] = 0.0
    mark: Real[ArrayLike, ""] = 1.0
    scales: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self):
        if self.name not in FAMILIES:
            raise ValueError(f"name must be one of {', '.join(FAMILIES)}, got {self.name!r}")
        whole_number("grid", self.grid, least=1)
        _check("num_relevant", self.num_relevant, 1, self.num_tokens)
        _check("strength", self.strength, 0, 1)
        _check("noise_std", self.noise_std, 0, jnp.inf)
        if not 0 < self.scales[0] <= self.scales[1] <= self.grid:
            raise ValueError(f"scales must rise within (0, {self.grid}], got {self.scales}")

    @property
    def num_tokens(self) -> int:
        """T, the number of tiles."""
        return self.grid**2

    def sample(
        self, key: PRNGKeyArray, split: Split, n: int, classes: Sequence[int] | None = None
    ) -> Canvases:
        """Draw n canvases; the classes take turns, so their numbers differ by one at most.

        Args:
            key: draws everything but the labels.
            split: images and backgrounds.
            n: how many.
            classes: the classes that labels come from; all when None.

        Raises:
            ValueError: the canvas is larger than a background.
        """
        if self.grid * split.side > split.backgrounds.shape[1]:
            raise ValueError(
                f"a canvas of {self.grid} tiles of {split.side} pixels is larger than a "
                f"background of {split.backgrounds.shape[1]}"
            )
        turns = jnp.arange(split.num_classes) if classes is None else jnp.asarray(classes)
        return _sample(key, self, split, jnp.resize(turns, n))


def pictures(tokens: Float[Array, "*n T p"], side: int) -> Float[Array, "*n height width channels"]:
    """Put the tiles of square canvases back together."""
    *n, T, p = tokens.shape
    grid = round(T**0.5)
    tiles = tokens.reshape(*n, grid, grid, side, side, p // side**2)
    return jnp.moveaxis(tiles, -4, -3).reshape(*n, grid * side, grid * side, -1)


@jax.jit
def _sample(key, family, split, labels):
    draw = jax.vmap(_one, in_axes=(0, None, None, 0))
    return Canvases(*draw(jax.random.split(key, len(labels)), family, split, labels))


def _one(key, family, split, label):
    place_key, image_key, class_key, behind_key, noise_key = jax.random.split(key, 5)
    T, size = family.num_tokens, family.grid * split.side
    behind = _tiles(_background(behind_key, split, size), split.side)
    if family.name == "embedded":
        shown, cover, relevant = _embedded(place_key, image_key, family, split, label)
    else:
        count = T if family.name == "full" else family.num_relevant
        relevant = jnp.argsort(jax.random.uniform(place_key, (T,))) < count
        others = 1 + _below(class_key, jnp.full(T, split.num_classes - 1))
        classes = jnp.where(relevant, label, (label + others) % split.num_classes)
        shown = _choose(image_key, split, classes).reshape(T, -1)
        cover = (relevant | (family.name == "marked"))[:, None]
    tokens = behind + family.strength * cover * (shown - behind)
    if family.name == "marked":
        tokens += relevant[:, None] * family.mark * _edges(split)
    noise = draws.normal(noise_key, tokens.shape)
    return tokens + family.noise_std * noise, label, relevant


def _choose(key, split, classes):
    """One image for each of the classes."""
    first, end = split.offsets[classes], split.offsets[classes + 1]
    return split.images[first + _below(key, end - first)]


def _below(key, counts):
    """For each count a random whole number below it: one draw, where `randint` compiles three."""
    return jnp.floor(jax.random.uniform(key, counts.shape) * counts).astype(int)


def _background(key, split, size):
    """A square piece of a random background, at a random place."""
    room = split.backgrounds.shape[1] - size + 1
    which, *place = _below(key, jnp.array([len(split.backgrounds), room, room]))
    channels = split.backgrounds.shape[-1]
    start, shape = (which, *place, 0), (1, size, size, channels)
    return jax.lax.dynamic_slice(split.backgrounds, start, shape)[0]


def _embedded(place_key, image_key, family, split, label):
    """The tiles of an image at a random place and scale, of its square, and which it meets."""
    low, high = family.scales
    u, *place = jax.random.uniform(place_key, (3,))
    scale, size = low + (high - low) * u, family.grid * split.side
    corner = jnp.stack(place) * (size - scale * split.side)
    image = _choose(image_key, split, label)
    # Ones move along with the image and say where it is; comparing pixels would be slower by half.
    image = jnp.concatenate([image, jnp.ones_like(image)], axis=-1)
    placed = jax.image.scale_and_translate(
        image, (size, size, image.shape[-1]), (0, 1), jnp.full(2, scale), corner, "linear"
    )
    shown, cover = (_tiles(part, split.side) for part in jnp.split(placed, 2, axis=-1))
    return shown, cover, cover.any(axis=1)


def _tiles(picture, side):
    """Cut a square picture into flattened tiles, row by row."""
    grid, channels = picture.shape[0] // side, picture.shape[-1]
    tiles = picture.reshape(grid, side, grid, side, channels)
    return tiles.swapaxes(1, 2).reshape(grid**2, -1)


def _edges(split):
    """The mark: ones along the left and right edge of a tile, zeros elsewhere."""
    at = jnp.arange(split.side)  # a scatter here would halve the speed of all draws
    column = ((at == 0) | (at == split.side - 1)).astype(float)
    return jnp.broadcast_to(column[:, None], split.images.shape[1:]).reshape(-1)


def _check(name, value, low, high):
    if not isinstance(value, jax.core.Tracer) and not low <= value <= high:
        raise ValueError(f"{name} must lie in {low}..{high}, got {value}")
