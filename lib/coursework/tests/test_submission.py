"""Files that students hand in: any may come, and what cannot be graded says why."""

import json
import os

import nbformat
import pytest

from coursework import build, submission
from coursework.submission import UnreadableError


def notebook(**changes):
    cells = [{"cell_type": "code", "source": ["x = 1\n", "y = 2"], "metadata": {}, "outputs": []}]
    return json.dumps(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells} | changes
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (notebook()[:60], "damaged or cut short"),
        ("", "damaged or cut short"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "not text"),
        ("[" * 100_000, "nested too deeply"),
        ('{"cells": ' + "[" * 100_000, "nested too deeply"),
        ("7", "holds no cells"),
        ("[]", "holds no cells"),
        (notebook(cells={"a": 1}), "holds no cells"),
        (notebook(cells=[{}] * 2001), "more than 2000 cells"),
        ('{"cells": ' + "9" * 5000 + "}", "damaged or cut short"),
    ],
)
def test_what_is_no_notebook_is_refused(content, message):
    content = content if isinstance(content, bytes) else content.encode()
    with pytest.raises(UnreadableError, match=message):
        submission.parse(content)


def test_a_large_file_is_refused(tmp_path):
    file = tmp_path / "large.ipynb"
    file.write_bytes(b" " * (submission.LARGEST + 1))
    with pytest.raises(UnreadableError, match="larger than 10 MiB"):
        submission.read_bytes(file)


def test_links_folders_pipes_and_missing_files_are_refused(tmp_path):
    real = tmp_path / "real.ipynb"
    real.write_text(notebook())
    (tmp_path / "link.ipynb").symlink_to(real)
    (tmp_path / "folder.ipynb").mkdir()
    os.mkfifo(tmp_path / "pipe.ipynb")
    assert submission.read_bytes(real)
    for name, message in {
        "link": "a symbolic link",
        "folder": "not a file",
        "pipe": "not a file",
        "none": "not readable",
    }.items():
        with pytest.raises(UnreadableError, match=message):
            submission.read_bytes(tmp_path / f"{name}.ipynb")


def test_odd_cells_are_read_as_far_as_they_go():
    odd = [None, 3, {"cell_type": "raw"}, {"cell_type": "code"}, {"cell_type": "code", "source": 5}]
    odd += [{"cell_type": "code", "source": "x", "metadata": "none", "id": 7}]
    read = submission.parse(("\ufeff" + notebook(cells=odd)).encode())
    assert read.code() == ["", "5", "x"]
    assert read.cells[-1]["metadata"] == {}


def handed_in(cells):
    return submission.parse(nbformat.writes(nbformat.v4.new_notebook(cells=cells)).encode())


def test_checks_and_experiments_are_skipped(assignment):
    cells = build.student_notebook(assignment, "install()").cells
    run = submission.cells_to_run(handed_in(cells), assignment)
    assert run[0] == ""
    assert run[1].startswith("import jax")
    assert [bool(cell) for cell in run[2:]] == [True, False, True, False, False]


def test_checks_are_known_by_their_text_when_metadata_are_lost(assignment):
    cells = build.student_notebook(assignment).cells
    for cell in cells:
        cell.metadata, cell.id = {}, f"other-{cell.id}"
    run = submission.cells_to_run(handed_in(cells), assignment)
    assert [bool(cell) for cell in run] == [True, True, False, True, False, True]


def test_an_experiment_that_defines_something_is_run(assignment):
    cells = build.student_notebook(assignment).cells
    cells[-3].source = "def helper():\n    return 1"
    assert "experiment" in cells[-3].metadata.tags
    run = submission.cells_to_run(handed_in(cells), assignment)
    assert run[-1] == cells[-3].source
