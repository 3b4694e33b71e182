"""Figures show the numbers they are given."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_hex

from prompt_attention import plotting
from prompt_attention.plotting import data, models


def test_style_is_the_style_file():
    with plt.rc_context():
        plotting.use_style()
        assert plt.rcParams["svg.fonttype"] == "none"
        assert not plt.rcParams["axes.spines.top"]


def test_theory_is_a_line_and_simulation_has_bars_of_two_standard_errors(ax):
    x, y, standard_error = np.arange(3.0), np.array([1.0, 4.0, 9.0]), np.array([0.1, 0.2, 0.3])
    plotting.plot_theory(ax, x, y, label="theory")
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), np.stack([x, y], axis=1))
    plotting.plot_simulation(ax, x, y, standard_error)
    bars = np.array(ax.collections[0].get_segments())[:, :, 1]
    np.testing.assert_allclose(bars, np.stack([y - 2 * standard_error, y + 2 * standard_error], 1))


def test_canvas_puts_each_tile_in_its_place_and_frames_it(ax):
    tokens = np.arange(6)[:, None] / 10 * np.ones((6, 4))
    framed = np.array([False, False, False, False, True, False])
    data.plot_canvas(ax, tokens, columns=3, framed=framed)
    picture = ax.images[0].get_array()
    np.testing.assert_allclose(picture[::2, ::2], [[0.0, 0.1, 0.2], [0.3, 0.4, 0.5]])
    (frame,) = ax.patches
    assert frame.get_bbox().bounds == (1.5, 1.5, 2, 2)


def test_canvas_fades_tiles_with_little_weight(ax):
    tokens = np.zeros((2, 4))
    data.plot_canvas(ax, tokens, columns=2, weights=[1.0, 0.25])
    np.testing.assert_allclose(ax.images[0].get_array()[0], [0, 0, 0.75, 0.75])


def test_pictures_stay_between_black_and_white(ax):
    picture = np.array([[0.0, 0.2], [1.5, -1.0]])
    framed = [False, False, True, False]
    data.plot_picture(ax, picture, side=1, framed=framed, weights=[1, 0.5, 1, 0])
    np.testing.assert_allclose(ax.images[0].get_array(), [[0, 0.6], [1, 1]])
    assert [patch.get_xy() for patch in ax.patches] == [(-0.5, 0.5)]


def test_plane_groups_tokens_by_kind(ax):
    points = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]])
    relevant = np.array([False, True, True, False])
    data.plot_plane(ax, points, relevant, np.array([1, 1, -1, -1]))
    drawn = {c.get_label(): c.get_offsets().data.tolist() for c in ax.collections}
    assert drawn == {
        "irrelevant": [[0, 1], [6, 7]],
        "relevant, y = +1": [[2, 3]],
        "relevant, y = -1": [[4, 5]],
    }


def test_attention_bars_are_the_weights_with_relevant_tokens_first(ax):
    models.plot_attention(
        ax, np.array([0.1, 0.6, 0.3]), np.array([False, True, False]), title="prompt"
    )
    assert [bar.get_height() for bar in ax.patches] == [0.6, 0.1, 0.3]
    assert to_hex(ax.patches[0].get_facecolor()).upper() == plotting.COLORS["relevant"]
