"""The library's wheel that notebooks install, named by what is in it.

The version is that of the library and a digest of its files, so a notebook can tell whether the
library that it finds is the one that it was made with, and a wheel never changes its content.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from flit_core.wheel import make_wheel_in

from .edition import ROOT, digest, files_under

LIBRARY = ROOT / "lib"
PACKAGE = "prompt_attention"
_VERSION = re.compile(r'^__version__ = "(?P<version>[^"]+)"$', re.MULTILINE)


def _files(library: Path) -> list[Path]:
    """Return the files that a wheel is made of."""
    return [library / "pyproject.toml", *files_under(library / PACKAGE)]


def base_version(library: Path = LIBRARY) -> str:
    """Return the library's version as its sources say it, the one place where it stands."""
    source = (library / PACKAGE / "__init__.py").read_text("utf-8")
    found = _VERSION.search(source)
    if found is None:
        raise ValueError(f'{library / PACKAGE / "__init__.py"}: expected __version__ = "..."')
    return found["version"]


def library_version(library: Path = LIBRARY) -> str:
    """Return the version with the digest of the files, such as 0.1.0+sha3f2a91c0b7."""
    return f"{base_version(library)}+sha{digest(_files(library), library)}"


def wheel_name(version: str) -> str:
    """Return the file name of the wheel of one version."""
    return f"{PACKAGE}-{version}-py3-none-any.whl"


def build_wheel(folder: Path, library: Path = LIBRARY) -> Path:
    """Build the wheel of the library as it stands, the same bytes each time; return its path."""
    version = library_version(library)
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary)
        for path in _files(library):
            target = copy / path.relative_to(library)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        init = copy / PACKAGE / "__init__.py"
        source = init.read_text("utf-8")
        init.write_text(_VERSION.sub(f'__version__ = "{version}"', source), "utf-8")
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("SOURCE_DATE_EPOCH", "1577836800")  # any day will do, but one
        built = make_wheel_in(copy / "pyproject.toml", folder).file
    built.chmod(0o644)  # it is made as a temporary file, which only its owner may read
    return built
