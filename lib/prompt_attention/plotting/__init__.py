"""Drawing for the book: arrays in, marks on the given Axes out; nothing is computed here.

Theory is a line, simulation is dots with error bars. Each chapter's own figures are in the module
of its name; this one holds the style and what all of them share.
"""

from importlib import resources

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from prompt_attention.plotting.numbers import carry_numbers

# Okabe-Ito colours by what they stand for: the four models, the two kinds of token, a limit.
COLORS = {
    "prompt": "#0072B2",
    "self": "#D55E00",
    "linear": "#009E73",
    "mean": "#CC79A7",
    "relevant": "#E69F00",
    "irrelevant": "#0072B2",
    "theory": "#56B4E9",
}


def use_style() -> None:
    """Switch matplotlib to the book's style file, and have its SVG files carry their numbers.

    No other global change is made by the book.
    """
    carry_numbers()
    with resources.as_file(resources.files(__name__) / "book.mplstyle") as path:
        plt.style.use(path)


def plot_theory(ax: Axes, x, y, **style) -> Axes:
    """Draw a formula as a line."""
    ax.plot(x, y, **style)
    return ax


def plot_simulation(ax: Axes, x, value, standard_error, **style) -> Axes:
    """Draw Monte Carlo estimates as dots with bars of two standard errors."""
    ax.errorbar(x, value, yerr=2 * standard_error, fmt="o", **style)
    return ax
