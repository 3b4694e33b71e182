"""Drawing for the chapter on data: canvases of tiles, and tokens in the plane."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from prompt_attention.plotting import COLORS


def plot_picture(ax: Axes, picture, *, side: int, framed=None, weights=None) -> Axes:
    """Draw a picture of square tiles, some framed or all as strongly as they are attended to.

    Args:
        ax: where to draw.
        picture: grey values [height width]; outside [0, 1] they are black and white.
        side: pixels along a tile.
        framed: booleans [T], the tiles to frame, row by row.
        weights: numbers [T] in [0, 1], how strongly to show each tile over white.
    """
    picture = np.clip(np.asarray(picture), 0, 1)
    columns = picture.shape[1] // side
    if weights is not None:
        strength = np.asarray(weights).reshape(-1, columns)
        strength = np.kron(strength, np.ones((side, side)))
        picture = strength * picture + (1 - strength)
    # As it is: a picture that is stored pixel for pixel is small, and sharp at any size.
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="none")
    for index in np.flatnonzero(framed) if framed is not None else ():
        row, column = divmod(int(index), columns)
        corner = (column * side - 0.5, row * side - 0.5)
        ax.add_patch(
            Rectangle(corner, side, side, fill=False, color=COLORS["relevant"], linewidth=2)
        )
    ax.set_axis_off()
    return ax


def plot_canvas(ax: Axes, tokens, *, columns: int, framed=None, weights=None) -> Axes:
    """Draw the tokens of one picture as square grey tiles, as :func:`plot_picture` does.

    Args:
        ax: where to draw.
        tokens: shape [T d] with d a square number.
        columns: tiles in a row.
        framed: booleans [T], the tiles to frame.
        weights: numbers [T] in [0, 1], how strongly to show each tile over white.
    """
    tokens = np.asarray(tokens)
    side = round(tokens.shape[1] ** 0.5)
    tiles = tokens.reshape(-1, columns, side, side)
    picture = tiles.swapaxes(1, 2).reshape(-1, columns * side)
    return plot_picture(ax, picture, side=side, framed=framed, weights=weights)


def plot_plane(ax: Axes, points, relevant, labels) -> Axes:
    """Scatter tokens by their coordinates along the context and the regressor.

    Args:
        ax: where to draw.
        points: coordinates [N 2].
        relevant: booleans [N].
        labels: the label +1 or -1 of each token's example, shape [N].
    """
    points, relevant, labels = map(np.asarray, (points, relevant, labels))
    kinds = {
        "irrelevant": (~relevant, ".", COLORS["irrelevant"], 0.5),
        "relevant, y = +1": (relevant & (labels > 0), "^", COLORS["relevant"], 0.9),
        "relevant, y = -1": (relevant & (labels < 0), "v", COLORS["self"], 0.9),
    }
    for label, (chosen, marker, color, alpha) in kinds.items():
        ax.scatter(*points[chosen].T, marker=marker, color=color, alpha=alpha, s=28, label=label)
    ax.set_xlabel("coordinate along the context $q^*$")
    ax.set_ylabel("coordinate along the regressor $w^*$")
    return ax
