"""Grading a folder: one bad file does not stop the rest, a stopped run goes on, marks repeat."""

import csv
import dataclasses
import json
import shutil

import nbformat
import pytest
from attacks import CHANCE, POOL, SETUP

from coursework import cli, report, runs
from coursework.sandbox import Sandbox, SandboxError

SECRET = b"a secret for the tests"


def write(file, cells):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(made, file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three submissions: one half right, one damaged, one with a formula for a name."""
    folder = tmp_path_factory.mktemp("submissions")
    write(folder / "doejane_LATE_12345_678_pooling.ipynb", [SETUP, POOL, CHANCE])
    (folder / "damaged.ipynb").write_text('{"cells": [', "utf8")
    (folder / "=HYPERLINK(x).ipynb").write_bytes(b"\xff")
    return folder


@pytest.fixture(scope="module")
def graded(folder, assignment, cases, sandbox, tmp_path_factory):
    """The folder graded once, with its reports."""
    output = tmp_path_factory.mktemp("grades")
    output.chmod(0o755)
    submissions = runs.find_submissions(folder)
    confined = dataclasses.replace(sandbox, cache=None)
    results = runs.grade_all(submissions, assignment, cases, SECRET, confined, output, 1)
    report.write_all(results, submissions, assignment, output)
    return output, {result.name: result for result in results}


def test_each_gets_its_grade(graded):
    _, results = graded
    assert results["doejane_LATE_12345_678_pooling"].earned == 4
    assert results["doejane_LATE_12345_678_pooling"].points == 8
    assert "cut short" in results["damaged"].problem
    assert "not text" in results["=HYPERLINK(x)"].problem


def test_the_run_is_on_record_and_is_taken_up_again(
    graded, folder, assignment, cases, sandbox, monkeypatch
):
    output, results = graded
    record = json.loads((output / "run.json").read_text("utf8"))
    assert set(record["submissions"]) == set(results)
    assert record["submissions"]["damaged"] == ""
    assert record["depends_on"]["versions"]["jax"]
    assert record["depends_on"]["sandbox"] == "bubblewrap"
    assert SECRET.decode() not in json.dumps(record)

    regraded = []
    monkeypatch.setattr(runs, "rehearse", lambda *arguments: None)
    monkeypatch.setattr(
        runs.grade,
        "grade",
        lambda path, name, *rest: regraded.append(name) or results[name],
    )

    def again(secret=SECRET):
        regraded.clear()
        submissions = runs.find_submissions(folder)
        confined = dataclasses.replace(sandbox, cache=None)
        runs.grade_all(submissions, assignment, cases, secret, confined, output, 1)
        return sorted(regraded)

    # Files that could not be read are looked at again, which costs nothing.
    assert again() == ["=HYPERLINK(x)", "damaged"]
    assert again(b"another secret of the course") == sorted(results)


def test_a_fault_of_the_grader_marks_one_file_and_goes_on(
    folder, assignment, cases, sandbox, tmp_path, monkeypatch
):
    def fail(path, name, *rest):
        raise RuntimeError("a fault")

    monkeypatch.setattr(runs, "rehearse", lambda *arguments: None)
    monkeypatch.setattr(runs.grade, "grade", fail)
    confined = dataclasses.replace(sandbox, cache=None)
    submissions = runs.find_submissions(folder)
    results = runs.grade_all(submissions, assignment, cases, SECRET, confined, tmp_path, 2)
    assert [result.earned for result in results] == [0, 0, 0]
    assert all("Tell your teacher" in result.problem for result in results)
    assert not list((tmp_path / "records").iterdir())


def test_a_solution_that_fails_in_the_sandbox_stops_the_run(assignment, cases, sandbox, tmp_path):
    tmp_path.chmod(0o755)
    confined = dataclasses.replace(sandbox, cache=tmp_path)
    broken = [dataclasses.replace(case, function="nothing") for case in cases]
    with pytest.raises(SandboxError, match="own solution fails case general_position"):
        runs.rehearse(assignment, broken, confined)


def test_canvas_has_a_column_for_each_question_and_blanks_for_people(graded):
    with (graded[0] / "canvas.csv").open(encoding="utf8") as stream:
        head, possible, *rows = csv.reader(stream)
    assert head[:5] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    assert head[5:] == [
        f"Attention pooling: {name}" for name in ("pool", "chance", "plot", "shift")
    ]
    assert possible[5:] == ["4", "4", "2", "2"]
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["doejane"] == ["12345", "", "", "", "4", "0", "", ""]
    assert "'=HYPERLINK(x)" in by_name


def test_feedback_tells_and_hides(graded, cases):
    file = graded[0] / "feedback" / "doejane_LATE_12345_678_pooling.ipynb"
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    first, *own = [cell.source for cell in notebook.cells]
    assert first.startswith("# 4 of 8 points")
    assert "| shift | of 2 | graded by a person |" in first
    assert "The difference of two noises has variance 2." in first
    assert own == [SETUP, POOL, CHANCE]
    assert str(cases[0].calls[0][0][0, 0])[:8] not in file.read_text("utf8")


def test_gradescope_and_summary(graded):
    output, _ = graded
    made = json.loads((output / "gradescope" / "damaged.json").read_text("utf8"))
    assert made["score"] == 0
    assert [test["max_score"] for test in made["tests"]] == [2, 2, 2, 2]
    assert "damaged or cut short" in made["output"]
    summary = (output / "summary.md").read_text("utf8")
    assert "| *mean* | 1.33 | 0 |  |  | 1.33 | |" in summary
    assert "  0- 10 % ######################################## 2" in summary
    assert " 50- 60 % #################### 1" in summary


def test_text_of_a_student_is_shown_and_not_obeyed(graded):
    result = graded[1]["damaged"]
    hostile = dataclasses.replace(result, cells={1: "E: <script>|`x`[a](b)\x1b[31m$"})
    shown = "\n".join(report.lines(hostile))
    assert "<script>" not in shown.replace("\\<", "")
    assert "](" not in shown.replace("\\](", "")


def test_a_folder_without_notebooks_is_named(tmp_path):
    with pytest.raises(ValueError, match="no notebooks"):
        runs.find_submissions(tmp_path)


def test_the_command_asks_for_a_secret(assignment, folder, tmp_path, capsys):
    line = ["grade", str(folder), "--assignment", str(assignment.folder)]
    secret = tmp_path / "course.secret"
    assert cli.main([*line, "--secret", str(secret)]) == 2
    assert "make one with `coursework secret`" in capsys.readouterr().err
    assert cli.main(["secret", "--secret", str(secret)]) == 0
    assert len(secret.read_text()) == 65
    assert secret.stat().st_mode & 0o077 == 0
    assert cli.main(["secret", "--secret", str(secret)]) == 2  # never written over


def test_a_sandbox_that_does_not_work_stops_and_says_so(assignment, folder, tmp_path, monkeypatch):
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions' >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    for name in ("prlimit", "choom", "taskset", "setpriv", "env"):
        (tmp_path / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="does not work on this machine: bwrap: No permissions"):
        Sandbox(name="bubblewrap").require()
    (tmp_path / "bwrap").unlink()
    with pytest.raises(SandboxError, match="install the package bubblewrap"):
        Sandbox(name="bubblewrap").require()
