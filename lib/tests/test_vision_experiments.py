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


def test_choice_is_the_best_on_average():
    """Method a is best at 2 on average, though not in each row; b has one candidate."""
    columns = {
        "method": np.array(["a", "a", "a", "a", "b"]),
        "rate": np.array([1.0, 2.0, 1.0, 2.0, 1.0]),
        "accuracy": np.array([0.5, 0.9, 0.6, 0.55, 0.1]),
    }
    assert experiments.choice(columns, "rate") == {"a": (2.0,), "b": (1.0,)}
    assert experiments.choice(columns, "rate", "method") == {"a": (2.0, "a"), "b": (1.0, "b")}


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
