"""Records are what a re-run of a cell gives, damaged ones are met with clear words, claims hold."""

import json

import jax
import numpy as np
import pytest

from prompt_attention import sweeps
from prompt_attention.vision import experiments


@pytest.mark.parametrize("method", ["untouched", "one layer"])
def test_records_are_what_a_rerun_of_a_cell_gives(method, tmp_path):
    """One run of one cell, whose key does not depend on the rest of the grid."""
    columns, about = experiments.read_records("relevant")
    cell = {"family": "partial", "method": method, "num_relevant": 4}
    again = sweeps.run(
        experiments.adapt,
        {name: [value] for name, value in cell.items()},
        1,
        jax.random.key(about["seed"]),
        directory=tmp_path,
        traced=["num_relevant"],
    )
    assert not again.failures
    chosen = columns["seed"] == 0
    for name, value in cell.items():
        chosen &= columns[name] == value
    assert chosen.sum() == 1
    for name in ("accuracy", "training accuracy", "mass"):  # trained numbers drift by last bits
        np.testing.assert_allclose(again.records[name][0], columns[name][chosen][0], atol=0.012)


def test_every_cell_has_its_runs():
    for name in experiments.RECORDS:
        columns, about = experiments.read_records(name)
        sizes = [len(values) for values in about["grid"].values()]
        assert about["seeds"] >= 5
        assert {len(column) for column in columns.values()} == {np.prod(sizes) * about["seeds"]}
        assert np.isfinite(columns["accuracy"]).all()


def compared(method, **where):
    """Mean and standard error of accuracy, and mean mass in the first layer, of marked canvases."""
    columns, _ = experiments.read_records("labels")
    where = {"family": "marked", "method": method, "per_class": experiments.ALL} | where
    (_, mean, error) = experiments.summary(columns, "accuracy", "family", **where)
    (_, mass, _) = experiments.summary(columns, "mass", "family", **where)
    return mean[0], error[0], mass[0, 0]


def test_a_prompt_that_is_read_does_the_work_of_fine_tuning():
    """On marked canvases: as accurate within two points, with most of its attention on the mark."""
    one, error, mass = compared("one layer")
    everything, other, _ = compared("everything")
    assert one > everything - 0.02 - 2 * np.hypot(error, other)
    assert mass > 0.8


def test_prompts_beside_the_picture_hardly_move_attention():
    head, error, uniform = compared("head")
    prompts, other, mass = compared("prompts")
    everything, _, _ = compared("everything")
    assert abs(mass - uniform) < 0.05
    assert prompts < everything - 0.2
    assert prompts > head - 4 * np.hypot(error, other)


def test_methods_differ_and_the_best_is_not_perfect():
    best = max(compared(name)[0] for name in ("everything", "low rank", "one layer"))
    assert compared("untouched")[0] + 0.1 < compared("head")[0] < best - 0.1
    assert best < 0.97


@pytest.fixture
def written(tmp_path):
    experiments.write_records(
        tmp_path / "relevant.json",
        {"seed": np.arange(2), "accuracy": np.array([0.5, 0.7])},
        {"a": 1},
    )
    return tmp_path / "relevant.json"


def test_records_come_back(written):
    columns, about = experiments.read_records("relevant", written.parent)
    assert about == {"a": 1}
    assert columns["accuracy"].tolist() == [0.5, 0.7]
    columns["kind"] = np.array(["a", "a"])
    points, means, errors = experiments.summary(columns, "accuracy", "kind")
    assert points.tolist() == ["a"]
    np.testing.assert_allclose([*means, *errors], [0.6, 0.1])


def test_missing_cut_or_uneven_records(written):
    whole = written.read_text()
    for content in (whole[:-30], "", "[]", json.dumps({"columns": {}})):
        written.write_text(content)
        with pytest.raises(ValueError, match=r"holds no records that can be read.*experiments"):
            experiments.read_records("relevant", written.parent)
    written.write_text(whole.replace("[0,1]", "[0]"))
    with pytest.raises(ValueError, match="columns of unequal length"):
        experiments.read_records("relevant", written.parent)
    written.unlink()
    with pytest.raises(ValueError, match="holds no records that can be read"):
        experiments.read_records("relevant", written.parent)


def test_summary_needs_rows(written):
    columns, _ = experiments.read_records("relevant", written.parent)
    with pytest.raises(ValueError, match="no records with {'seed': 7}"):
        experiments.summary(columns, "accuracy", "seed", seed=7)
