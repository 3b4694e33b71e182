"""Tiles are what scikit-learn ships, and a canvas shows digits exactly where it says."""

import re

import jax
import numpy as np
import pytest
from sklearn import datasets

from prompt_attention.vision import tiles


@pytest.fixture(scope="module")
def shipped():
    return tiles.load_tiles()


def test_every_digit_is_there_under_its_class(shipped):
    scans = datasets.load_digits()
    for label, images in shipped.digits.items():
        np.testing.assert_allclose(images * 16, scans.images[scans.target == label])
    assert sum(map(len, shipped.digits.values())) == 1797


def test_photograph_tiles_are_cut_without_moving_a_pixel(shipped):
    photograph = datasets.load_sample_images().images[1].mean(axis=-1) / 255
    rows, columns = photograph.shape[0] // 8, photograph.shape[1] // 8
    assert len(shipped.photographs) == 2 * rows * columns
    tile = shipped.photographs[rows * columns + 3 * columns + 5]
    np.testing.assert_allclose(tile, photograph[24:32, 40:48], rtol=1e-6)


def test_canvas_has_digits_where_it_says_and_nowhere_else(shipped):
    threes, photographs = shipped.digits[3], shipped.photographs
    canvas = tiles.partial_canvas(
        jax.random.key(0), threes, photographs, num_tokens=36, num_relevant=9
    )
    assert canvas.relevant.sum() == 9
    is_three = {image.tobytes() for image in threes}
    is_photograph = {image.tobytes() for image in photographs}
    for token, relevant in zip(np.asarray(canvas.tokens), canvas.relevant, strict=True):
        assert token.tobytes() in (is_three if relevant else is_photograph)


def test_places_differ_between_keys(shipped):
    draws = [
        tiles.partial_canvas(
            key, shipped.digits[3], shipped.photographs, num_tokens=36, num_relevant=9
        ).relevant
        for key in jax.random.split(jax.random.key(1), 2)
    ]
    assert (draws[0] != draws[1]).any()


@pytest.mark.parametrize("num_relevant", [0, 36])
def test_a_canvas_needs_both_kinds_of_tile(shipped, num_relevant):
    message = f"num_relevant must lie in 1..35 for 36 tokens, got {num_relevant}"
    with pytest.raises(ValueError, match=re.escape(message)):
        tiles.partial_canvas(
            jax.random.key(0),
            shipped.digits[3],
            shipped.photographs,
            num_tokens=36,
            num_relevant=num_relevant,
        )
