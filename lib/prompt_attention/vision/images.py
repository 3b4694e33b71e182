"""Real images in three splits that share nothing: no image, no piece of a photograph.

The default source is offline: scikit-learn's handwritten digits, and as backgrounds the photographs
that scikit-learn and scikit-image ship.
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from prompt_attention.vision import cifar10

SPLITS = ("pretrain", "train", "test")
"""For pretraining, for adaptation, and for tests of both."""

SOURCES = ("digits", "cifar10")

BLOCK = 8
"""Tiles along the edge of a block, the square piece that photographs are cut into."""


class Split(NamedTuple):
    """Images of one split, sorted by class, and its backgrounds, with values in [0, 1]."""

    images: Float[Array, "k side side channels"]
    offsets: Int[Array, " classes+1"]  # images of class c are offsets[c] to offsets[c + 1] - 1
    backgrounds: Float[Array, "b block block channels"]  # disjoint pieces of photographs

    @property
    def side(self) -> int:
        """Pixels along an image, and along a tile."""
        return self.images.shape[1]

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.offsets) - 1

    @property
    def tiles(self) -> Float[Array, "_ p"]:
        """All tiles of the backgrounds, flattened."""
        b, block, _, channels = self.backgrounds.shape
        count = block // self.side
        cut = self.backgrounds.reshape(b, count, self.side, count, self.side, channels)
        return cut.swapaxes(2, 3).reshape(b * count**2, -1)

    def of_class(self, label: int) -> Float[Array, "_ p"]:
        """The images of a class, flattened.

        Raises:
            ValueError: there is no such class.
        """
        if not 0 <= label < self.num_classes:
            raise ValueError(f"label must lie in 0..{self.num_classes - 1}, got {label}")
        images = self.images[self.offsets[label] : self.offsets[label + 1]]
        return images.reshape(len(images), -1)

    @property
    def labels(self) -> Int[Array, " k"]:
        """The class of each image."""
        return jnp.searchsorted(self.offsets[1:], jnp.arange(len(self.images)), side="right")


def load(split: str, source: str = "digits") -> Split:
    """The images and backgrounds of a split.

    Half of the digits of each class are for pretraining and a quarter each for the other two, in
    the order of the file, which keeps most writers in one split. Every photograph is cut into
    columns of square blocks, and the columns are dealt to the splits from left to right.

    Args:
        split: one of `SPLITS`.
        source: "digits", of 8 x 8 grey pixels, or "cifar10", of 32 x 32 colour pixels, which is
            fetched from the Hugging Face hub.

    Raises:
        ValueError: an unknown split or source.
        cifar10.UnavailableError: CIFAR-10 is not there and cannot be fetched.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if source == "digits":
        images, labels = _digits(split)
        backgrounds = _blocks(split, block=8 * BLOCK, shrink=2).mean(axis=-1, keepdims=True)
    elif source == "cifar10":
        images, labels = cifar10.load(split)
        backgrounds = _blocks(split, block=4 * 32, shrink=1)
    else:
        raise ValueError(f"source must be one of {', '.join(SOURCES)}, got {source!r}")
    order = np.argsort(labels, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=10))])
    return Split(*map(jnp.asarray, (images[order], offsets, backgrounds)))


def halves(split: Split) -> tuple[Split, Split]:
    """The two halves of a split, which share no image and no background.

    What has to be chosen is fitted on the first half and judged on the second, so that the choice
    sees nothing of the tests; each class of images is cut in the middle, and backgrounds take
    turns.
    """
    offsets = np.asarray(split.offsets)
    first, end = offsets[:-1], offsets[1:]
    middle = (first + end) // 2
    parts = []
    for half, (low, high) in enumerate(((first, middle), (middle, end))):
        members = np.concatenate([np.arange(a, b) for a, b in zip(low, high, strict=True)])
        counts = np.concatenate([[0], np.cumsum(high - low)])
        images, backgrounds = split.images[members], split.backgrounds[half::2]
        parts.append(Split(images, jnp.asarray(counts), backgrounds))
    return tuple(parts)


@functools.cache
def photographs() -> tuple[Float[np.ndarray, "_ _ 3"], ...]:
    """The seven photographs, in colour, with values in [0, 1]."""
    from skimage import data  # both take a second to import
    from sklearn import datasets

    shipped = [*datasets.load_sample_images().images, data.astronaut(), data.camera()]
    shipped += [data.chelsea(), data.coffee(), data.rocket()]
    colour = [np.dstack([photo] * 3) if photo.ndim == 2 else photo for photo in shipped]
    return tuple(photo.astype(np.float32) / 255 for photo in colour)


def _digits(split):
    from sklearn import datasets

    scans = datasets.load_digits()
    chosen = []
    for label in range(10):
        members = np.flatnonzero(scans.target == label)
        half, rest = len(members) // 2, 3 * len(members) // 4
        chosen.append(np.split(members, [half, rest])[SPLITS.index(split)])
    chosen = np.concatenate(chosen)
    return scans.images[chosen, :, :, None].astype(np.float32) / 16, scans.target[chosen]


def _blocks(split, block, shrink):
    """The blocks of a split, of shape [b block block 3]; photographs are averaged down first."""
    return np.concatenate([_cut(photo, split, block, shrink) for photo in photographs()])


def _cut(photo, split, block, shrink):
    edge = block * shrink
    rows, columns = photo.shape[0] // edge, photo.shape[1] // edge
    whole = photo[: rows * edge, : columns * edge]
    small = whole.reshape(rows * block, shrink, columns * block, shrink, 3).mean(axis=(1, 3))
    squares = small.reshape(rows, block, columns, block, 3).swapaxes(1, 2)
    mine = np.array_split(np.arange(columns), len(SPLITS))[SPLITS.index(split)]
    return squares[:, mine].reshape(-1, block, block, 3)
