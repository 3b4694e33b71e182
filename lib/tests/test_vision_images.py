"""Splits share no image and no piece of a photograph; CIFAR-10 is read, or asked for in words."""

import io
import re
import types

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet
from sklearn import datasets

from prompt_attention.vision import cifar10, images


@pytest.fixture(scope="module")
def splits():
    return {name: images.load(name) for name in images.SPLITS}


def test_every_digit_is_in_one_split_under_its_class(splits):
    scans = datasets.load_digits()
    found = np.concatenate([split.images[..., 0] for split in splits.values()]) * 16
    labels = np.concatenate([split.labels for split in splits.values()])
    pairs = {(image.tobytes(), label) for image, label in zip(found, labels, strict=True)}
    whole = zip(scans.images.astype(np.float32), scans.target, strict=True)
    assert len(found) == 1797
    assert pairs == {(image.tobytes(), label) for image, label in whole}


def test_splits_share_no_background(splits):
    """No 4 x 4 piece of a block, at any place, is found in the blocks of another split."""
    pieces = {}
    for name, split in splits.items():
        windows = np.lib.stride_tricks.sliding_window_view(
            np.asarray(split.backgrounds[..., 0]), (4, 4), axis=(1, 2)
        ).reshape(-1, 16)
        textured = windows[windows.std(axis=1) > 0.02]  # flat sky is the same everywhere
        pieces[name] = {piece.tobytes() for piece in textured[::7]}
        assert len(pieces[name]) > 1000
    for one, other in (("pretrain", "train"), ("train", "test"), ("pretrain", "test")):
        assert not pieces[one] & pieces[other]


def test_halves_are_a_split_cut_in_two(splits):
    """Every image once, under its class, in two parts of nearly equal size; backgrounds too."""
    whole = splits["train"]
    halves = images.halves(whole)
    pairs = [
        {
            (image.tobytes(), int(label))
            for image, label in zip(part.images, part.labels, strict=True)
        }
        for part in map(_plain, (whole, *halves))
    ]
    assert pairs[0] == pairs[1] | pairs[2]
    assert not pairs[1] & pairs[2]
    for part in halves:
        assert set(np.bincount(part.labels) - np.bincount(whole.labels) // 2) <= {0, 1}
    blocks = [{b.tobytes() for b in np.asarray(part.backgrounds)} for part in (whole, *halves)]
    assert blocks[0] == blocks[1] | blocks[2]
    assert not blocks[1] & blocks[2]


def _plain(split):
    """Images and labels without jax, whose rows are slow to walk through."""
    return types.SimpleNamespace(images=np.asarray(split.images), labels=np.asarray(split.labels))


def test_blocks_are_averages_of_the_photograph(splits):
    """The first block of the first photograph, by hand; and the last goes to the tests."""
    photo = images.photographs()[0].mean(axis=-1)
    expected = photo[:128, :128].reshape(64, 2, 64, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(splits["pretrain"].backgrounds[0, ..., 0], expected, atol=1e-6)
    corner = photo[128:256, 512:640].reshape(64, 2, 64, 2).mean(axis=(1, 3))
    distances = abs(splits["test"].backgrounds[..., 0] - corner).max(axis=(1, 2))
    assert distances.min() < 1e-6


def test_tiles_are_all_of_the_backgrounds_without_moving_a_pixel(splits):
    split = splits["train"]
    found, blocks = np.asarray(split.tiles), np.asarray(split.backgrounds)
    assert found.shape == (64 * len(blocks), 64)
    np.testing.assert_array_equal(found[64 * 2 + 8 * 3 + 5], blocks[2, 24:32, 40:48].ravel())


def test_images_of_a_class(splits):
    split = splits["train"]
    found = [np.asarray(split.of_class(label)) for label in range(10)]
    np.testing.assert_array_equal(np.concatenate(found), split.images.reshape(-1, 64))
    assert [len(part) for part in found] == np.bincount(split.labels).tolist()
    with pytest.raises(ValueError, match=re.escape("label must lie in 0..9, got 10")):
        split.of_class(10)


@pytest.fixture
def parquet_file(tmp_path):
    """Pictures in the columns of the data set, with different names and sizes on demand."""

    def write(pixels, labels, label_name="label"):
        rows = []
        for picture in pixels:
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, "PNG")
            rows.append({"bytes": buffer.getvalue(), "path": None})
        path = tmp_path / "some.parquet"
        parquet.write_table(pyarrow.table({"img": rows, label_name: labels}), path)
        return path

    return write


def test_cifar10_is_read_pixel_by_pixel(parquet_file):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    found, labels = cifar10.read(parquet_file(pixels, [7, 0, 3]))
    np.testing.assert_allclose(found * 255, pixels, rtol=1e-6)
    assert labels.tolist() == [7, 0, 3]


def test_cifar10_has_the_interface_of_the_digits(parquet_file, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    path = parquet_file(pixels, [9 - k // 2 for k in range(20)])
    monkeypatch.setattr(cifar10, "fetch", lambda name: path)
    split = images.load("test", source="cifar10")
    assert (split.side, split.num_classes) == (32, 10)
    assert split.labels.tolist() == [k // 2 for k in range(20)]
    np.testing.assert_allclose(split.images[0] * 255, pixels[18], rtol=1e-5)
    assert split.backgrounds.shape[1:] == (128, 128, 3)


def test_cifar10_has_three_parts_that_share_nothing(parquet_file, monkeypatch):
    pixels = np.zeros((5, 32, 32, 3), np.uint8)
    monkeypatch.setattr(cifar10, "PRETRAIN", 3)
    paths = {"train": [0, 1, 2, 3, 4], "test": [5, 6, 7, 8, 9]}
    monkeypatch.setattr(cifar10, "fetch", lambda name: parquet_file(pixels, paths[name]))
    found = {name: cifar10.load(name)[1].tolist() for name in images.SPLITS}
    assert found == {"pretrain": [0, 1, 2], "train": [3, 4], "test": [5, 6, 7, 8, 9]}


def test_files_that_are_not_cifar10(parquet_file, tmp_path):
    square = np.zeros((1, 16, 16, 3), np.uint8)
    with pytest.raises(ValueError, match=re.escape("picture 0 has (16, 16) pixels")):
        cifar10.read(parquet_file(square, [0]))
    with pytest.raises(ValueError, match="is no parquet file of CIFAR-10"):
        cifar10.read(parquet_file(square, [0], label_name="class"))
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match="is no parquet file of CIFAR-10"):
        cifar10.read(broken)


def test_without_a_network_cifar10_says_what_to_do(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(cifar10.UnavailableError, match="use source='digits'"):
        images.load("train", source="cifar10")


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="split must be one of pretrain, train, test, got 'dev'"):
        images.load("dev")
    with pytest.raises(ValueError, match="source must be one of digits, cifar10, got 'mnist'"):
        images.load("train", source="mnist")
