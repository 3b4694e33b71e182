"""Writes a new file of constraints from the package list that Colab publishes.

    python colab/refresh.py            # from Colab's public repository
    python colab/refresh.py LIST       # from a file that `pip freeze` wrote in a Colab session

The list names packages by version, by address or by folder; only versions can be asked for
elsewhere. Files older than the two newest are for the maintainer to delete.
"""

from __future__ import annotations

import datetime
import re
import sys
import urllib.request
from pathlib import Path

PUBLISHED = "https://raw.githubusercontent.com/googlecolab/backend-info/main/pip-freeze.txt"
# In the same repository: says which Python the list is for.
SYSTEM = "https://raw.githubusercontent.com/googlecolab/backend-info/main/os-info.txt"
_PINNED = re.compile(r"([A-Za-z0-9][\w.-]*)==([\w.!+-]+)\s*")
_PYTHON = re.compile(r"[Pp]ython[^\d\n]*(\d)\.(\d+)")


def pinned(listed: str) -> list[str]:
    """Return the lines of a list that name a version, sorted; local versions lose their label."""
    found = (_PINNED.fullmatch(line) for line in listed.splitlines())
    return sorted(f"{match[1]}=={match[2].partition('+')[0]}" for match in found if match)


def python_version(system: str) -> str:
    """Return the digits of the Python that a description of the system names, such as 313."""
    found = _PYTHON.search(system)
    if found is None:
        raise ValueError(f"os-info.txt: expected the version of Python, got {system[:200]!r}")
    return found[1] + found[2]


def read(address: str) -> str:
    """Return the text at an address of the web or at a path."""
    if "://" not in address:
        return Path(address).read_text("utf-8")
    with urllib.request.urlopen(address, timeout=60) as answer:
        return answer.read().decode()


def main() -> None:
    """Write the file."""
    lines = pinned(read(sys.argv[1] if len(sys.argv) > 1 else PUBLISHED))
    if len(lines) < 100 or not any(line.startswith("jax==") for line in lines):
        raise ValueError(f"expected Colab's list of packages with jax, got {len(lines)} lines")
    python = "".join(map(str, sys.version_info[:2])) if len(sys.argv) > 1 else None
    python = python or python_version(read(SYSTEM))
    month = datetime.date.today().strftime("%Y-%m")
    path = Path(__file__).with_name(f"constraints-{month}-py{python}.txt")
    path.write_text("\n".join(lines) + "\n", "utf-8")
    print(path)


if __name__ == "__main__":
    main()
