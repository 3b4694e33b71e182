"""The numbers of a figure, read off its marks, so that they can be checked without its code.

After `carry_numbers`, every SVG file that Matplotlib writes holds them in its description.
"""

import csv
import io
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import register_backend
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver

# Coordinates; an error bar's ends; what a pixel or a level shows, or the arrow's direction.
COLUMNS = ("x", "y", "x_low", "x_high", "y_low", "y_high", "value", "u", "v")
Row = tuple[str, str, dict[str, float]]  # series, kind of mark, numbers by column


def _named(artist, kind: str, position: int) -> str:
    """Return an artist's label, or what and which it is where it has none."""
    label = str(artist.get_label())
    return label if label and not label.startswith("_") else f"{kind} {position}"


def _ends(container: ErrorbarContainer, count: int) -> list[dict[str, float]]:
    """Return the ends of the bars of each point; horizontal bars come before vertical ones."""
    ends: list[dict[str, float]] = [{} for _ in range(count)]
    axes = [name for name in "xy" if getattr(container, f"has_{name}err")]
    for name, bars in zip(axes, container.lines[2], strict=True):
        for point, segment in zip(ends, bars.get_segments(), strict=True):
            if len(segment) == 2:  # a bar that is not a number has no ends
                low, high = np.asarray(segment)[:, "xy".index(name)]
                point |= {f"{name}_low": low, f"{name}_high": high}
    return ends


def _containers(ax: Axes) -> Iterator[Row]:
    for position, container in enumerate(ax.containers, start=1):
        if isinstance(container, ErrorbarContainer) and container.lines[0] is not None:
            points = container.lines[0].get_xydata()
            for (x, y), ends in zip(points, _ends(container, len(points)), strict=True):
                yield _named(container, "dots", position), "dot", {"x": x, "y": y, **ends}
        elif isinstance(container, BarContainer):
            for bar in container.patches:
                numbers = {"x": bar.get_x() + bar.get_width() / 2, "y": bar.get_height()}
                yield _named(container, "bars", position), "bar", numbers


def _lines(ax: Axes) -> Iterator[Row]:
    drawn = {
        part
        for container in ax.containers
        if isinstance(container, ErrorbarContainer)
        for part in (container.lines[0], *container.lines[1])
    }
    for position, line in enumerate((x for x in ax.lines if x not in drawn), start=1):
        points = line.get_xydata()
        across, along = line.get_transform().contains_branch_seperately(ax.transData)
        if not along:
            yield _named(line, "vertical line", position), "line", {"x": points[0, 0]}
        elif not across:
            yield _named(line, "horizontal line", position), "line", {"y": points[0, 1]}
        else:
            kind = "dot" if line.get_linestyle() in ("None", "none", "", " ") else "line"
            for x, y in points:
                yield _named(line, f"{kind}s", position), kind, {"x": x, "y": y}


def _collections(ax: Axes) -> Iterator[Row]:
    for position, collection in enumerate(ax.collections, start=1):
        if isinstance(collection, PathCollection):
            values = collection.get_array()
            for index, (x, y) in enumerate(collection.get_offsets()):
                value = {} if values is None else {"value": values[index]}
                yield _named(collection, "dots", position), "dot", {"x": x, "y": y, **value}
        elif isinstance(collection, Quiver):
            parts = (*collection.get_offsets().T, np.ravel(collection.U), np.ravel(collection.V))
            for numbers in zip(*parts, strict=True):
                yield (
                    _named(collection, "arrows", position),
                    "arrow",
                    dict(zip("xyuv", numbers, strict=True)),
                )
        elif not isinstance(collection, LineCollection):  # these are the bars of error bars
            levels = getattr(collection, "levels", None)  # those of contours, from below
            for index, path in enumerate(collection.get_paths()):
                value = {} if levels is None else {"value": levels[index]}
                for x, y in path.vertices:
                    yield _named(collection, "area", position), "area", {"x": x, "y": y, **value}


def _images(ax: Axes) -> Iterator[Row]:
    for position, image in enumerate(ax.images, start=1):
        shades = np.ma.filled(image.get_array().astype(float), np.nan)
        if shades.ndim == 3:  # in colour: the mean of the channels
            shades = shades.mean(axis=2)
        for (row, column), value in np.ndenumerate(shades):
            numbers = {"x": column, "y": row, "value": value}
            yield _named(image, "image", position), "pixel", numbers


def figure_rows(figure: Figure) -> Iterator[tuple[str, str, str, dict[str, float]]]:
    """Yield panel, series, kind of mark and numbers for every mark with data in a figure.

    A panel is called by its title, or by its place; a series by its label, or by what it is.
    """
    for place, ax in enumerate(figure.axes, start=1):
        panel = ax.get_title() or f"panel {place}"
        for part in (_lines, _containers, _collections, _images):
            for series, kind, numbers in part(ax):
                yield panel, series, kind, numbers


def as_csv(figure: Figure) -> str:
    """Return the numbers of a figure as a table with one mark in a row; empty columns are left out.

    Numbers have nine digits, which gives single precision back.
    """
    rows = list(figure_rows(figure))
    columns = [name for name in COLUMNS if any(name in numbers for *_, numbers in rows)]
    table = io.StringIO()
    write = csv.writer(table, lineterminator="\n")
    write.writerow(["panel", "series", "mark", *columns])
    for *names, numbers in rows:
        write.writerow(
            names + [f"{float(numbers[n]):.9g}" if n in numbers else "" for n in columns]
        )
    return table.getvalue()


class NumberedCanvas(FigureCanvasSVG):
    """A canvas whose SVG files hold the figure's numbers, and no date."""

    def print_svg(self, filename, *, bbox_inches_restore=None, metadata=None, **_):
        """Write the file; what `metadata` says goes first, and SVG has no use for other options."""
        metadata = {"Description": as_csv(self.figure), "Date": None, **(metadata or {})}
        super().print_svg(filename, bbox_inches_restore=bbox_inches_restore, metadata=metadata)


def carry_numbers() -> None:
    """Have Matplotlib write its SVG files with their numbers, in a notebook too."""
    register_backend("svg", NumberedCanvas)
