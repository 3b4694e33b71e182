"""The figures of the chapter on vision show the numbers they are given."""

import numpy as np
from matplotlib.colors import to_hex

from prompt_attention.plotting import vision
from prompt_attention.vision.adaptation import METHODS


def test_methods_have_their_own_marks(ax):
    assert set(vision.METHOD_STYLES) == {"untouched", *METHODS}
    assert len(set(vision.METHOD_STYLES.values())) == 8
    vision.plot_methods(ax, {"head": ([1, 4], [0.5, 0.7], [0.01, 0.02])})
    line, _, (bars,) = ax.containers[0]
    np.testing.assert_allclose(line.get_xydata(), [[1, 0.5], [4, 0.7]])
    lengths = [np.ptp(segment[:, 1]) for segment in bars.get_segments()]
    np.testing.assert_allclose(lengths, [0.04, 0.08])
    assert to_hex(line.get_color()).upper() == vision.METHOD_STYLES["head"][0]


def test_costs_are_dots_over_parameters(ax):
    vision.plot_costs(ax, {"everything": (36_362, 0.9, 0.01), "head": (330, 0.4, 0.02)})
    dots = [container[0].get_xydata()[0].tolist() for container in ax.containers]
    assert dots == [[36_362, 0.9], [330, 0.4]]
    assert ax.get_xscale() == "log"
