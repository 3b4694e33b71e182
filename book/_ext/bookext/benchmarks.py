"""What `make bench` has measured: the directive ``benchmarks`` and the role ``measured``.

All numbers are those of ``benchmarks.json``, which lies next to the pages.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from .figures import SvgImage, is_alt_text, themed_svg
from .records import FOLDER, FigureRecord, Record

logger = logging.getLogger(__name__)

FILE = "benchmarks.json"
COLUMNS = ("milliseconds", "library is faster", "megabytes")
Results = dict[str, Any]


def read(srcdir: str | Path) -> Results:
    """Return what was measured.

    Raises:
        ValueError: the file is missing or is none that `make bench` writes.
    """
    path = Path(srcdir, FILE)
    try:
        results = json.loads(path.read_text("utf-8"))
        results["works"], results["goals"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: expected what make bench writes, got {error!r}") from error
    return results


def number(value: float | None) -> str:
    """Return a number with three digits and no exponent, a count as it is, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    digits = f"{value:.2e}"
    return f"{float(digits):,.{max(0, 2 - int(digits.partition('e')[2]))}f}"


def goals_rows(results: Results) -> list[list[str]]:
    """Return the table of goals: what, measured, goal, met or missed."""
    rows = [["goal", "measured", "aim", "outcome"]]
    for goal in results["goals"]:
        measured, verdict = f"{number(goal['value'])} {goal['unit']}", "met"
        if goal["value"] is None:
            measured = verdict = "not measured"
        elif not goal["met"]:
            verdict = "missed"
        what = f"{goal['work']}: {goal['what']}"
        rows.append([what, measured, goal["goal"], verdict])
    return rows


def times_rows(results: Results) -> list[list[str]]:
    """Return the table of versions: time, how many times that of the library, memory."""
    rows = [["work", "version", "ms", "times the library's", "MB"]]
    for work, measured in results["works"].items():
        for position, (version, values) in enumerate(measured["versions"].items()):
            named = dict(values)
            if "seconds" in named:
                named["milliseconds"] = 1e3 * named["seconds"]
            cells = [number(named.get(column)) for column in COLUMNS]
            rows.append([work if position == 0 else "", version, *cells])
    return rows


def draw(results: Results):
    """Return a figure with a dot for each goal: how far beyond it, or short of it, the library is.

    A dot stands at value / aim, or at aim / value where less is better.
    """
    from matplotlib.figure import Figure
    from matplotlib.style import context

    from prompt_attention.plotting import COLORS, use_style

    with context({}):  # whatever the style sets is taken back
        use_style()
        figure = Figure(figsize=(8.5, 6.4))
        ax = figure.subplots()
        measured = [goal for goal in results["goals"] if goal["value"] is not None]
        for met, label in ((True, "met"), (False, "missed")):
            places = [i for i, goal in enumerate(measured) if goal["met"] is met]
            fill = {} if met else {"markerfacecolor": "none"}
            color = COLORS["prompt" if met else "self"]
            reach = [beyond(measured[i]) for i in places]
            ax.plot(reach, places, "o", label=label, color=color, **fill)
        ax.axvline(1, color="black", linewidth=1)
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter("{x:g}")
        ax.set_yticks(range(len(measured)), [f"{g['work']}:\n{g['what']}" for g in measured],
                      fontsize="small")  # fmt: skip
        ax.invert_yaxis()
        ax.set_xlabel("measured, in units of the aim; to the right of the line is better")
        ax.legend(loc="lower right")
    return figure


def beyond(goal: dict[str, Any]) -> float:
    """Return value / aim, or aim / value where less is better."""
    quotient = goal["value"] / goal["bound"]
    return quotient if goal["goal"].startswith("at least") else 1 / quotient


def facts(results: Results) -> dict[str, str]:
    """Return where the numbers come from."""
    works = results["works"].values()
    used = [item for work in works for item in work["versions used"].items()]

    def all_of(name):
        return ", ".join(dict.fromkeys(work[name] for work in works))

    return {
        "made by": "make bench",
        "commit": all_of("commit"),
        "date": all_of("date"),
        "machine": all_of("processor") + "; " + all_of("system"),
        "versions": ", ".join(dict.fromkeys(" ".join(item) for item in used)),
    }


class Benchmarks(SphinxDirective):
    """``{benchmarks} goals``, ``times``, or ``figure`` with ``:alt:``, ``:name:`` and a caption."""

    required_arguments = 1
    has_content = True
    option_spec = {"alt": directives.unchanged_required, "name": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Build a table or the figure."""
        self.env.note_dependency(str(Path(self.env.srcdir, FILE)))
        makers = {"goals": goals_rows, "times": times_rows}
        try:
            results = read(self.env.srcdir)
        except ValueError as error:
            raise self.error(str(error)) from error
        what = self.arguments[0]
        if what in makers:
            return [_table(makers[what](results))]
        if what != "figure":
            raise self.error(f"benchmarks: expected goals, times or figure, got {what!r}")
        return self._figure(results)

    def _figure(self, results: Results) -> list[nodes.Node]:
        from prompt_attention.plotting.numbers import as_csv

        alt = " ".join(self.options.get("alt", "").split())
        if not is_alt_text(alt):
            raise self.error(f"benchmarks: expected :alt: to say what it shows, got {alt!r}")
        drawn, svg = draw(results), io.StringIO()
        drawn.savefig(svg, format="svg")
        figure = nodes.figure()
        self.set_source_info(figure)
        markup = themed_svg(svg.getvalue(), alt=alt, prefix="benchmarks")
        figure += SvgImage("", markup=markup)
        caption = nodes.caption()
        self.set_source_info(caption)
        holder = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, holder)
        for child in holder.children:
            caption.extend(child.children)
        figure += caption
        self.add_name(figure)
        docname = self.env.docname
        name = (figure["names"] or ["figure"])[0]
        record = Record(
            facts=facts(results), code="", numbers=as_csv(drawn), name=f"{docname}, {name}"
        )
        file = Path(self.env.app.outdir, FOLDER, f"{docname}-{name}.csv")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(record.csv(), "utf-8")
        return [figure, FigureRecord("", markup=record.html(f"{FOLDER}/{file.name}"))]


def _table(rows: list[list[str]]) -> nodes.table:
    """Return a table; the first row is its head, and what is missed is set in bold."""
    group = nodes.tgroup(cols=len(rows[0]))
    group += [nodes.colspec(colwidth=1) for _ in rows[0]]
    group += nodes.thead("", _row(rows[0]))
    group += nodes.tbody("", *map(_row, rows[1:]))
    return nodes.table("", group, classes=["benchmarks"])


def _row(cells: list[str]) -> nodes.row:
    words = [nodes.strong if cell == "missed" else nodes.inline for cell in cells]
    return nodes.row(
        "",
        *(
            nodes.entry("", nodes.paragraph("", "", word("", cell)))
            for word, cell in zip(words, cells, strict=True)
        ),
    )


class MeasuredRole(SphinxRole):
    """``{measured}`work | version | name```: one number."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Look it up, or warn of a number that was not measured."""
        self.env.note_dependency(str(Path(self.env.srcdir, FILE)))
        work, version, name = (part.strip() for part in self.text.split("|"))
        try:
            value = read(self.env.srcdir)["works"][work]["versions"][version][name]
        except (KeyError, ValueError) as error:
            logger.warning(
                "measured %r: expected a number that make bench has written, got %r",
                self.text,
                error,
                location=self.get_location(),
                type="book",
                subtype="measured",
            )
            return [nodes.Text("?")], []
        return [nodes.Text(number(value))], []


def setup(app) -> dict[str, bool]:
    """Register the directive and the role."""
    app.add_directive("benchmarks", Benchmarks)
    app.add_role("measured", MeasuredRole())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
