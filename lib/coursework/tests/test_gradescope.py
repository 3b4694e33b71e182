"""The autograder zip, unpacked where its container would be, grades and always says something."""

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nbformat
import pytest
from attacks import CHANCE, POOL, SETUP

from coursework import gradescope

SECRET = b"a secret for the tests"


@pytest.fixture(scope="module")
def container(assignment):
    """A folder that stands for the container's root, and its `run_autograder`.

    Not one of pytest's, which other users cannot enter.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield unpacked(Path(folder), assignment)


def unpacked(root, assignment):
    root.chmod(0o711)
    file = root / "autograder.zip"
    gradescope.write_zip(assignment, SECRET, file)
    source = root / "source"
    with zipfile.ZipFile(file) as packed:
        packed.extractall(source)
    (root / "submission").mkdir()
    text = (source / "run_autograder").read_text("utf8")
    text = text.replace("/opt/coursework/bin/python", sys.executable)
    text = text.replace("/autograder", str(root))
    text = text.replace("coursework.gradescope", "start")
    start = "from pathlib import Path\nfrom coursework import gradescope\n"
    start += f"gradescope.main(Path({str(root)!r}))\n"
    (source / "code" / "start.py").write_text(start, "utf8")
    (source / "run_autograder").write_text(text, "utf8")
    return root


def run(container, *submissions):
    for file in (container / "submission").iterdir():
        file.unlink()
    for number, cells in enumerate(submissions):
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        nbformat.write(made, container / "submission" / f"{number}.ipynb")
    subprocess.run(["bash", container / "source" / "run_autograder"], check=True, timeout=300)
    return json.loads((container / "results" / "results.json").read_text("utf8"))


def test_the_zip_is_the_same_each_time(container, assignment, tmp_path):
    gradescope.write_zip(assignment, SECRET, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (container / "autograder.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "again.zip") as packed:
        names = set(packed.namelist())
        assert packed.read("requirements.txt").decode().count("==") > 5
    assert {"setup.sh", "run_autograder", "assignments/pooling/hidden.py"} <= names
    assert "assignments/pooling/answers.md" not in names
    assert "code/coursework/runner.py" in names


def test_not_one_notebook_is_answered(container):
    assert run(container)["output"] == "Hand in one notebook (.ipynb), not 0."
    assert run(container, ["x = 1"], ["x = 2"])["score"] == 0


def test_a_grader_that_breaks_leaves_results(container):
    code = container / "source" / "secret.txt"
    code.rename(code.with_suffix(".away"))
    try:
        assert "tell your teacher" in run(container, ["x = 1"])["output"]
    finally:
        code.with_suffix(".away").rename(code)


@pytest.mark.skipif(os.geteuid() != 0, reason="setpriv changes the user, which only root can do")
def test_a_submission_is_graded_and_cannot_write_its_results(container):
    spy = f"""
seen = []
for path in ("source/secret.txt", "source/assignments/pooling/hidden.py", "results/results.json"):
    try:
        seen.append(open("{container}/" + path, "r+").read(1))
    except OSError:
        pass
raise RuntimeError(f"seen {{seen}}")
"""
    other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*other, sys.executable, "-c", ""], check=False).returncode:
        pytest.skip(f"other users cannot start {sys.executable}, which may lie in root's home")
    private = ["secret.txt", "assignments"]
    for name in private:
        (container / "source" / name).chmod(0o700)
    result = run(container, [SETUP, POOL, CHANCE, spy])
    assert result["score"] == 4
    assert "RuntimeError: seen \\[\\]" in result["output"]
