"""How long a reader waits: each page run cold and warm, alone, and the whole book built.

Cold is with nothing compiled yet, warm with the compiled programs of a run before; in both a new
kernel starts and every cell is computed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import jupytext
import nbclient
import nbformat
import yaml

from bookext.execution import kernel_environment

SLOWEST = 5
CELL_TIMEOUT = 600
_IMAGES = ("image/svg+xml", "image/png")


class Cell(NamedTuple):
    """What one cell cost."""

    seconds: float
    label: str  # its figure, or its first statement


class Run(NamedTuple):
    """What one run of a chapter cost, in seconds from the start of its kernel."""

    first_figure: float | None  # None without a figure
    whole: float
    cells: list[Cell]


def label(cell: nbformat.NotebookNode) -> str:
    """Return a cell's figure if it has one, and its first statement otherwise."""
    figure = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
    lines = (line.strip() for line in cell.source.splitlines())
    return figure or next((line for line in lines if line and line[0] not in "#%@"), "(empty)")


def reading(executed: nbformat.NotebookNode, started: float, ended: float) -> Run:
    """Read a run off a notebook that was executed with timing.

    Args:
        executed: the notebook; its code cells carry the times of the kernel's messages.
        started: when the kernel was asked for, in seconds since the epoch.
        ended: when the last cell was done.
    """
    cells, first_figure = [], None
    for cell in executed.cells:
        times = cell.metadata.get("execution", {}) if cell.cell_type == "code" else {}
        if "shell.execute_reply" not in times:
            continue
        begin, end = (
            datetime.fromisoformat(times[message]).timestamp()
            for message in ("iopub.status.busy", "shell.execute_reply")
        )
        cells.append(Cell(end - begin, label(cell)))
        shown = {kind for output in cell.outputs for kind in output.get("data", {})}
        if first_figure is None and shown.intersection(_IMAGES):
            first_figure = end - started
    return Run(first_figure, ended - started, cells)


def run(page: Path, environment: dict[str, str]) -> Run:
    """Execute a page in a new kernel that sees this environment.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = jupytext.read(page, fmt="md:myst")
    client = nbclient.NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        record_timing=True,
        resources={"metadata": {"path": str(page.parent)}},
    )
    started = time.time()
    client.execute(env=environment, stderr=subprocess.DEVNULL)
    return reading(notebook, started, time.time())


def pages(toc: Path) -> list[str]:
    """Return the pages that a kernel runs, in the order of the table of contents."""
    contents = yaml.safe_load(toc.read_text("utf8"))
    listed = [contents["root"]]
    listed += [chapter["file"] for part in contents["parts"] for chapter in part["chapters"]]
    found = {page: (toc.parent / "book" / f"{page}.md").read_text("utf8") for page in listed}
    return [
        page
        for page, text in found.items()
        if "```{code-cell}" in text and "execution_mode: 'off'" not in text
    ]


def build_book(root: Path) -> tuple[float, float]:
    """Build the book into an empty folder, and again without results: seconds cold and warm.

    Raises:
        subprocess.CalledProcessError: the build failed.
    """
    command = [Path(sys.executable).with_name("jupyter-book"), "build", root / "book"]
    command += [
        "--config",
        root / "_config.yml",
        "--toc",
        root / "_toc.yml",
        "-W",
        "-n",
        "--keep-going",
        "--path-output",
    ]
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for results in ("html", ".doctrees", ".jupyter_cache"), ():
            started = time.time()
            subprocess.run([*command, folder], check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.time() - started)
            for kept in results:
                shutil.rmtree(Path(folder, "_build", kept))
    return seconds[0], seconds[1]


def table(runs: dict[str, tuple[Run, Run]]) -> str:
    """Return one row for each page, cold and warm, and the cells that cost most."""

    def seconds(*values):
        return "".join(f"{'none' if value is None else f'{value:.1f}':>8}" for value in values)

    width = max(len(page) for page in runs)
    lines = [f"{'':{width}}    first figure      whole page"]
    lines.append(f"{'':{width}}    cold    warm    cold    warm")
    for page, (cold, warm) in runs.items():
        columns = cold.first_figure, warm.first_figure, cold.whole, warm.whole
        lines.append(f"{page:{width}}{seconds(*columns)}")
    total = [sum(run.whole for run in side) for side in zip(*runs.values(), strict=True)]
    lines.append(f"{'total':{width}}{'':16}{seconds(*total)}")
    for page, (cold, warm) in runs.items():
        lines.append(f"\n{page}: the cells that cost most, cold and warm")
        both = sorted(zip(cold.cells, warm.cells, strict=True), reverse=True)[:SLOWEST]
        lines += [f"{seconds(a.seconds, b.seconds)}  {a.label}" for a, b in both]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Time the pages that are named, or else all of them and then the build of the whole book."""
    parser = argparse.ArgumentParser(prog="make bench-book", description=__doc__)
    parser.add_argument("pages", nargs="*", help="such as dynamics; all, and the book, if none")
    asked = parser.parse_args(arguments).pages
    root = Path(__file__).resolve().parents[3]
    runs = {}
    for page in asked or pages(root / "_toc.yml"):
        with tempfile.TemporaryDirectory() as build:
            environment = os.environ | kernel_environment(Path(build))
            cold, warm = (run(root / "book" / f"{page}.md", environment) for _ in range(2))
        runs[page] = cold, warm
        print(f"[bench-book] {page}: {cold.whole:.1f} s cold, {warm.whole:.1f} s warm", flush=True)
    print(f"\n{table(runs)}", flush=True)
    if not asked:
        cold_book, warm_book = build_book(root)
        print(f"\nwhole book built: {cold_book:.0f} s cold, {warm_book:.0f} s warm")


if __name__ == "__main__":
    main()
