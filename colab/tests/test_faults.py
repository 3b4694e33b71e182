"""Faults that the simulation is there to find, each planted in a notebook of its own.

`make colab` runs these after the book's notebooks, in the newest of its environments.
"""

import importlib.util
import shutil
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

COLAB = Path(__file__).parents[1]
sys.path.insert(0, str(COLAB.parent / "book" / "_ext"))

from bookext.notebooks import first_cell as library  # noqa: E402


def load(name):
    """Import a script of the folder."""
    spec = importlib.util.spec_from_file_location(name, COLAB / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


simulate = load("simulate")
pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


@pytest.fixture(scope="session")
def environment():
    """The newest environment whose Python is here."""
    for constraints in sorted(COLAB.glob("constraints-*.txt"), reverse=True):
        if interpreter := simulate.find_python(simulate.python_of(constraints)):
            return simulate.make_environment(constraints, interpreter)
    pytest.skip("none of Colab's versions of Python is here")


def write_wheel(path, requires=()):
    """Write a wheel that holds one empty module and asks for some packages."""
    name, version = path.name.split("-")[:2]
    asked = "".join(f"Requires-Dist: {package}\n" for package in requires)
    about = (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: plot\n{asked}"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", "")
        for file, text in (
            ("METADATA", about + "Provides-Extra: plot\n"),
            ("WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n"),
            ("RECORD", ""),
        ):
            wheel.writestr(f"{name}-{version}.dist-info/{file}", text)


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """A release of tqdm that Colab does not have yet, and a library that asks for it."""
    folder = tmp_path_factory.mktemp("packages")
    write_wheel(folder / "simple" / "tqdm" / "tqdm-999.0-py3-none-any.whl")
    write_wheel(folder / "wheels" / "prompt_attention-9.0-py3-none-any.whl", ["tqdm>=999"])
    write_wheel(folder / "wheels" / "prompt_attention-8.0-py3-none-any.whl", ["tqdm>=4"])
    return folder


def outcome(environment, packages, *cells, limit=60.0):
    """Return what the simulation says of a notebook with these cells."""
    made = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    try:
        return simulate.run_notebook(made, environment, packages, limit)
    except simulate.SimulationError as error:
        return f"FAILED {error}"


PIP = "import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'pip', '-q', {}], check=True)"


FAULTS = {
    "fails": (["1 / 0"], "ZeroDivisionError: division by zero"),
    "complains": (["import sys; print('old', file=sys.stderr)"], "a cell wrote to stderr: old"),
    "upgrades": ([PIP.format("'install', '-U', 'tqdm'")], "that Colab has: tqdm from 4."),
    "removes": ([PIP.format("'uninstall', '-y', 'optax'")], "Colab has: optax from 0.2.8 to"),
    "reads the sources": ([f"open({str(COLAB.parent / 'README.md')!r})"], "FileNotFoundError"),
    "reads above": (["open('../data.csv')"], "FileNotFoundError"),
    "writes elsewhere": (["import os; os.makedirs('/data')"], "Read-only file system"),
    "asks a name": (
        ["import urllib.request", "urllib.request.urlopen('https://example.org')"],
        "Temporary failure in name resolution",
    ),
    "asks an address": (
        ["import socket", "socket.create_connection(('1.1.1.1', 443))"],
        "Network is unreachable",
    ),
    "dies": (["import os; os._exit(1)"], "DeadKernelError: Kernel died"),
}


@pytest.mark.parametrize(("cells", "said"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found_and_named(environment, packages, cells, said):
    found = outcome(environment, packages, *cells)
    assert found.startswith("FAILED")
    assert said in found


def test_a_notebook_that_takes_too_long_is_ended_and_its_cell_is_named(environment, packages):
    found = outcome(
        environment, packages, "value = 1", "import time\ntime.sleep(120)", "value = 2", limit=15.0
    )
    assert found == (
        "FAILED took more than 15 s, and was at this cell:\nimport time\ntime.sleep(120)"
    )


def test_a_notebook_without_a_fault_passes(environment, packages):
    found = outcome(environment, packages, "import google.colab, jax\nopen('a.csv', 'w').close()")
    assert found.startswith("passed in ")


def test_a_fault_leaves_the_environment_as_it_was(environment, packages):
    before = simulate.installed(environment / "bin" / "python")
    outcome(environment, packages, PIP.format("'install', '-U', 'tqdm'"))
    assert simulate.installed(environment / "bin" / "python") == before


def first_cell(version):
    """The first cell of a notebook that was made with one of the two libraries."""
    name = f"prompt_attention-{version}-py3-none-any.whl"
    return library.first_cell(version, f"http://127.0.0.1:{simulate.PORT}/wheels/{name}")


def test_the_first_cell_refuses_a_library_that_would_change_a_package(environment, packages):
    found = outcome(environment, packages, first_cell("9.0"), "import prompt_attention")
    assert found.startswith("FAILED CellExecutionError")
    assert "pip install failed" in found
    assert "tqdm>=999" in found


def test_the_first_cell_installs_a_library_that_changes_none(environment, packages):
    found = outcome(environment, packages, first_cell("8.0"), "import prompt_attention")
    assert found.endswith("added prompt_attention")
