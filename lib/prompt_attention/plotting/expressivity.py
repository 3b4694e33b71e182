"""Drawing for the chapter on expressivity: families, margins, the map, attention maps."""

import numpy as np
from matplotlib.axes import Axes

from prompt_attention.plotting import COLORS


def plot_family(ax: Axes, tokens, labels, shares, *, title: str) -> Axes:
    """Draw the relevant and the irrelevant token of each label, and their mean.

    Args:
        ax: where to draw.
        tokens: coordinates [labels 2 2]: for each label the relevant token, then the irrelevant.
        labels: +1 or -1, shape [labels].
        shares: the shares of relevant and irrelevant tokens, shape [2].
        title: the name of the family.
    """
    tokens, shares = np.asarray(tokens), np.asarray(shares)
    for pair, label in zip(tokens, labels, strict=True):
        marker, sign = ("^", "+") if label > 0 else ("v", "-")
        ax.plot(*pair.T, "--", color="#808080", linewidth=1, zorder=1)
        for token, kind in zip(pair, ("relevant", "irrelevant"), strict=True):
            name = f"{kind}, $y = {sign}1$"
            ax.plot(*token, marker, color=COLORS[kind], markersize=9, linestyle="none", label=name)
        mean = shares @ pair
        name = f"mean token, $y = {sign}1$"
        ax.plot(
            *mean,
            marker,
            color="black",
            fillstyle="none",
            markersize=9,
            linestyle="none",
            label=name,
        )
    ax.axhline(0, color="#808080", linewidth=0.6, zorder=0)
    ax.axvline(0, color="#808080", linewidth=0.6, zorder=0)
    ax.set_title(title)
    ax.set_xlabel("along the context $q^*$")
    return ax


def plot_worst_margins(ax: Axes, worst, *, color: str, title: str) -> Axes:
    """Scatter models by their worst margins under two nuisances; shade where both are positive.

    Args:
        ax: where to draw.
        worst: margins in [-1, 1], shape [models 2].
        color: the colour of the model.
        title: what is drawn.
    """
    x, y = np.asarray(worst).T
    ax.fill_between([0, 1.05], 0, 1.05, color="#808080", alpha=0.25, linewidth=0)
    ax.plot(x, y, "o", color=color, markersize=2, alpha=0.5)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05))
    ax.set_title(title)
    return ax


def plot_reach(ax: Axes, sparsity, strength, reached, *, color: str, title: str) -> Axes:
    """Draw a map of what training reached: full dots for zero error, open dots for none.

    Args:
        ax: where to draw.
        sparsity: shape [columns].
        strength: shape [rows].
        reached: booleans [rows columns].
        color: the colour of the model.
        title: the name of the model.
    """
    x, y = np.meshgrid(sparsity, strength)
    reached = np.asarray(reached, bool)
    ax.plot(x[reached], y[reached], "o", color=color, markersize=4, label="zero error")
    ax.plot(
        x[~reached], y[~reached], "o", color=color, markersize=4, fillstyle="none", alpha=0.6,
        label="some error",
    )  # fmt: skip
    ax.set(title=title, yscale="log", xlim=(0, 1))
    return ax


def plot_attention_map(ax: Axes, weights, num_relevant: int, *, title: str) -> Axes:
    """Draw weights as squares, one row for each token or prompt that asks.

    Args:
        ax: where to draw.
        weights: shape [rows T], the relevant tokens first.
        num_relevant: how many columns are relevant; a line ends them.
        title: what asks.
    """
    weights = np.atleast_2d(weights)
    ax.imshow(weights, cmap="cividis", vmin=0, vmax=max(weights.max(), 1e-9), aspect="auto")
    ax.axvline(num_relevant - 0.5, color=COLORS["relevant"], linewidth=2)
    ax.set_title(title)
    ax.set(xticks=[], yticks=[])
    return ax
