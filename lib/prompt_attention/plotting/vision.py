"""Drawing for the chapter on vision: methods side by side, by labels and by cost."""

import numpy as np
from matplotlib.axes import Axes

from prompt_attention.plotting import COLORS

METHOD_STYLES = {
    "untouched": ("#808080", "x"),
    "head": (COLORS["mean"], "v"),
    "prompts": (COLORS["theory"], "s"),
    "deep prompts": (COLORS["theory"], "D"),
    "prompt as reader": (COLORS["prompt"], "o"),
    "low rank": (COLORS["linear"], "^"),
    "everything": (COLORS["self"], "P"),
    "one layer": (COLORS["relevant"], "*"),
}
"""Colour and marker of each method."""


def plot_methods(ax: Axes, curves: dict) -> Axes:
    """Draw a line with bars of two standard errors for each method.

    Args:
        ax: where to draw.
        curves: (x, means, standard errors) by the name of a method.
    """
    for name, (x, mean, error) in curves.items():
        color, marker = METHOD_STYLES[name]
        dash = "--" if name in ("untouched", "deep prompts") else "-"
        style = {"color": color, "marker": marker, "linestyle": dash, "label": name}
        ax.errorbar(x, mean, yerr=2 * np.asarray(error), linewidth=1, markersize=5, **style)
    return ax


def plot_costs(ax: Axes, costs: dict) -> Axes:
    """Draw accuracy against trained parameters, one marker with bars for each method.

    Args:
        ax: where to draw.
        costs: (parameters, mean, standard error) by the name of a method.
    """
    for name, (size, mean, error) in costs.items():
        color, marker = METHOD_STYLES[name]
        style = {"color": color, "marker": marker, "linestyle": "none", "label": name}
        ax.errorbar([size], [mean], yerr=[2 * error], markersize=7, **style)
    ax.set_xscale("log")
    return ax
