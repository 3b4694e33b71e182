"""What a figure's table says is what was drawn."""

import csv
import io
from xml.etree import ElementTree

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from prompt_attention import plotting
from prompt_attention.plotting.numbers import as_csv


@pytest.fixture
def axes():
    """Two fresh panels without a window."""
    matplotlib.use("agg")
    figure, axes = plt.subplots(1, 2)
    yield axes
    plt.close(figure)


def table(figure):
    """The rows of a figure's table, numbers as numbers."""
    rows = list(csv.DictReader(io.StringIO(as_csv(figure))))
    words = ("panel", "series", "mark")
    return [{k: v if k in words else float(v) for k, v in row.items() if v != ""} for row in rows]


def test_lines_and_dots_have_their_points_panel_and_label(axes):
    axes[0].set_title("left, with a comma")
    axes[0].plot([1, 2], [3, 4], label="theory")
    axes[1].plot([5], [6], "o")
    assert table(axes[0].figure) == [
        {"panel": "left, with a comma", "series": "theory", "mark": "line", "x": 1, "y": 3},
        {"panel": "left, with a comma", "series": "theory", "mark": "line", "x": 2, "y": 4},
        {"panel": "panel 2", "series": "dots 1", "mark": "dot", "x": 5, "y": 6},
    ]


def test_simulation_has_the_ends_of_its_bars(axes):
    plotting.plot_simulation(
        axes[0], [1.0, 2.0], np.array([3.0, 4.0]), np.array([0.5, 0.25]), label="simulation"
    )
    axes[1].errorbar([1.0], [2.0], xerr=[0.5], yerr=[[1.0], [3.0]], capsize=2)
    one, two, both = table(axes[0].figure)
    assert one == {
        "panel": "panel 1", "series": "simulation", "mark": "dot",
        "x": 1, "y": 3, "y_low": 2, "y_high": 4,
    }  # fmt: skip
    assert (two["y_low"], two["y_high"]) == (3.5, 4.5)
    assert {k: both[k] for k in ("x_low", "x_high", "y_low", "y_high")} == {
        "x_low": 0.5, "x_high": 1.5, "y_low": 1.0, "y_high": 5.0,
    }  # fmt: skip


def test_lines_across_the_panel_have_their_one_coordinate(axes):
    axes[0].axvline(3.0)
    axes[0].axhline(4.0, label="a floor")
    vertical, horizontal = table(axes[0].figure)
    assert (vertical["series"], vertical["x"], "y" in vertical) == ("vertical line 1", 3, False)
    assert (horizontal["series"], horizontal["y"], "x" in horizontal) == ("a floor", 4, False)


def test_other_marks(axes):
    axes[0].imshow([[1.0, 2.0], [3.0, 4.0]])
    axes[0].bar([1, 2], [5.0, 6.0], label="weights")
    axes[1].scatter([1.0], [2.0], c=[7.0], label="cloud")
    axes[1].quiver([0.0], [1.0], [2.0], [3.0])
    axes[1].fill_between([0.0, 1.0], 0.0, 1.0)
    rows = table(axes[0].figure)
    bars, pixels = ([r for r in rows if r["mark"] == kind] for kind in ("bar", "pixel"))
    assert [(r["series"], r["x"], r["y"]) for r in bars] == [("weights", 1, 5), ("weights", 2, 6)]
    assert [(r["y"], r["x"], r["value"]) for r in pixels] == [
        (0, 0, 1), (0, 1, 2), (1, 0, 3), (1, 1, 4),
    ]  # fmt: skip
    (dot,) = (r for r in rows if r["mark"] == "dot")
    assert (dot["series"], dot["x"], dot["y"], dot["value"]) == ("cloud", 1, 2, 7)
    (arrow,) = (r for r in rows if r["mark"] == "arrow")
    assert [arrow[name] for name in "xyuv"] == [0, 1, 2, 3]
    corners = {(r["x"], r["y"]) for r in rows if r["mark"] == "area"}
    assert corners == {(0, 0), (1, 0), (1, 1), (0, 1)}


def test_what_is_not_a_number_and_what_is_in_colour_stay_in_the_table(axes):
    axes[0].errorbar([1.0, 2.0], [3.0, np.nan], yerr=[0.5, np.nan], fmt="o")
    axes[0].plot([], [])
    axes[1].imshow(np.array([[[0.0, 0.5, 1.0]]]))
    one, two, pixel = table(axes[0].figure)
    assert (one["y_low"], one["y_high"]) == (2.5, 3.5)
    assert np.isnan(two["y"])
    assert "y_low" not in two
    assert pixel["value"] == 0.5


def test_contours_have_their_levels(axes):
    x = np.linspace(0, 1, 5)
    axes[0].contourf(x, x, x[:, None] + 0 * x, levels=[0.0, 0.5, 1.0])
    rows = table(axes[0].figure)
    assert {r["value"] for r in rows if r["y"] < 0.49} == {0.0}
    assert {r["value"] for r in rows if r["y"] > 0.51} == {0.5}


def test_single_precision_comes_back(axes):
    values = np.random.default_rng(0).normal(size=50).astype(np.float32)
    axes[0].plot(values, values)
    read = np.array([row["y"] for row in table(axes[0].figure)], np.float32)
    np.testing.assert_array_equal(read, values)


def test_svg_files_carry_their_numbers_and_are_the_same_each_time():
    files = []
    with plt.rc_context():
        plotting.use_style()
        for _ in range(2):
            figure, ax = plt.subplots()
            ax.plot([1, 2], [3, 4], label="a < b")
            file = io.BytesIO()
            figure.savefig(file, format="svg")
            files.append(file.getvalue())
            numbers = as_csv(figure)
            plt.close(figure)
    assert files[0] == files[1]
    description = ElementTree.fromstring(files[0]).find(
        ".//{http://purl.org/dc/elements/1.1/}description"
    )
    assert description.text == numbers
    assert "a < b,line,2,4" in numbers
