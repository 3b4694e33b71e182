"""Drawing for the chapter on dynamics: attended tokens, intervals, and the portrait of a flow."""

import numpy as np
from matplotlib.axes import Axes

from prompt_attention.plotting import COLORS


def plot_attended(ax: Axes, points, relevant, weights, prompt, *, title: str) -> Axes:
    """Scatter the tokens of one example, larger where attention is, and the prompt as an arrow.

    Args:
        ax: where to draw.
        points: coordinates [T 2].
        relevant: booleans [T].
        weights: attention weights [T].
        prompt: coordinates [2] of the arrow's tip.
        title: what is shown.
    """
    points, relevant, weights = map(np.asarray, (points, relevant, weights))
    for kind, chosen in (("irrelevant", ~relevant), ("relevant", relevant)):
        area = 8 + 900 * weights[chosen]
        ax.scatter(*points[chosen].T, s=area, color=COLORS[kind], alpha=0.6, label=kind, lw=0)
    arrow = {"arrowstyle": "->", "linewidth": 2, "color": "black"}
    ax.annotate("", xy=tuple(prompt), xytext=(0, 0), arrowprops=arrow)
    ax.set_title(title)
    return ax


def plot_intervals(ax: Axes, names, value, error, theory) -> Axes:
    """Draw one estimate for each name with its interval, and what theory says as a bar.

    Args:
        ax: where to draw.
        names: shape [k], from the top down.
        value: shape [k].
        error: half the length of each interval, shape [k].
        theory: shape [k]; nan where there is none.
    """
    rows = np.arange(len(names))[::-1]
    ax.plot(
        theory, rows, "|", color=COLORS["theory"], markersize=16, markeredgewidth=3, label="theory"
    )
    ax.errorbar(value, rows, xerr=error, fmt="o", color=COLORS["prompt"], label="measured")
    ax.set_yticks(rows, names)
    ax.set_ylim(-0.6, len(names) - 0.4)
    return ax


def plot_portrait(ax: Axes, x, y, velocity, *, ends=None, parting=None, saddle=None) -> Axes:
    """Draw a flow in the plane: arrows of one length, where it ends, and what parts the ends.

    Args:
        ax: where to draw.
        x: shape [m].
        y: shape [k].
        velocity: components [2 k m].
        ends: curves [curves points 2] of fixed points.
        parting: a curve [points 2] that no path crosses.
        saddle: the fixed point [2] on that curve.
    """
    velocity = np.asarray(velocity)
    speed = np.maximum(np.hypot(*velocity), 1e-12)
    ax.quiver(x, y, *(velocity / speed), color="#808080", width=0.003, scale=30, pivot="mid")
    for k, curve in enumerate(ends if ends is not None else ()):
        label = "zero loss" if k == 0 else None
        ax.plot(*np.asarray(curve).T, color="black", linewidth=1.8, label=label)
    if parting is not None:
        style = {"color": COLORS["self"], "linestyle": "--", "linewidth": 1.8}
        ax.plot(*np.asarray(parting).T, **style, label="parting line")
    if saddle is not None:
        ax.plot(*saddle, "X", color=COLORS["self"], markersize=9, label="saddle")
    return ax
