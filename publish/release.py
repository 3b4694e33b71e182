"""Makes what a release consists of, in ``_build/release``, and tries it in a clean environment.

    python publish/release.py           # wheel, source distribution, site and notebooks as archives
    python publish/release.py --check   # and install the wheel, run a notebook, look at each part
    python publish/release.py --tag v0.2.0   # fail unless that is the tag of this version

The version stands in ``lib/prompt_attention/__init__.py`` and nowhere else.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from bookext.citation import with_addresses  # noqa: E402
from bookext.repository import Publication  # noqa: E402
from bookext.wheel import base_version  # noqa: E402

SITE = ROOT / "_build" / "html"
RELEASE = ROOT / "_build" / "release"
TRIED = "data"


def run(*command: str | Path, **options) -> str:
    """Run a command and return what it printed; end with its complaint where it fails."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def build_distributions() -> tuple[Path, Path]:
    """Build source distribution and wheel of the library; return their paths."""
    script = (
        "import flit_core.buildapi as flit, sys; "
        "print(flit.build_sdist(sys.argv[1])); print(flit.build_wheel(sys.argv[1]))"
    )
    built = run(sys.executable, "-c", script, RELEASE, cwd=ROOT / "lib").split()
    for name in built:
        (RELEASE / name).chmod(0o644)
    return RELEASE / built[0], RELEASE / built[1]


def archive(folder: Path, name: str, keep: str = "*") -> Path:
    """Return a zip of a folder's files whose names match; they lie in one folder inside."""
    path = RELEASE / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        for file in sorted(folder.rglob(keep)):
            if file.is_file() and not file.name.startswith("."):
                written.write(file, Path(name) / file.relative_to(folder))
    return path


def check_citation() -> None:
    """Check CITATION.cff against the schema of the format, as it is and with a fork's addresses."""
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    if "version" in yaml.safe_load(text):
        raise SystemExit("CITATION.cff: expected no version, which stands in the library")
    tools = make_environment("citation", "cffconvert")
    fork = Publication.from_settings("owner/book", "", {})
    for name, tried in (("CITATION.cff", text), ("of a fork", with_addresses(text, fork))):
        file = RELEASE / ".citation" / "CITATION.cff"
        file.write_text(tried, "utf-8")
        said = run(tools.parent / "cffconvert", "--validate", "--infile", file)
        print(f"[release] {name}: {said.strip()}")


def check_changelog(version: str, *, released: bool) -> None:
    """Check that the changelog speaks of this version, or of what is to be released."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    wanted = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    if not re.search(wanted if released else rf"{wanted}|^## \[Unreleased\]$", text, re.M):
        raise SystemExit(f"CHANGELOG.md: expected a section [{version}] with its date")


def make_environment(name: str, *packages: str | Path) -> Path:
    """Return the Python of a new environment that holds these packages and nothing else."""
    folder = RELEASE / f".{name}"
    venv.create(folder, with_pip=True, clear=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *packages)
    return python


def check_distributions(source: Path, wheel: Path, version: str) -> None:
    """Check that both have the version and the same modules."""
    with zipfile.ZipFile(wheel) as opened:
        modules = {name for name in opened.namelist() if name.endswith(".py")}
    with tarfile.open(source) as opened:
        inside = {name.split("/", 1)[1] for name in opened.getnames() if name.endswith(".py")}
    if not modules or modules != {name for name in inside if name.startswith("prompt_attention/")}:
        raise SystemExit(f"{wheel.name} and {source.name} do not hold the same modules")
    for path in (source, wheel):
        if f"-{version}" not in path.name:
            raise SystemExit(f"{path.name}: expected the version {version}")


def check_archives(site: Path, notebooks: Path) -> None:
    """Check that the archives can be read and hold the pages and their notebooks."""
    with zipfile.ZipFile(site) as opened:
        if opened.testzip() or f"{site.stem}/index.html" not in opened.namelist():
            raise SystemExit(f"{site.name}: expected index.html and sound files")
    with zipfile.ZipFile(notebooks) as opened:
        held = {Path(name).name for name in opened.namelist()}
    made = {path.name for path in (SITE / "notebooks").rglob("*.ipynb")}
    if held != made or not made:
        raise SystemExit(f"{notebooks.name}: expected {sorted(made)}, got {sorted(held)}")


def try_notebook(notebooks: Path) -> None:
    """Install the notebooks' wheel in a clean environment and run one notebook from the archive."""
    (wheel,) = (SITE / "notebooks" / "wheels").glob("*.whl")
    python = make_environment("reader", f"{wheel}[plot,sweeps]", "ipykernel", "nbclient")
    folder = RELEASE / ".reading"
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(notebooks) as opened:
        opened.extract(f"{notebooks.stem}/{TRIED}.ipynb", folder)
    path = folder / notebooks.stem / f"{TRIED}.ipynb"
    nbformat.validate(nbformat.read(path, 4))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    run(python.parent / "jupyter-execute", path.name, cwd=path.parent, env=environment)
    print(f"[release] {TRIED}.ipynb runs with {wheel.name} in a clean environment")


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="try every part")
    parser.add_argument("--tag", help="the tag that is being released")
    asked = parser.parse_args()
    version = base_version()
    if asked.tag is not None and asked.tag != f"v{version}":
        raise SystemExit(f"tag: expected v{version}, got {asked.tag}")
    check_changelog(version, released=asked.tag is not None)
    RELEASE.mkdir(parents=True, exist_ok=True)
    for old in RELEASE.iterdir():  # of another version; what `make pdf` wrote stays
        if old.is_file() and old.suffix != ".pdf":
            old.unlink()
    source, wheel = build_distributions()
    site = archive(SITE, f"site-{version}")
    notebooks = archive(SITE / "notebooks", f"notebooks-{version}", "*.ipynb")
    if asked.check:
        check_distributions(source, wheel, version)
        check_archives(site, notebooks)
        check_citation()
        try_notebook(notebooks)
    for path in (source, wheel, site, notebooks):
        print(f"[release] {path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
