"""An assignment as its author wrote it: `<name>/<name>.md`, read into cells and questions."""

import dataclasses
import re
from pathlib import Path

import jupytext
import nbformat

HIDDEN_PARTS = ("SOLUTION", "RUBRIC")
PLACEHOLDERS = {
    "function": "# YOUR CODE HERE\n{indent}raise NotImplementedError",
    "top": "...  # YOUR CODE HERE",
    "text": "*Your answer here.*",
}
_MARK = re.compile(r"^(?P<indent>\s*)### (?P<edge>BEGIN|END) (?P<part>\w+)\s*$")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class SourceError(ValueError):
    """The source of an assignment breaks a rule; the message says which, and where."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """One question.

    Args:
        name: unique in the assignment; cases and planted answers refer to it.
        points: what a full answer earns.
        manual: whether a person grades it.
        cell: index of its answer cell among the assignment's cells.
        rubric: what the grader looks for, for the teacher only; empty when not manual.
    """

    name: str
    points: float
    manual: bool
    cell: int
    rubric: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Assignment:
    """An assignment as written, solutions included.

    Args:
        name: the name of its folder.
        folder: where it lies.
        title: its first heading.
        hours: estimated time of work.
        packages: importable packages that answers may use besides the scientific stack.
        notebook: all cells, solutions included.
        questions: in the order of the page.
    """

    name: str
    folder: Path
    title: str
    hours: float
    packages: tuple[str, ...]
    notebook: nbformat.NotebookNode
    questions: tuple[Question, ...]

    @property
    def points(self) -> float:
        """The points of all questions together."""
        return sum(question.points for question in self.questions)

    def question(self, name: str) -> Question:
        """The question of that name.

        Raises:
            SourceError: there is none.
        """
        for question in self.questions:
            if question.name == name:
                return question
        known = ", ".join(question.name for question in self.questions)
        raise SourceError(f"{self.name}: no question {name!r}, expected one of {known}")


def parts(source: str, kind: str = "function") -> tuple[str, dict[str, str]]:
    """Split a cell's source into what a student gets and the hidden parts, by their name.

    Args:
        source: the text of a cell.
        kind: "code" puts a placeholder that raises into functions and `...` elsewhere, "text" a
            line of Markdown.

    Raises:
        SourceError: a mark without its partner, or of an unknown name.
    """
    shown, hidden, inside = [], {}, None
    for line in source.splitlines():
        mark = _MARK.match(line)
        if mark is None:
            if inside is None:
                shown.append(line)
            else:
                hidden[inside].append(line)
            continue
        part, edge, indent = mark["part"], mark["edge"], mark["indent"]
        if part not in HIDDEN_PARTS:
            raise SourceError(f"{line.strip()!r}: expected one of {', '.join(HIDDEN_PARTS)}")
        if (edge == "BEGIN") != (inside is None) or (edge == "END" and inside != part):
            raise SourceError(f"{line.strip()!r} has no partner")
        if edge == "BEGIN":
            inside = part
            hidden.setdefault(part, [])
            if part == "SOLUTION":
                key = kind if kind == "text" else ("function" if indent else "top")
                shown.append(indent + PLACEHOLDERS[key].format(indent=indent))
        else:
            inside = None
    if inside is not None:
        raise SourceError(f"'### BEGIN {inside}' has no partner")
    return "\n".join(shown), {part: "\n".join(lines) for part, lines in hidden.items()}


def cell_parts(cell: nbformat.NotebookNode) -> tuple[str, dict[str, str]]:
    """`parts` of a cell, by its kind."""
    return parts(cell.source, "code" if cell.cell_type == "code" else "text")


def has_tag(cell: nbformat.NotebookNode, tag: str) -> bool:
    """Whether the author or a student's editor left this tag on the cell."""
    tags = cell.get("metadata", {}).get("tags", [])
    return isinstance(tags, list) and tag in tags


def _question(index: int, cell: nbformat.NotebookNode) -> Question | None:
    name = cell.metadata.get("question")
    _, hidden = cell_parts(cell)
    if name is None:
        if hidden:
            raise SourceError(f"cell {index} holds a solution or a rubric and names no question")
        return None
    points, manual = cell.metadata.get("points"), cell.metadata.get("manual", False)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SourceError(f"cell {index}: question must be a lower-case name, got {name!r}")
    if isinstance(points, bool) or not isinstance(points, int | float) or not points > 0:
        raise SourceError(f"question {name}: points must be a number > 0, got {points!r}")
    if "SOLUTION" not in hidden:
        raise SourceError(f"question {name}: its cell holds no solution")
    if manual != ("RUBRIC" in hidden):
        raise SourceError(f"question {name}: a rubric goes with `manual: true`, and with it only")
    if cell.cell_type != "code" and not manual:
        raise SourceError(f"question {name}: a written answer needs `manual: true`")
    return Question(
        name=name,
        points=points,
        manual=bool(manual),
        cell=index,
        rubric=_uncommented(hidden.get("RUBRIC", "")),
    )


def _uncommented(text: str) -> str:
    return re.sub(r"^\s*# ?", "", text, flags=re.MULTILINE) if text else text


def read(folder: Path) -> Assignment:
    """Read the assignment that lies in `folder`.

    Raises:
        SourceError: a file is missing or breaks a rule of the format.
    """
    folder = Path(folder).resolve()
    file = folder / f"{folder.name}.md"
    if not file.is_file():
        raise SourceError(f"{folder.name}: expected {file}")
    notebook = jupytext.read(file, fmt="md:myst")
    settings = notebook.metadata.get("coursework", {})
    title = re.search(r"^# (.+)$", notebook.cells[0].source if notebook.cells else "", re.MULTILINE)
    if title is None:
        raise SourceError(f"{folder.name}: expected a first cell with a title, '# ...'")
    hours = settings.get("hours")
    if not isinstance(hours, int | float) or not hours > 0:
        raise SourceError(f"{folder.name}: coursework.hours must be a number > 0, got {hours!r}")
    try:
        found = [_question(index, cell) for index, cell in enumerate(notebook.cells)]
    except SourceError as error:
        raise SourceError(f"{folder.name}: {error}") from None
    questions = tuple(question for question in found if question is not None)
    names = [question.name for question in questions]
    if len(set(names)) < len(names) or not names:
        raise SourceError(f"{folder.name}: questions must be there and have different names")
    return Assignment(
        name=folder.name,
        folder=folder,
        title=title[1].strip(),
        hours=hours,
        packages=tuple(settings.get("packages", ())),
        notebook=notebook,
        questions=questions,
    )


def find(name: str, root: Path = Path("assignments")) -> Path:
    """The folder of an assignment: `name` as a path, or below `root`.

    Raises:
        SourceError: neither is there.
    """
    for folder in (Path(name), root / name):
        if (folder / f"{folder.resolve().name}.md").is_file():
            return folder
    raise SourceError(f"no assignment {name!r}: expected {name}/ or {root / name}/ with its source")
