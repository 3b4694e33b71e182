"""The search for hidden lines finds one wherever it may be published."""

import gzip
import html
import io
import json
import tarfile
import zipfile

import pytest

from coursework import build, cli, leaks, source

SOLUTION = "    weights = jnp.exp(scores - scores.max())"
HIDDEN = (
    "    p = math.erfc(mu / 2) / 2  # the difference of the noises has standard deviation sqrt(2)"
)


def packed(kind, name, text):
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(name, text)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def highlighted(line):
    words = (f"<span class='n'>{html.escape(word)}</span>" for word in line.split(" "))
    return f"<pre><span></span>{' '.join(words)}\n</pre>".encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.html", highlighted(SOLUTION)),
        ("page.html", highlighted(HIDDEN)),
        ("_sources/page.md", f"text\n{SOLUTION}\n".encode()),
        ("a.ipynb", json.dumps({"cells": [{"source": ["x\n", SOLUTION + "\n", "y"]}]}).encode()),
        ("a.ipynb", json.dumps({"cells": [{"source": f"x\n{SOLUTION}"}]}).encode()),
        ("wheels/a.whl", packed("zip", "a/b.py", HIDDEN)),
        ("deep.zip", packed("zip", "a.html", highlighted(SOLUTION).decode())),
        ("a.tar.gz", packed("tar", "hidden.py", HIDDEN)),
        ("searchindex.js", b'Search.setIndex({"terms":{"general_position":3}})'),
        (
            "rubric.txt",
            b"1 point: dots from `chance` with at least 1000 draws, logarithmic axis, "
            b"labelled axes.",
        ),
    ],
)
def test_a_hidden_line_is_found(assignment, tmp_path, name, content):
    file = tmp_path / "site" / name
    file.parent.mkdir(parents=True)
    (tmp_path / "site" / "objects.inv.gz").write_bytes(gzip.compress(b"nothing"))
    file.write_bytes(content.replace(b"1 point", b"# 1 point"))
    assert leaks.find(tmp_path / "site", [assignment])


def test_what_students_get_holds_nothing_hidden(assignment, tmp_path):
    build.write(assignment, tmp_path)
    (tmp_path / "page.md").write_text(build.page(assignment), "utf8")
    assert leaks.find(tmp_path, [assignment]) == []


def test_a_line_that_is_public_anyway_is_no_leak(assignment, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "page.md").write_text(SOLUTION, "utf8")
    (tmp_path / "chapter.md").write_text(SOLUTION, "utf8")
    assert leaks.find(tmp_path / "site", [assignment])
    assert leaks.find(tmp_path / "site", [assignment], [tmp_path / "chapter.md"]) == []


def test_the_command_names_the_place(assignment, tmp_path, capsys):
    line = ["scan", str(tmp_path), str(assignment.folder)]
    assert cli.main(line) == 0
    (tmp_path / "page.md").write_text(SOLUTION, "utf8")
    assert cli.main(line) == 1
    assert capsys.readouterr().err.startswith("page.md: weights=jnp.exp(")
    for name in ("hidden.py", "answers.md"):
        text = (assignment.folder / name).read_text("utf8")
        (tmp_path / "page.md").write_text(text, "utf8")
        assert cli.main(line) == 1


def test_the_example_has_lines_to_look_for(assignment):
    text = leaks.hidden_text(source.read(assignment.folder))
    assert SOLUTION in text
    assert HIDDEN in text
