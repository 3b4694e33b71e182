"""Reading what a student handed in: any file may come, and none is trusted."""

import dataclasses
import hashlib
import json
import os
import re
import stat
from pathlib import Path

from coursework import build
from coursework.source import Assignment, has_tag

LARGEST = 10 << 20  # bytes
MOST_CELLS = 2000
_DEFINES = re.compile(r"^\s*(?:async\s+def|def|class|import|from)\b", re.MULTILINE)


class UnreadableError(ValueError):
    """The file is not a notebook that can be graded; the message tells the student why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Submission:
    """A notebook as handed in.

    Args:
        digest: SHA-256 of the file.
        cells: its cells: kind, source, metadata and id, whatever was left of them.
    """

    digest: str
    cells: tuple[dict, ...]

    def code(self) -> list[str]:
        """The sources of all code cells."""
        return [cell["source"] for cell in self.cells if cell["cell_type"] == "code"]


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file of at most 10 MiB; follows no symbolic link.

    Raises:
        UnreadableError: it is something else.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        reason = "a symbolic link" if path.is_symlink() else f"not readable ({error.strerror})"
        raise UnreadableError(f"The file is {reason}. Hand in the notebook itself.") from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise UnreadableError("This is not a file. Hand in the notebook itself.")
    with os.fdopen(file, "rb") as stream:
        content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise UnreadableError(
            "The file is larger than 10 MiB. Clear its outputs and hand it in again."
        )
    return content


def _text(source) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _cell(raw) -> dict | None:
    if not isinstance(raw, dict) or raw.get("cell_type") not in ("code", "markdown"):
        return None
    metadata = raw.get("metadata")
    return {
        "cell_type": raw["cell_type"],
        "source": _text(raw.get("source", "")),
        "metadata": metadata if isinstance(metadata, dict) else {},
        "id": str(raw.get("id", "")),
    }


def parse(content: bytes) -> Submission:
    """Read a version-4 notebook, whatever its metadata look like.

    Raises:
        UnreadableError: it is not one.
    """
    digest = hashlib.sha256(content).hexdigest()
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UnreadableError("The file is not text, so it is no notebook (.ipynb).") from None
    except RecursionError:
        raise UnreadableError("The file is nested too deeply to be a notebook.") from None
    except ValueError as error:
        where = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        raise UnreadableError(
            f"The file is damaged or cut short{where}. Download the notebook again."
        ) from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise UnreadableError("The file holds no cells. Save it as a notebook of version 4.")
    if len(cells) > MOST_CELLS:
        raise UnreadableError(f"The notebook has more than {MOST_CELLS} cells.")
    found = tuple(cell for cell in map(_cell, cells) if cell is not None)
    return Submission(digest=digest, cells=found)


def _plain(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


def cells_to_run(submission: Submission, assignment: Assignment) -> list[str]:
    """The code cells in their order, with those that grading skips left empty.

    Skipped are the first cell that prepares a kernel, public checks (known by their tag or their
    text; the grader runs the author's own), and experiments that define nothing.
    """
    given = build.student_notebook(assignment).cells
    checks = {_plain(cell.source) for cell in given if has_tag(cell, "check")}
    experiments = {cell.id for cell in given if has_tag(cell, "experiment")}
    cells = []
    for cell in submission.cells:
        if cell["cell_type"] != "code":
            continue
        source = cell["source"]
        skipped = has_tag(cell, "setup") or has_tag(cell, "check") or _plain(source) in checks
        if has_tag(cell, "experiment") or cell["id"] in experiments:
            skipped = skipped or not _DEFINES.search(source)
        cells.append("" if skipped else source)
    return cells
