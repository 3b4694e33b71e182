"""Runs every notebook of the book in environments like Colab's, one after another.

For each file ``constraints-*.txt`` a Python of that version gets the packages that Colab has of
those that the library asks for, at Colab's versions. Every notebook then runs in a fresh copy of
it, in an empty folder, under bubblewrap: without the network but for loopback, and without this
repository. It fails if a cell fails, if a package that was there has another version afterwards,
or if a notebook takes too long. `colab/tests` plants each of these faults.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
WORK = ROOT / "_build" / "colab"
NOTEBOOKS = ROOT / "_build" / "html" / "notebooks"
RUNNER = Path(__file__).with_name("run_notebook.py")
LIMIT = 300.0
PORT = 8765
IMAGE = "us-docker.pkg.dev/colab-images/public/runtime"
# What a session has, and what runs a notebook, besides what the library asks for.
SESSION = ("ipykernel", "ipython", "matplotlib", "nbclient", "numpy", "pillow")
INSIDE = Path("/tmp/content")


class SimulationError(Exception):
    """A notebook or an environment that is not what it should be."""


def python_of(constraints: Path) -> str:
    """Return the version of Python that a file of constraints is for, such as 3.13."""
    found = re.search(r"py(\d)(\d+)\.txt$", constraints.name)
    if found is None:
        raise SimulationError(f"{constraints.name}: expected a name that ends in -py3NN.txt")
    return f"{found[1]}.{found[2]}"


def find_python(version: str) -> str | None:
    """Return a Python of this version: one of pyenv's, else one of the path, else None."""
    installed = Path.home() / ".pyenv" / "versions"
    candidates = sorted(installed.glob(f"{version}.*/bin/python"))
    return str(candidates[-1]) if candidates else shutil.which(f"python{version}")


def pins(constraints: Path) -> dict[str, str]:
    """Return version by package, names written as packaging tools compare them."""
    lines = constraints.read_text("utf-8").splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {canonical(name): version.strip() for name, version in pairs}


def canonical(name: str) -> str:
    """Return a package's name as tools compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def roots(wanted: dict[str, str], library: Path = ROOT / "lib") -> list[str]:
    """Return what to install of Colab's packages; the rest of them follows from these."""
    project = tomllib.loads((library / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = project["dependencies"] + extras["plot"] + extras["sweeps"]
    names = {canonical(re.match(r"[\w.-]+", requirement)[0]) for requirement in asked}
    return sorted({*SESSION, *(names & wanted.keys())})


def call(*command: str | Path, **options) -> str:
    """Run a command; return what it printed, or raise with what it complained of."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    if done.returncode:
        raise SimulationError(
            f"{' '.join(map(str, command[:6]))} ... failed:\n{done.stderr[-4000:]}"
        )
    return done.stdout


def installed(python: Path) -> dict[str, str]:
    """Return version by package of an environment."""
    listed = call(python, "-m", "pip", "--disable-pip-version-check", "list", "--format=json")
    return {canonical(item["name"]): item["version"] for item in json.loads(listed)}


def make_environment(constraints: Path, interpreter: str) -> Path:
    """Make the environment, or take the one that was made from the same constraints."""
    folder = WORK / constraints.stem.removeprefix("constraints-")
    wanted = pins(constraints)
    chosen = roots(wanted)
    state = hashlib.sha256(constraints.read_bytes() + repr((chosen, interpreter)).encode())
    stamp = folder / ".complete"
    if stamp.is_file() and stamp.read_text() == state.hexdigest():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    print(f"[colab] {folder.name}: installing Colab's versions", flush=True)
    call(interpreter, "-m", "venv", folder)
    pip = (folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install")
    call(*pip, "--quiet", f"pip=={wanted['pip']}")
    call(*pip, "--quiet", "--constraint", constraints, *chosen)
    found = installed(folder / "bin" / "python")
    # Colab has taken away some of what its packages ask for (jedi).
    if absent := sorted(found.keys() - wanted.keys()):
        call(*pip[:-1], "uninstall", "--quiet", "--yes", *absent)
    strange = {
        name: version
        for name, version in installed(folder / "bin" / "python").items()
        if wanted.get(name) != version
    }
    if strange:
        raise SimulationError(f"{folder.name}: Colab has other versions than {strange}")
    stamp.write_text(state.hexdigest())
    return folder


def fresh_copy(environment: Path) -> Path:
    """Return a copy of an environment that shares its files until they are replaced."""
    copy = WORK / "session"
    shutil.rmtree(copy, ignore_errors=True)
    call("cp", "--archive", "--link", environment, copy)
    return copy


def first_cell_for(address: str, wheel: Path) -> str:
    """Return the notebooks' first cell with another address of the wheel."""
    source = (NOTEBOOKS / "first-cell.py").read_text("utf-8").rstrip()
    if f'VERSION = "{wheel.name.split("-")[1]}"' not in source:
        raise SimulationError(f"first-cell.py asks for another version than {wheel.name}")
    replaced, count = re.subn(r'^WHEEL = ".*"$', f'WHEEL = "{address}"', source, flags=re.M)
    if count != 1:
        raise SimulationError('first-cell.py: expected one line WHEEL = "..."')
    return replaced


def gather_packages(environment: Path, wheel: Path) -> Path:
    """Return a folder with the wheel and an index of what the first cell adds to Colab.

    The first cell itself says what that is: it runs once with the network, from the wheel's path.
    """
    folder = WORK / "packages" / environment.name
    stamp = folder / ".complete"
    state = f"{wheel.name} {(environment / '.complete').read_text()}"
    if stamp.is_file() and stamp.read_text() == state:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "wheels").mkdir(parents=True)
    shutil.copy(wheel, folder / "wheels")
    session = fresh_copy(environment)
    python, before = session / "bin" / "python", installed(environment / "bin" / "python")
    call(python, "-c", first_cell_for(wheel.as_uri(), wheel))
    added = {name: v for name, v in installed(python).items() if before.get(name) != v}
    added.pop("prompt-attention")
    for name, version in added.items():
        target = folder / "simple" / name
        pip = (python, "-m", "pip", "--disable-pip-version-check", "download", "--quiet")
        call(*pip, "--no-deps", "--dest", target, f"{name}=={version}")
    stamp.write_text(state)
    return folder


def in_sandbox(session: Path, packages: Path, content: Path, *command: str | Path) -> list[str]:
    """Return the command inside bubblewrap: no network but loopback, no repository, empty home."""
    where = ["--tmpfs", "/tmp", "--tmpfs", Path.home() if str(Path.home()) != "/" else "/tmp"]
    pyenv = Path.home() / ".pyenv" / "versions"
    shown = ["--ro-bind", pyenv, pyenv] if pyenv.is_dir() else []
    return list(
        map(
            str,
            [
                *("bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
                *where,
                *shown,
                *("--tmpfs", ROOT, "--bind", session, session, "--ro-bind", packages, packages),
                *("--ro-bind", RUNNER, "/tmp/run_notebook.py", "--bind", content, INSIDE),
                *("--chdir", INSIDE, "--setenv", "HOME", INSIDE, "--unshare-net", "--unshare-pid"),
                *("--die-with-parent", *command),
            ],
        )
    )


def as_published(notebook: Path, wheel: Path) -> nbformat.NotebookNode:
    """Return a notebook whose first cell finds the wheel on loopback."""
    made = nbformat.read(notebook, 4)
    if made.cells[0].source != (NOTEBOOKS / "first-cell.py").read_text("utf-8").rstrip():
        raise SimulationError(f"{notebook.name}: its first cell is not first-cell.py")
    address = f"http://127.0.0.1:{PORT}/wheels/{wheel.name.replace('+', '%2B')}"
    made.cells[0].source = first_cell_for(address, wheel)
    return made


def run_notebook(
    made: nbformat.NotebookNode, environment: Path, packages: Path, limit: float = LIMIT
) -> str:
    """Run one notebook in a session of its own; return one line about it.

    Raises:
        SimulationError: a cell failed or wrote to stderr, the notebook took too long, or a package
            that was there has another version or is gone.
    """
    session, content = fresh_copy(environment), WORK / "content"
    shutil.rmtree(content, ignore_errors=True)
    content.mkdir()
    nbformat.write(made, content / "notebook.ipynb")
    python, runner = session / "bin" / "python", Path("/tmp/run_notebook.py")
    command = in_sandbox(
        session, packages, content, python, runner, "notebook.ipynb", packages, str(limit)
    )
    done = subprocess.run(command, capture_output=True, text=True)
    report = re.search(r"^REPORT (.*)$", done.stdout, re.M)
    if report is None:
        raise SimulationError(f"no report: {done.stderr[-4000:]}")
    found = json.loads(report[1])
    if found["problem"]:
        raise SimulationError(found["problem"])
    if found["changed"]:
        changes = ", ".join(
            f"{name} from {before} to {after or 'nothing'}"
            for name, (before, after) in found["changed"].items()
        )
        raise SimulationError(f"changed packages that Colab has: {changes}")
    return f"passed in {found['seconds']:.0f} s; added {', '.join(found['added'])}"


def run_in_image(notebooks: list[Path], wheel: Path) -> int:
    """Run notebooks in Colab's public image, with the network; return how many failed."""
    folder, failed = WORK / "image", 0
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(wheel, folder)
    for notebook in notebooks:
        made = nbformat.read(notebook, 4)
        made.cells[0].source = first_cell_for(f"file:///content/{wheel.name}", wheel)
        nbformat.write(made, folder / notebook.name)
        docker = ["docker", "run", "--rm", f"--volume={folder}:/content", "--workdir=/content"]
        execute = ("jupyter", "execute", f"--timeout={LIMIT:.0f}", notebook.name)
        done = subprocess.run([*docker, "--entrypoint=", IMAGE, *execute])
        failed += done.returncode != 0
        print(f"[colab] image {notebook.stem}: {'FAILED' if done.returncode else 'passed'}")
    return failed


def main() -> int:
    """Run what the command line asks for; return how many notebooks failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", help="names of pages; all by default")
    parser.add_argument("--python", help="only this version, such as 3.13")
    parser.add_argument(
        "--seconds", type=float, default=LIMIT, help="for a notebook; more on a busy machine"
    )
    parser.add_argument("--image", action="store_true", help="in Colab's public image, by docker")
    asked = parser.parse_args()
    if not asked.image and shutil.which("bwrap") is None:
        print("[colab] SKIPPED: bubblewrap (bwrap) was not found; install it to simulate Colab")
        return 0
    (wheel,) = (NOTEBOOKS / "wheels").glob("*.whl")
    # Those of assignments, in a folder of their own, fail until they are answered.
    notebooks = sorted(NOTEBOOKS.glob("*.ipynb"))
    if asked.notebooks:
        notebooks = [path for path in notebooks if path.stem in asked.notebooks]
    if asked.image:
        return run_in_image(notebooks, wheel)
    passed = failed = skipped = 0
    for constraints in sorted(Path(__file__).parent.glob("constraints-*.txt")):
        version = python_of(constraints)
        if asked.python not in (None, version):
            continue
        interpreter = find_python(version)
        if interpreter is None:
            print(f"[colab] SKIPPED: {constraints.name} needs Python {version}, which is not here")
            skipped += len(notebooks)
            continue
        environment = make_environment(constraints, interpreter)
        packages = gather_packages(environment, wheel)
        for notebook in notebooks:
            started = time.monotonic()
            try:
                made = as_published(notebook, wheel)
                said = run_notebook(made, environment, packages, asked.seconds)
                passed += 1
            except SimulationError as error:
                said = f"FAILED after {time.monotonic() - started:.0f} s: {error}"
                failed += 1
            print(f"[colab] {environment.name} {notebook.stem}: {said}", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return failed


if __name__ == "__main__":
    sys.exit(min(main(), 100))
