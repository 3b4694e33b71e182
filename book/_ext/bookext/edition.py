"""Names for states of the sources: they change with the content, and with nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[3]
# What the notebooks are made of, and what makes them.
SOURCES = (
    "_config.yml",
    "_toc.yml",
    "requirements.lock",
    "assignments",
    "book",
    "lib/pyproject.toml",
    "lib/prompt_attention",
    "lib/coursework/coursework",
)
_LEFT_OUT = {"__pycache__", "tests"}
# The build writes the former, from other sources; no reader sees the latter.
_LEFT_OUT_OF = {"book": {"assignments", "checks"}}


def files_under(folder: Path, left_out: Iterable[str] = _LEFT_OUT) -> list[Path]:
    """Return a folder's files in a fixed order, without caches, tests and hidden ones."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(
            part.startswith(".") or part in left_out for part in path.relative_to(folder).parts
        )
    ]


def digest(files: Iterable[Path], root: Path, text: str = "") -> str:
    """Return ten hexadecimal digits for a text and the names and the contents of files."""
    state = hashlib.sha256(text.encode())
    for path in files:
        content = path.read_bytes()
        state.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return state.hexdigest()[:10]


def edition(version: str, addresses: str, root: Path = ROOT) -> str:
    """Return the name of the book as it stands: the library's version and a digest.

    The notebooks of an edition lie in a folder of this name, which never changes. So the name
    depends on all that they hold: the sources, the tools, and the addresses that their links lead
    to, which a fork has others of.
    """
    files: list[Path] = []
    for name in SOURCES:
        path = root / name
        left_out = _LEFT_OUT | _LEFT_OUT_OF.get(name, set())
        files += [path] if path.is_file() else files_under(path, left_out)
    return f"{version}-{digest(files, root, addresses)}"
