"""The author's check passes the example, and sees each way in which an assignment can be broken."""

import shutil

import pytest

from coursework import answers, check, cli, source


@pytest.fixture
def copied(tmp_path, assignment):
    folder = tmp_path / "pooling"
    shutil.copytree(assignment.folder, folder)
    return folder


def test_the_example_is_sound(assignment):
    assert list(check.faults(assignment, b"tests")) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("pooling.md", "X / weights.sum()", "X", "solution fails case general_position"),
        ("pooling.md", "[4.5, 5.5, 6.5]", "[4.5, 5.5, 6.6]", "cell 3 fails on the author's"),
        ("hidden.py", "close(softmax_pool(X, q), rtol=1e-3)", "holds(len)", "passes every case"),
        ("hidden.py", "rng.normal(size=(6, 3))", "np.ones((6, 3))", "passes every case"),
        ("answers.md", "### wrong: a constant", "### right: a constant", "'a constant': fails"),
        ("answers.md", "### right: one noise", "### wrong: one noise", "'one noise of variance 2'"),
    ],
)
def test_a_broken_assignment_is_noticed(copied, file, old, new, fault):
    text = (copied / file).read_text("utf8")
    assert old in text
    text = text.replace(old, new).replace("close, estimate", "close, estimate, holds")
    if new.startswith("np.ones"):  # tokens that are all the same do not tell weights apart
        text = text.replace("rng.normal(size=(7, 4))", "np.ones((7, 4))")
    (copied / file).write_text(text, "utf8")
    found = list(check.faults(source.read(copied), b"tests"))
    assert any(fault in line for line in found), found


def test_planted_answers_are_counted(copied):
    text = (copied / "answers.md").read_text("utf8")
    (copied / "answers.md").write_text(text.partition("## chance")[0], "utf8")
    (found,) = check.faults(source.read(copied), b"tests")
    assert found == "question chance has 0 planted wrong answers and 0 right ones, expected 3 and 2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("## pool\n### wrong, a constant\n", "expected '### wrong: ...'"),
        ("## pool\n```python\n```\n", "code without"),
        ("## pools\n", "no question 'pools'"),
    ],
)
def test_a_mistake_in_planted_answers_is_named(copied, text, message):
    (copied / "answers.md").write_text(text, "utf8")
    with pytest.raises(source.SourceError, match=message):
        answers.read(source.read(copied))


def test_the_command_builds_and_checks(copied, tmp_path, capsys):
    first = tmp_path / "first.py"
    first.write_text("print('hello')\n", "utf8")
    out = tmp_path / "out"
    line = ["build", str(copied), "--output", str(out), "--first-cell", str(first)]
    assert cli.main(line) == 0
    assert "print('hello')" in (out / "pooling.ipynb").read_text("utf8")
    (copied / "answers.md").unlink()
    assert cli.main(["check", str(copied)]) == 2
    assert "expected" in capsys.readouterr().err
    assert cli.main(["check", "nothing"]) == 2
