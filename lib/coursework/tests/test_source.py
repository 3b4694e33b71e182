"""Reading an assignment: what is hidden, what is a question, and what a mistake is called."""

import shutil

import pytest

from coursework import source

CELL = """# A title

```{{code-cell}} ipython3
{options}
{code}
```
"""
HEADER = "---\ncoursework: {hours: 1}\n---\n\n"
SOLVED = "def f():\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION"


def written(tmp_path, text):
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "one.md").write_text(text, "utf8")
    return folder


def test_the_example_is_read(assignment):
    assert assignment.title == "Attention pooling"
    assert [q.name for q in assignment.questions] == ["pool", "chance", "plot", "shift"]
    assert [q.manual for q in assignment.questions] == [False, False, True, True]
    assert assignment.points == 12
    assert assignment.question("plot").rubric.startswith("1 point: dots")


def test_hidden_parts_leave_a_placeholder_that_fits_their_place():
    shown, hidden = source.parts(SOLVED)
    assert shown == "def f():\n    # YOUR CODE HERE\n    raise NotImplementedError"
    assert hidden == {"SOLUTION": "    return 1"}
    shown, _ = source.parts("### BEGIN SOLUTION\nx = 1\n### END SOLUTION\ny = 2")
    assert shown == "...  # YOUR CODE HERE\ny = 2"
    shown, hidden = source.parts("### BEGIN RUBRIC\n2 points\n### END RUBRIC", "text")
    assert shown == ""
    assert hidden == {"RUBRIC": "2 points"}


@pytest.mark.parametrize(
    "text",
    [
        "### BEGIN SOLUTION\nx",
        "x\n### END SOLUTION",
        "### BEGIN SOLUTION\n### BEGIN RUBRIC\n### END RUBRIC\n### END SOLUTION",
        "### BEGIN SOLUTION\n### END RUBRIC",
    ],
)
def test_a_mark_without_its_partner_is_an_error(text):
    with pytest.raises(source.SourceError, match="has no partner"):
        source.parts(text)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (":points: 2", SOLVED, "names no question"),
        (":question: Pool\n:points: 2", SOLVED, "lower-case name, got 'Pool'"),
        (":question: pool\n:points: 0", SOLVED, "points must be a number > 0, got 0"),
        (":question: pool\n:points: 2", "x = 1", "holds no solution"),
        (":question: pool\n:points: 2\n:manual: true", SOLVED, "a rubric goes with"),
        (":question: pool\n:points: 2", SOLVED.replace("SOLUTION", "ANSWER"), "expected one of"),
        ("", "x = 1", "questions must be there"),
    ],
)
def test_a_mistake_of_the_author_is_named(tmp_path, options, code, message):
    folder = written(tmp_path, HEADER + CELL.format(options=options, code=code))
    with pytest.raises(source.SourceError, match=message):
        source.read(folder)


def test_a_title_and_hours_are_asked_for(tmp_path):
    folder = written(tmp_path, "# Title\n")
    with pytest.raises(source.SourceError, match=r"hours must be a number > 0, got None"):
        source.read(folder)
    (folder / "one.md").write_text(HEADER + "Text\n", "utf8")
    with pytest.raises(source.SourceError, match="a first cell with a title"):
        source.read(folder)


def test_an_assignment_is_found_by_name_or_path(tmp_path, assignment):
    shutil.copytree(assignment.folder, tmp_path / "pooling")
    assert source.find("pooling", tmp_path) == tmp_path / "pooling"
    assert source.find(str(tmp_path / "pooling")) == tmp_path / "pooling"
    with pytest.raises(source.SourceError, match="no assignment 'pools'"):
        source.find("pools", tmp_path)
