"""Every figure says where it comes from: commit, seeds, parameters, and the code that made it."""

import subprocess
from pathlib import Path

import pytest

from bookext.provenance import ARCHIVED, commit, origin, versions

ROOT = Path(__file__).parents[2]
IMPORTS = """%config InlineBackend.figure_formats = ["svg"]
import jax
import numpy as np
from prompt_attention import data, plotting
from prompt_attention.plotting import data as draw
"""
SETUP = """core = data.core_model(dim=20, sparsity=0.1)
batch = core.sample(jax.random.key(1), 40)
unused = core.sample(jax.random.key(2), 40)
style = {"color": "black"}
"""
FIGURE = """figure, ax = plt.subplots()
draw.plot_plane(ax, batch.tokens, marker=3)
ax.plot(x, x**2, **style)
"""


def made(*cells):
    return origin([IMPORTS, *cells])


def test_only_what_the_figure_needs_is_kept():
    found = made(SETUP, "x = np.arange(3)", FIGURE)
    assert found.seeds == ("1",)
    assert found.parameters == {"dim": "20", "sparsity": "0.1"}
    assert "unused" not in found.code
    assert "import" not in found.code
    assert found.code.splitlines()[-1] == "ax.plot(x, x**2, **style)"


def test_a_name_that_is_set_anew_ends_the_search():
    first = "x = np.random.default_rng(7).normal(size=3)"
    assert made(SETUP, first, FIGURE).seeds == ("1", "7")
    assert made(SETUP, first, "x = np.arange(3)", FIGURE).seeds == ("1",)


@pytest.mark.parametrize(
    "change",
    ["x[0] = jax.random.key(5)", "x += jax.random.key(5)", "x.append(jax.random.key(5))",
     "for i in range(3):\n    x.append(jax.random.key(5))", "x.y = jax.random.key(5)"],
)  # fmt: skip
def test_a_name_that_is_changed_keeps_its_past(change):
    assert made("x = [jax.random.key(4)]", change, FIGURE).seeds == ("4", "5")


def test_an_earlier_drawing_is_not_the_figure_s():
    other = "figure, ax = plt.subplots()\nax.plot(jax.random.key(9))\nplotting.use_style()\n"
    assert made(SETUP, "x = np.arange(3)", other, FIGURE).seeds == ("1",)


def test_what_a_function_or_a_loop_binds_is_its_own():
    before = "t = jax.random.key(8)\nx = [1]\nrows = [2]\n"
    local = "def f(t):\n    k = t\n    return k\n"
    loop = "figure, ax = plt.subplots()\nfor t in rows:\n    ax.plot([f(t) for k in x])\n"
    found = made(before, local, loop)
    assert found.seeds == ()
    assert "rows = [2]" in found.code
    assert "def f(t):" in found.code


def test_the_kept_part_makes_the_same_numbers():
    cells = [
        "import numpy as np",
        "a = np.random.default_rng(3).normal(size=4)\nb = a + 1\n@np.vectorize\n"
        "def double(v):\n    return 2 * v\n",
        "rows = {}\nfor name in ('one', 'two'):\n    rows[name] = double(b).sum()\nb = None\n",
        "total = rows['one'] + rows['two']",
    ]
    whole, part = {}, {"np": __import__("numpy")}
    exec("\n".join(cells), whole)
    exec(origin(cells).code, part)
    assert part["total"] == whole["total"]
    assert "b = None" not in origin(cells).code


def test_a_checkout_knows_its_commit_and_says_when_it_was_changed(tmp_path):
    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path), *arguments],
            check=True,
            capture_output=True,
        )

    git("init", "-q")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-qm", "first")
    assert len(commit(tmp_path)) == 40
    (tmp_path / "file").write_text("two")
    assert commit(tmp_path).endswith(", with changes")
    inside = tmp_path / "unpacked"  # an archive that lies in another repository
    inside.mkdir()
    (inside / ARCHIVED).write_text("abc123\n")
    assert commit(inside) == "abc123"


def test_an_archive_knows_its_commit_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    (tmp_path / ARCHIVED).write_text("0123abc\n")
    assert commit(tmp_path) == "0123abc"
    (tmp_path / ARCHIVED).write_text("$" + "Format:%H$\n")
    assert commit(tmp_path) == "no commit is known"


def test_archives_are_told_their_commit():
    assert f"/{ARCHIVED} export-subst" in (ROOT / ".gitattributes").read_text().splitlines()
    assert (ROOT / ARCHIVED).read_text().strip() == "$" + "Format:%H$"


def test_versions_are_those_that_run():
    assert versions(["numpy"])["numpy"] == __import__("numpy").__version__
