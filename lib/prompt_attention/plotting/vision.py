"""Drawing for the chapter on vision: canvases, methods side by side, attention layer by layer."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

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


def plot_picture(ax: Axes, picture, *, side: int, framed=(), weights=None) -> Axes:
    """Draw a canvas, with frames around some tiles, or as strongly as tiles are attended to.

    Args:
        ax: where to draw.
        picture: grey values [height width].
        side: pixels along a tile.
        framed: booleans [T], the tiles to frame.
        weights: numbers [T] in [0, 1], how strongly to show each tile over white.
    """
    picture = np.clip(np.asarray(picture), 0, 1)
    columns = picture.shape[1] // side
    if weights is not None:
        strength = np.asarray(weights).reshape(-1, columns)
        strength = np.kron(strength, np.ones((side, side)))
        picture = strength * picture + (1 - strength)
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    for index in np.flatnonzero(framed):
        row, column = divmod(int(index), columns)
        corner = (column * side - 0.5, row * side - 0.5)
        ax.add_patch(
            Rectangle(corner, side, side, fill=False, color=COLORS["relevant"], linewidth=1.5)
        )
    ax.set_axis_off()
    return ax


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
