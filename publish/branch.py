"""Adds what a build made to a checkout of the branch of notebooks, where nothing ever changes.

    python publish/branch.py CHECKOUT

Notebooks go to a folder named by the edition, wheels to ``wheels/``. What is there already must be
the same, byte by byte, so that a link to an old edition keeps its meaning.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from bookext.edition import edition  # noqa: E402
from bookext.repository import WHEELS, Publication  # noqa: E402
from bookext.wheel import base_version  # noqa: E402

NOTEBOOKS = ROOT / "_build" / "html" / "notebooks"


def add(checkout: Path, notebooks: Path, name: str) -> list[Path]:
    """Copy the files that the branch lacks, and return them.

    Raises:
        FileExistsError: a file is there with another content; nothing is copied then.
    """
    missing: list[tuple[Path, Path]] = []
    for path in sorted(notebooks.rglob("*")):
        if not path.is_file():
            continue
        inside = path.relative_to(notebooks)
        target = checkout / (inside if inside.parts[0] == WHEELS else Path(name) / inside)
        if not target.exists():
            missing.append((path, target))
        elif target.read_bytes() != path.read_bytes():
            raise FileExistsError(f"{target.relative_to(checkout)}: expected no other content")
    for path, target in missing:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return [target for _, target in missing]


def main() -> None:
    """Add this build to the checkout that the command line names."""
    checkout = Path(sys.argv[1])
    if not (checkout / ".git").exists():
        raise SystemExit(f"expected a checkout of the branch of notebooks, got {checkout}")
    addresses = Publication.from_environment().addresses
    for path in add(checkout, NOTEBOOKS, edition(base_version(), addresses)):
        print(path.relative_to(checkout))


if __name__ == "__main__":
    main()
