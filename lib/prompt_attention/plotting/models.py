"""Drawing for the chapter on models: attention maps."""

import numpy as np
from matplotlib.axes import Axes

from prompt_attention.plotting import COLORS


def plot_attention(ax: Axes, weights, relevant, *, title: str) -> Axes:
    """Draw the weight of each token as a bar, relevant tokens first.

    Args:
        ax: where to draw.
        weights: shape [T].
        relevant: booleans [T].
        title: the name of the model.
    """
    weights, relevant = np.asarray(weights), np.asarray(relevant)
    order = np.argsort(~relevant, kind="stable")
    kinds = np.where(relevant[order], COLORS["relevant"], COLORS["irrelevant"])
    ax.bar(np.arange(len(weights)), weights[order], color=kinds)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_title(title)
    ax.set_xlabel("token, relevant ones first")
    return ax
