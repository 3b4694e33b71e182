"""Drawing for the chapter on exact performance: pooled features, freezing, and heads compared."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from prompt_attention.plotting import COLORS

METHOD_COLORS = {
    "known prompt": COLORS["prompt"],
    "learned prompt": COLORS["linear"],
    "mean pooling": COLORS["mean"],
    "self-attention": COLORS["self"],
}
"""The colour of each way to pool, in every figure of the chapter."""


def plot_pooled(ax: Axes, points, labels, *, centre: float, deviation: float) -> Axes:
    """Scatter pooled features of both classes, with the theory's centre and one-sigma circle.

    Args:
        ax: where to draw.
        points: coordinates [n 2] along the regressor and across it.
        labels: +1 or -1, shape [n].
        centre: where the class +1 lies along the regressor; the other class is its mirror image.
        deviation: radius of the circles.
    """
    points, labels = np.asarray(points), np.asarray(labels)
    for sign, marker, color in ((1, "^", COLORS["prompt"]), (-1, "v", COLORS["self"])):
        chosen = points[labels == sign]
        ax.plot(*chosen.T, marker, color=color, markersize=3, alpha=0.4, label=f"y = {sign:+d}")
        style = {"fill": False, "color": "black", "linewidth": 1.5, "zorder": 3}
        ax.add_patch(Circle((sign * centre, 0), deviation, **style))
    ax.plot([-centre, centre], [0, 0], "+", color="black", markersize=9, zorder=3)
    ax.set_aspect("equal")
    ax.set_xlabel("along $w^*$")
    return ax


def plot_freezing_map(ax: Axes, scales, num_tokens, gap, line) -> Axes:
    """Fill the plane of prompt scale and number of tokens with a gap; draw the freezing line.

    Args:
        ax: where to draw.
        scales: shape [m].
        num_tokens: shape [k].
        gap: shape [k m], between 0 and 1.
        line: the freezing scale of each number of tokens, shape [k].
    """
    filled = ax.contourf(scales, num_tokens, gap, levels=np.linspace(0, 1, 11))
    ax.plot(line, num_tokens, color="white", linewidth=2.5)
    ax.plot(line, num_tokens, color="black", linewidth=1.2, linestyle="--")
    ax.set(yscale="log", xlabel=r"prompt scale $\tau\sigma$", ylabel="irrelevant tokens")
    ax.figure.colorbar(filled, ax=ax, ticks=[0, 0.5, 1])
    return ax


def plot_laws(ax: Axes, names, value, standard_error, theory) -> Axes:
    """Draw one estimate for each named case as a dot with its bar, and the theory as a line.

    Args:
        ax: where to draw.
        names: shape [k].
        value: shape [k].
        standard_error: shape [k]; bars are two of them.
        theory: one number.
    """
    rows = np.arange(len(names))[::-1]
    bars = 2 * np.asarray(standard_error)
    ax.axvline(theory, color=COLORS["theory"])
    ax.errorbar(value, rows, xerr=bars, fmt="o", color=COLORS["prompt"])
    ax.set_yticks(rows, names)
    ax.set_ylim(-0.6, len(names) - 0.4)
    return ax
