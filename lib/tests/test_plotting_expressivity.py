"""The figures of the chapter on expressivity show the numbers they are given."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from prompt_attention.plotting import COLORS, expressivity


def test_family_shows_tokens_and_their_mean(ax):
    tokens = np.array([[[1.0, 2.0], [-3.0, 0.0]], [[1.0, -2.0], [-3.0, 4.0]]])
    expressivity.plot_family(ax, tokens, [1, -1], [0.25, 0.75], title="a family")
    drawn = {line.get_label(): line for line in ax.lines}
    expected = {
        "relevant, $y = +1$": [1, 2],
        "irrelevant, $y = +1$": [-3, 0],
        "mean token, $y = +1$": [-2, 0.5],
        "relevant, $y = -1$": [1, -2],
        "irrelevant, $y = -1$": [-3, 4],
        "mean token, $y = -1$": [-2, 2.5],
    }
    for name, place in expected.items():
        np.testing.assert_allclose(drawn[name].get_xydata(), [place])
    assert to_hex(drawn["relevant, $y = +1$"].get_color()).upper() == COLORS["relevant"]
    assert drawn["relevant, $y = -1$"].get_marker() == "v"
    assert ax.get_title() == "a family"


def test_worst_margins_are_dots_and_zero_error_is_shaded(ax):
    worst = np.array([[0.5, -0.5], [1.0, 0.2]])
    expressivity.plot_worst_margins(ax, worst, color=COLORS["linear"], title="linear")
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), worst)
    shaded = ax.collections[0].get_paths()[0].vertices
    assert shaded.min() == 0
    assert shaded.max() > 1


def test_reach_fills_the_dots_where_the_error_is_zero(ax):
    reached = np.array([[True, False, True], [False, False, True]])
    expressivity.plot_reach(
        ax, [0.2, 0.5, 0.8], [1.0, 3.0], reached, color=COLORS["self"], title="self"
    )
    full, empty = ax.lines
    assert full.get_xydata().tolist() == [[0.2, 1], [0.8, 1], [0.8, 3]]
    assert empty.get_xydata().tolist() == [[0.5, 1], [0.2, 3], [0.5, 3]]
    assert full.get_fillstyle() == "full"
    assert empty.get_fillstyle() == "none"
    assert to_hex(full.get_color()).upper() == to_hex(empty.get_color()).upper() == COLORS["self"]
    assert ax.get_yscale() == "log"


@pytest.mark.parametrize("weights", [[0.1, 0.6, 0.3], [[0.1, 0.6, 0.3], [1.0, 0.0, 0.0]]])
def test_attention_map_has_a_row_for_each_that_asks(ax, weights):
    expressivity.plot_attention_map(ax, weights, 1, title="prompt")
    np.testing.assert_allclose(ax.images[0].get_array(), np.atleast_2d(weights))
    assert ax.images[0].get_clim() == (0, np.max(weights))
    assert ax.lines[0].get_xdata() == [0.5, 0.5]
