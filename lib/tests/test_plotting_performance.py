"""Figures of the chapter on exact performance show the numbers they are given."""

import numpy as np
from matplotlib.patches import Circle

from prompt_attention import plotting
from prompt_attention.plotting import performance


def test_pooled_features_stand_by_class_with_their_circles(ax):
    points, labels = np.array([[1.0, 2.0], [-3.0, 4.0], [5.0, 6.0]]), np.array([1, -1, 1])
    performance.plot_pooled(ax, points, labels, centre=1.5, deviation=0.25)
    drawn = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert drawn["y = +1"] == [[1, 2], [5, 6]]
    assert drawn["y = -1"] == [[-3, 4]]
    circles = {(patch.center, patch.radius) for patch in ax.patches if isinstance(patch, Circle)}
    assert circles == {((1.5, 0), 0.25), ((-1.5, 0), 0.25)}


def test_freezing_map_has_its_line_and_its_levels(ax):
    scales, tokens = np.array([0.5, 1.0, 2.0]), np.array([10, 100])
    gap = np.array([[0.05, 0.45, 0.95], [0.05, 0.05, 0.75]])
    performance.plot_freezing_map(ax, scales, tokens, gap, np.array([1.1, 1.5]))
    np.testing.assert_array_equal(ax.lines[-1].get_xydata(), [[1.1, 10], [1.5, 100]])
    levels = ax.collections[0]
    np.testing.assert_allclose(levels.get_array(), np.arange(0.05, 1, 0.1))
    assert ax.get_yscale() == "log"


def test_laws_are_dots_with_bars_of_two_standard_errors(ax):
    performance.plot_laws(ax, ["a", "b"], [0.1, 0.4], [0.01, 0.02], 0.3)
    line, dots = ax.lines[:2]
    assert list(line.get_xdata()) == [0.3, 0.3]
    np.testing.assert_allclose(dots.get_xydata(), [[0.1, 1], [0.4, 0]])
    bars = np.array(ax.collections[0].get_segments())[:, :, 0]
    np.testing.assert_allclose(bars, [[0.08, 0.12], [0.36, 0.44]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def test_methods_have_the_colours_of_the_book():
    assert set(performance.METHOD_COLORS.values()) <= set(plotting.COLORS.values())
