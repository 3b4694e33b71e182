"""The weights are those of the seed, and damaged files are met with clear words."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file

from prompt_attention.vision import adaptation, images, pretraining
from prompt_attention.vision.transformer import Shape, VisionTransformer

pytestmark = pytest.mark.usefixtures("float32")

SMALL = Shape(num_tokens=16, patch_dim=64, num_classes=10, width=4, layers=1, heads=1, hidden=4)


@pytest.fixture(scope="module")
def split():
    return images.load("pretrain")


@pytest.fixture(scope="module")
def pretrained():
    return pretraining.load_weights()


def test_the_first_steps_are_those_of_the_weights(split, pretrained):
    """From the seed in the provenance, on the data with its hash."""
    model, provenance = pretrained
    assert provenance["data"] == pretraining.fingerprint(split)
    train_key, _ = jax.random.split(jax.random.key(provenance["seed"]))
    run = pretraining.pretrain(train_key, model.shape, split, stop=5)
    np.testing.assert_allclose(run.losses, provenance["first losses"], rtol=1e-4)
    assert provenance["steps"] == pretraining.NUM_STEPS


def test_each_step_has_canvases_of_its_own(split):
    """The rate is so low in the first steps that their losses hardly tell."""
    stream = pretraining.Stream(jax.random.key(0), pretraining.FAMILY, split, 4)
    first, second, again = (stream(jnp.array(step)).tokens for step in (0, 1, 0))
    np.testing.assert_array_equal(first, again)
    assert abs(first - second).mean() > 0.01


def test_the_rate_has_fallen_to_nothing_at_the_last_step(split):
    """Adam moves a number by about the rate, which is 3e-3 at its highest."""
    run = {"num_steps": 100, "batch_size": 4}
    before, end = (
        pretraining.pretrain(jax.random.key(0), SMALL, split, stop=stop, **run).model
        for stop in (99, 100)
    )
    moved = jax.tree.leaves(jax.tree.map(lambda a, b: float(abs(a - b).max()), before, end))
    assert 0 < max(moved) < 3e-5


def test_the_accuracy_is_the_one_that_is_stated(pretrained):
    model, provenance = pretrained
    law = pretraining.FAMILY
    held_out = law.sample(jax.random.key(77), images.load("test"), 2000)
    stated = provenance["accuracy"]
    bound = 4 * np.sqrt(max(stated * (1 - stated), 1e-3) / 2000)
    assert abs(float(adaptation.accuracy(model, held_out)) - stated) < bound


def test_an_interrupted_run_ends_in_the_same_weights(split, tmp_path):
    key, run = jax.random.key(0), {"num_steps": 200, "batch_size": 4}
    whole = pretraining.pretrain(key, SMALL, split, **run)
    pretraining.pretrain(key, SMALL, split, stop=100, checkpoint=tmp_path, **run)
    resumed = pretraining.pretrain(key, SMALL, split, checkpoint=tmp_path, **run)
    jax.tree.map(np.testing.assert_array_equal, resumed.model, whole.model)
    np.testing.assert_array_equal(resumed.losses, whole.losses)


def test_weights_come_back_as_they_were(tmp_path):
    model = VisionTransformer(SMALL, rngs=nnx.Rngs(1))
    pretraining.save_weights(tmp_path / "w", model, {"seed": 1})
    again, provenance = pretraining.load_weights(tmp_path / "w")
    assert provenance == {"seed": 1}
    assert again.shape == SMALL
    jax.tree.map(np.testing.assert_array_equal, again, model)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "w.safetensors"
    pretraining.save_weights(path, VisionTransformer(SMALL, rngs=nnx.Rngs(1)), {})
    return path


def test_missing_or_damaged_weights(saved):
    whole = saved.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:4], b"", b"{}" + whole[2:]):
        saved.write_bytes(content)
        with pytest.raises(ValueError, match=r"holds no weights that can be read.*make pretrain"):
            pretraining.load_weights(saved)
    saved.unlink()
    with pytest.raises(ValueError, match=r"holds no weights that can be read.*make pretrain"):
        pretraining.load_weights(saved)


def test_weights_of_other_sizes(saved):
    arrays = load_file(saved)
    about = {"shape": json.dumps(vars(SMALL) | {"width": 8}), "provenance": "{}"}
    save_file(arrays, saved, about)
    with pytest.raises(ValueError, match="wrong weights for its sizes in attention_scale, class"):
        pretraining.load_weights(saved)
    save_file(arrays, saved)
    with pytest.raises(ValueError, match="does not say its provenance, shape"):
        pretraining.load_weights(saved)


def test_the_library_s_weights_are_small(tmp_path):
    path = tmp_path / "copy"
    shutil.copy(pretraining.WEIGHTS, path)
    assert path.stat().st_size < 2_000_000
