"""What is published: a branch that only grows, workflows that call make, one version."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def load(path):
    """Import a script by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


branch = load(Path("publish/branch.py"))
simulate = load(Path("colab/simulate.py"))
refresh = load(Path("colab/refresh.py"))


@pytest.fixture
def built(tmp_path):
    folder = tmp_path / "notebooks"
    (folder / "wheels").mkdir(parents=True)
    (folder / "data.ipynb").write_text("one")
    (folder / "wheels" / "a-1.whl").write_text("wheel")
    return folder


def test_the_branch_gets_an_edition_and_keeps_the_others(built, tmp_path):
    checkout = tmp_path / "checkout"
    added = branch.add(checkout, built, "1-aa")
    assert {str(path.relative_to(checkout)) for path in added} == {
        "1-aa/data.ipynb",
        "wheels/a-1.whl",
    }
    (built / "data.ipynb").write_text("two")
    assert branch.add(checkout, built, "1-bb") == [checkout / "1-bb" / "data.ipynb"]
    assert (checkout / "1-aa" / "data.ipynb").read_text() == "one"
    assert branch.add(checkout, built, "1-bb") == []


def test_the_branch_refuses_to_change_what_it_has(built, tmp_path):
    branch.add(tmp_path / "checkout", built, "1-aa")
    (built / "wheels" / "a-1.whl").write_text("another")
    (built / "new.ipynb").write_text("new")
    with pytest.raises(FileExistsError, match=r"wheels/a-1\.whl: expected no other content"):
        branch.add(tmp_path / "checkout", built, "1-aa")
    assert not (tmp_path / "checkout" / "1-aa" / "new.ipynb").exists()


def test_actions_are_pinned_by_commit_and_say_their_version():
    used = [
        line
        for path in WORKFLOWS
        for line in path.read_text("utf-8").splitlines()
        if "uses:" in line
    ]
    assert len(used) > 10
    for line in used:
        assert re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_workflows_call_targets_that_exist():
    help_text = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    targets = set(re.findall(r"^  make (\S+)", help_text.stdout, re.MULTILINE))
    called = set()
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text("utf-8"))
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            assert job["timeout-minutes"] <= 120
            for version in job.get("strategy", {}).get("matrix", {}).get("include", []):
                called.add(f"test-{version['versions']}")
            for step in job["steps"]:
                called |= set(re.findall(r"\bmake ([a-z-]+[a-z])", step.get("run", "")))
    assert {"test", "links", "colab", "release", "release-check", "test-floors"} <= called
    assert called <= targets


def test_the_version_stands_in_one_place():
    version = branch.base_version()
    text = (ROOT / "CITATION.cff").read_text("utf-8") + (ROOT / "lib/pyproject.toml").read_text(
        "utf-8"
    )
    assert not re.search(rf"^version\s*[:=]|\b{re.escape(version)}\b", text, re.MULTILINE)


def test_the_citation_names_the_book_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    settings = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    assert citation["title"] == settings["title"]
    assert citation["authors"] == [{"name": settings["author"]}]
    assert citation["references"][0]["type"] == "conference-paper"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "colab").glob("constraints-*.txt")), ids=lambda p: p.stem
)
def test_colabs_lists_allow_the_librarys_floors(path):
    pins = simulate.pins(path)
    assert simulate.python_of(path) in ("3.12", "3.13")
    assert set(simulate.roots(pins)) >= {"jax", "flax", "scikit-image", "ipykernel", "matplotlib"}
    assert set(simulate.roots(pins)) <= set(pins)
    assert (pins["jax"], pins["flax"]) == ("0.7.2", "0.11.2")


def test_a_name_without_a_python_is_refused():
    with pytest.raises(simulate.SimulationError, match="expected a name that ends in -py3NN"):
        simulate.python_of(Path("constraints-2026-08.txt"))


def test_a_list_of_packages_becomes_constraints():
    listed = "numpy==2.1.3\ntorch==2.8.0+cu126\ngoogle-colab @ file:///colabtools\n# made\n-e /x\n"
    assert refresh.pinned(listed) == ["numpy==2.1.3", "torch==2.8.0"]
    assert refresh.python_version("Ubuntu 22.04.4 LTS\nPython 3.12.13\n") == "312"
    with pytest.raises(ValueError, match="expected the version of Python"):
        refresh.python_version("Ubuntu 22.04")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Two notebooks and a wheel, and a simulation that only notes its sessions."""
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "prompt_attention-1-py3-none-any.whl").touch()
    for name in ("data", "models"):
        (tmp_path / f"{name}.ipynb").touch()
    sessions = []
    monkeypatch.setattr(simulate, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(simulate, "make_environment", lambda constraints, _: constraints)
    monkeypatch.setattr(simulate, "gather_packages", lambda *_: tmp_path)
    monkeypatch.setattr(simulate, "as_published", lambda notebook, _: notebook.stem)
    monkeypatch.setattr(
        simulate, "run_notebook", lambda made, where, *_: sessions.append((where.stem[-5:], made))
    )
    monkeypatch.setattr(sys, "argv", ["simulate.py"])
    monkeypatch.setattr(simulate.shutil, "which", lambda name: f"/usr/bin/{name}")
    return sessions


def test_a_python_that_is_missing_is_skipped_and_named(site, monkeypatch, capsys):
    here = {"3.12": None, "3.13": "/usr/bin/python3.13"}
    monkeypatch.setattr(simulate, "find_python", here.get)
    assert simulate.main() == 0
    said = capsys.readouterr().out
    assert "SKIPPED: constraints-2026-07-py312.txt needs Python 3.12, which is not here" in said
    assert said.endswith("2 passed, 0 failed, 2 skipped\n")
    assert site == [("py313", "data"), ("py313", "models")]


def test_without_bubblewrap_all_is_skipped_and_says_so(site, monkeypatch, capsys):
    monkeypatch.setattr(simulate.shutil, "which", lambda name: None)
    assert simulate.main() == 0
    assert "SKIPPED: bubblewrap (bwrap) was not found" in capsys.readouterr().out
    assert site == []


def test_a_notebook_that_fails_fails_the_run(site, monkeypatch, capsys):
    def fail(made, *_):
        raise simulate.SimulationError(f"{made}: no")

    monkeypatch.setattr(simulate, "find_python", lambda version: version)
    monkeypatch.setattr(simulate, "run_notebook", fail)
    assert simulate.main() == 4
    assert capsys.readouterr().out.endswith("0 passed, 4 failed, 0 skipped\n")
