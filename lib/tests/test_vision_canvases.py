"""Class pixels are in the relevant patches and nowhere else, in every family."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prompt_attention.vision import canvases, images

GRID, N = 4, 40
LAWS = {
    "full": {},
    "partial": {"num_relevant": 3},
    "embedded": {"scales": (1.2, 3.0)},
    "marked": {"num_relevant": 3, "mark": 0.7},
}


@pytest.fixture(scope="module")
def split():
    return images.load("train")


@pytest.fixture(scope="module")
def drawn(split):
    """Canvases of every family without noise, and the same with invisible images and no mark."""

    def draw(name, **changes):
        law = canvases.Family(name=name, grid=GRID, **(LAWS[name] | changes))
        return law.sample(jax.random.key(0), split, N)

    return {name: (draw(name), draw(name, strength=0.0, mark=0.0)) for name in LAWS}


@pytest.mark.parametrize("name", ["full", "partial", "embedded"])
def test_pixels_of_the_class_are_in_relevant_patches_and_nowhere_else(drawn, name):
    canvas, behind = drawn[name]
    changed = (canvas.tokens != behind.tokens).any(axis=-1)
    np.testing.assert_array_equal(changed & ~canvas.relevant, False)
    # a patch that an image touches by less than half a pixel may stay as it was
    missed = (canvas.relevant & ~changed).sum() / canvas.relevant.sum()
    assert missed < (0.02 if name == "embedded" else 0.001)


@pytest.mark.parametrize("name", ["full", "partial", "marked"])
def test_relevant_tiles_are_digits_of_the_class(drawn, split, name):
    canvas, _ = drawn[name]
    mark = np.zeros((8, 8), np.float32)
    mark[:, [0, 7]] = 0.7 if name == "marked" else 0.0
    digits = np.asarray(split.images).reshape(-1, 64)
    for tokens, label, relevant in zip(*map(np.asarray, canvas), strict=True):
        shown = tokens[relevant] - mark.ravel()
        distance = abs(shown[:, None] - digits).max(axis=-1)
        assert (distance.min(axis=1) < 1e-5).all()
        assert (np.asarray(split.labels)[distance.argmin(axis=1)] == label).all()


def test_unmarked_tiles_are_digits_of_every_other_class(drawn, split):
    canvas, _ = drawn["marked"]
    digits = np.asarray(split.images).reshape(-1, 64)
    seen = set()
    for tokens, label, relevant in zip(*map(np.asarray, canvas), strict=True):
        distance = abs(tokens[~relevant][:, None] - digits).max(axis=-1)
        assert (distance.min(axis=1) < 1e-5).all()
        classes = np.asarray(split.labels)[distance.argmin(axis=1)]
        assert label not in classes
        seen |= {(int(label), int(c)) for c in classes}
    assert len(seen) == 90


def test_an_embedded_image_is_the_digit_at_its_scale(split):
    """At scale 2 every second pixel's neighbourhood mean is a pixel of the digit."""
    law = canvases.Family(name="embedded", grid=2, scales=(2.0, 2.0))
    canvas = law.sample(jax.random.key(1), split, 10)
    assert canvas.relevant.all()
    shown = canvases.pictures(canvas.tokens, 8)[..., 0]
    small = np.asarray(shown).reshape(10, 8, 2, 8, 2).mean(axis=(2, 4))
    for picture, label in zip(small, canvas.labels, strict=True):
        first, end = split.offsets[label], split.offsets[label + 1]
        likeness = [np.corrcoef(picture.ravel(), d.ravel())[0, 1] for d in split.images]
        assert first <= np.argmax(likeness) < end
        assert max(likeness) > 0.9


def test_an_embedded_image_lies_on_the_square_that_it_covers(split):
    """White images on black: a white square of the size of its scale, on the relevant tiles."""
    white = split._replace(
        images=jnp.ones_like(split.images), backgrounds=jnp.zeros_like(split.backgrounds)
    )
    law = canvases.Family(name="embedded", grid=GRID, **LAWS["embedded"])
    canvas = law.sample(jax.random.key(2), white, N)
    shown = np.asarray(canvases.pictures(canvas.tokens, 8))[..., 0]
    np.testing.assert_allclose(shown, shown.round(), atol=1e-5)
    np.testing.assert_array_equal(canvas.tokens.any(axis=-1), canvas.relevant)
    rows, columns = (shown.round().any(axis=axis).sum(axis=1) for axis in (2, 1))
    np.testing.assert_array_equal(shown.round().sum(axis=(1, 2)), rows * columns)
    assert (abs(rows - columns) <= 1).all()
    assert 9 <= rows.min() <= 10
    assert 23 <= rows.max() <= 24


@pytest.mark.parametrize("name", LAWS)
def test_sizes_labels_and_counts(drawn, name):
    canvas, _ = drawn[name]
    assert canvas.tokens.shape == (N, GRID**2, 64)
    assert canvas.labels.tolist() == [k % 10 for k in range(N)]
    counts = set(np.asarray(canvas.relevant.sum(axis=1)).tolist())
    if name == "embedded":
        assert min(counts) >= 4
        assert 9 < max(counts) <= 16
    else:
        assert counts == {16 if name == "full" else 3}


@pytest.mark.parametrize("name", LAWS)
def test_the_key_decides_and_noise_has_its_size(drawn, split, name):
    law = canvases.Family(name=name, grid=GRID, **LAWS[name])
    again, other = (law.sample(jax.random.key(k), split, N) for k in (0, 1))
    jax.tree.map(np.testing.assert_array_equal, again, drawn[name][0])
    assert (other.tokens != again.tokens).any()
    noisy = dataclasses.replace(law, noise_std=0.3).sample(jax.random.key(0), split, N)
    noise = np.asarray(noisy.tokens - again.tokens)
    assert abs(noise.std() - 0.3) < 4 * 0.3 / np.sqrt(2 * noise.size)


def test_backgrounds_are_contiguous_pieces_of_their_split(split, drawn):
    """Of different photographs, at different places."""
    _, behind = drawn["partial"]
    blocks = np.asarray(split.backgrounds)[..., 0]
    windows = np.lib.stride_tricks.sliding_window_view(blocks, (32, 32), axis=(1, 2))
    found = []
    for picture in np.asarray(canvases.pictures(behind.tokens, 8))[:4, ..., 0]:
        corners = abs(windows[..., 0, 0] - picture[0, 0]) < 1e-6
        places = [p for p in np.argwhere(corners) if np.allclose(windows[tuple(p)], picture)]
        assert places
        found.append(places[0])
    assert (np.ptp(found, axis=0) > 0).all()


def test_images_are_drawn_from_the_whole_class(split, drawn):
    canvas, _ = drawn["full"]
    shown = np.unique(np.asarray(canvas.tokens).reshape(-1, 64), axis=0)
    assert len(shown) > 0.6 * len(split.images)  # 640 draws miss a share of exp(-640 / 448)


def test_labels_may_come_from_some_classes(split):
    law = canvases.Family(name="partial", grid=2)
    assert law.sample(jax.random.key(0), split, 5, classes=(3, 8)).labels.tolist() == [
        3,
        8,
        3,
        8,
        3,
    ]


def test_a_background_is_cut_at_every_place(split):
    """Pixels that say where they are; 64 of them along an edge leave 9 places for 56."""
    where = jnp.arange(64.0**2).reshape(1, 64, 64, 1)
    law = canvases.Family(name="partial", grid=7, strength=0.0)
    drawn = law.sample(jax.random.key(3), split._replace(backgrounds=where), 200)
    corners = np.asarray(canvases.pictures(drawn.tokens, 8))[:, 0, 0, 0]
    for places in np.divmod(corners, 64):
        assert set(places) == set(range(9))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "tiled"}, "name must be one of full, partial, embedded, marked, got 'tiled'"),
        ({"grid": 0}, "grid must be a whole number >= 1, got 0"),
        ({"num_relevant": 17}, "num_relevant must lie in 1..16, got 17"),
        ({"strength": 1.5}, "strength must lie in 0..1, got 1.5"),
        ({"noise_std": -1}, "noise_std must lie in 0..inf, got -1"),
        ({"scales": (2.0, 1.0)}, "scales must rise within (0, 4], got (2.0, 1.0)"),
    ],
)
def test_bad_laws_are_refused(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        canvases.Family(**({"name": "partial"} | changes))


def test_jax_may_put_placeholders_into_a_law():
    leaves, structure = jax.tree.flatten(canvases.Family(name="marked"))
    placeholders = [object() for _ in leaves]
    assert jax.tree.leaves(jax.tree.unflatten(structure, placeholders)) == placeholders


def test_a_canvas_must_fit_its_background(split):
    with pytest.raises(ValueError, match="a canvas of 9 tiles of 8 pixels is larger"):
        canvases.Family(name="full", grid=9).sample(jax.random.key(0), split, 1)
