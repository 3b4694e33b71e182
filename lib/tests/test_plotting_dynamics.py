"""The figures of the chapter on dynamics show the numbers they are given."""

import numpy as np
from matplotlib.colors import to_hex

from prompt_attention.plotting import COLORS, dynamics


def test_attended_tokens_grow_with_their_weight(ax):
    points = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    relevant, weights = np.array([False, True, False]), np.array([0.1, 0.7, 0.2])
    dynamics.plot_attended(ax, points, relevant, weights, [0.5, -1.0], title="one")
    others, chosen = ax.collections
    np.testing.assert_array_equal(others.get_offsets(), points[[0, 2]])
    np.testing.assert_array_equal(chosen.get_offsets(), points[[1]])
    assert others.get_sizes()[0] < others.get_sizes()[1] < chosen.get_sizes()[0]
    assert to_hex(chosen.get_facecolor()[0]).upper() == COLORS["relevant"]
    assert to_hex(others.get_facecolor()[0]).upper() == COLORS["irrelevant"]
    assert ax.texts[0].xy == (0.5, -1.0)
    assert ax.get_title() == "one"


def test_intervals_stand_beside_theory(ax):
    dynamics.plot_intervals(ax, ["a", "b"], [1.0, -2.0], [0.1, 0.2], [1.05, np.nan])
    names = [label.get_text() for label in ax.get_yticklabels()]
    places = dict(zip(names, ax.get_yticks(), strict=True))
    assert places["a"] > places["b"]
    theory = ax.lines[0].get_xydata()
    assert theory[0].tolist() == [1.05, places["a"]]
    measured = ax.containers[0]
    np.testing.assert_array_equal(
        measured[0].get_xydata(), [[1.0, places["a"]], [-2.0, places["b"]]]
    )
    (bars,) = measured[2]
    np.testing.assert_allclose(bars.get_segments()[1][:, 0], [-2.2, -1.8])
    assert {text for _, text in zip(*ax.get_legend_handles_labels(), strict=True)} == {
        "theory",
        "measured",
    }


def test_portrait_has_arrows_ends_and_the_parting_line(ax):
    x, y = np.array([0.0, 1.0, 2.0]), np.array([5.0, 6.0])
    velocity = np.zeros((2, 2, 3))
    velocity[0, 1], velocity[1, 0, 0] = 3.0, -0.1
    curve = np.array([[0.0, 1.0], [2.0, 3.0]])
    dynamics.plot_portrait(
        ax, x, y, velocity, ends=[curve, curve + 1], parting=curve - 1, saddle=[0.5, 0.25]
    )
    (arrows,) = ax.collections
    np.testing.assert_allclose(arrows.U.reshape(2, 3)[1], 1.0)
    np.testing.assert_allclose(arrows.V.reshape(2, 3)[0], [-1.0, 0.0, 0.0])
    np.testing.assert_array_equal(arrows.XY, [(a, b) for b in y for a in x])
    first, second, parting, saddle = ax.lines
    np.testing.assert_array_equal(first.get_xydata(), curve)
    np.testing.assert_array_equal(second.get_xydata(), curve + 1)
    np.testing.assert_array_equal(parting.get_xydata(), curve - 1)
    np.testing.assert_array_equal(saddle.get_xydata(), [[0.5, 0.25]])
    assert [line.get_label() for line in (first, parting, saddle)] == [
        "zero loss",
        "parting line",
        "saddle",
    ]
    assert to_hex(parting.get_color()).upper() == COLORS["self"]
