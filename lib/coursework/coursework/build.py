"""What a student gets: a clean notebook, and a page of the book, from the same stripped cells."""

import copy
import json
from pathlib import Path

import jupytext
import nbformat

from coursework.source import Assignment, cell_parts

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
SHOWN_METADATA = ("question", "points", "manual", "tags")


def id_prefix(assignment: Assignment) -> str:
    """What the ids of the assignment's cells begin with; their index follows."""
    return f"{assignment.name.replace('_', '-')[:40]}-"


def stripped(assignment: Assignment) -> nbformat.NotebookNode:
    """The assignment's cells without solutions and rubrics, and without outputs."""
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": dict(KERNEL)})
    for index, cell in enumerate(assignment.notebook.cells):
        metadata = {k: copy.deepcopy(v) for k, v in cell.metadata.items() if k in SHOWN_METADATA}
        source, _ = cell_parts(cell)
        new = (
            nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        )
        notebook.cells.append(
            new(source.strip("\n"), id=f"{id_prefix(assignment)}{index}", metadata=metadata)
        )
    return notebook


def student_notebook(assignment: Assignment, first_cell: str = "") -> nbformat.NotebookNode:
    """The notebook that is handed out.

    Args:
        assignment: with its solutions.
        first_cell: code that prepares the kernel, such as the installation of a package.
    """
    notebook = stripped(assignment)
    if first_cell.strip():
        metadata = {"tags": ["setup"]}
        cell = nbformat.v4.new_code_cell(first_cell.strip("\n"), id="setup", metadata=metadata)
        notebook.cells.insert(0, cell)
    notebook.metadata["coursework"] = {"assignment": assignment.name}
    return notebook


def page(assignment: Assignment) -> str:
    """The assignment as a MyST page that shows its cells and does not run them."""
    notebook = stripped(assignment)
    notebook.metadata["mystnb"] = {"execution_mode": "off"}
    notebook.metadata["jupytext"] = {"notebook_metadata_filter": "mystnb"}
    for cell in notebook.cells:
        cell.metadata = {k: v for k, v in cell.metadata.items() if k == "tags"}
    return jupytext.writes(notebook, fmt="md:myst")


def write(assignment: Assignment, folder: Path, first_cell: str = "") -> Path:
    """Write the student notebook into `folder` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{assignment.name}.ipynb"
    notebook = student_notebook(assignment, first_cell)
    nbformat.validate(notebook)
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    file.write_text(text, "utf8")
    return file
