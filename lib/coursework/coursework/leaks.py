"""Whether anything published holds a line of a solution, a rubric, a hidden case or an answer."""

import html
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from coursework import build
from coursework.source import Assignment, cell_parts

SHORTEST = 12  # characters that are not space; shorter lines say nothing
_IMPORT = re.compile(r"\s*(?:import|from) \w")
_TAG = re.compile(r"<[^<>]*>")
_WORD = re.compile(r"(?=\w*[a-z]_[a-z])\w{10,}")  # names of functions, which no page speaks of


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        squeezed = re.sub(r"\s+", "", line)
        if len(squeezed) >= SHORTEST and not _IMPORT.match(line):
            yield squeezed


def _strings(value) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        if all(isinstance(part, str) for part in value):
            yield "".join(value)  # the lines of a notebook's cell
        for part in value:
            yield from _strings(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)


def texts(name: str, content: bytes) -> Iterator[tuple[str, str]]:
    """The texts in a published file, packed ones too, each with the name of its place."""
    suffix = Path(name).suffix
    if suffix in (".zip", ".whl", ".gz", ".tgz", ".tar"):
        for inner, inside in _unpacked(suffix, content):
            yield from texts(f"{name}/{inner}", inside)
        return
    text = content.decode("utf8", "replace")
    yield name, text
    if suffix in (".html", ".xml", ".svg"):
        yield name, html.unescape(_TAG.sub("", text))
    if suffix in (".ipynb", ".json"):
        try:
            yield name, "\n".join(_strings(json.loads(text)))
        except ValueError:
            return


def _unpacked(suffix: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    if suffix in (".zip", ".whl"):
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            for name in packed.namelist():
                yield name, packed.read(name)
        return
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as packed:
            for member in packed:
                if member.isfile():
                    yield member.name, packed.extractfile(member).read()
    except tarfile.ReadError:  # one compressed file, such as an inventory
        return


def hidden_text(assignment: Assignment) -> str:
    """All that students must not see: solutions, rubrics, hidden cases, planted answers."""
    found = [text for cell in assignment.notebook.cells for text in cell_parts(cell)[1].values()]
    for name in ("hidden.py", "answers.md"):
        file = assignment.folder / name
        if file.is_file():
            found.append(file.read_text("utf8"))
    return "\n".join(found)


def find(
    published: Path, assignments: Iterable[Assignment], public: Iterable[Path] = ()
) -> list[str]:
    """Where a published folder holds a hidden line, or a search index hidden words.

    Args:
        published: everything in it is searched.
        assignments: whose hidden lines are looked for.
        public: files and folders of sources whose lines may be published: a line of a solution that
            stands in the book as well, such as an import, is no secret.
    """
    assignments = list(assignments)
    files = [f for path in public for f in ([path] if path.is_file() else path.rglob("*"))]
    known = [f.read_text("utf8") for f in files if f.suffix in (".py", ".md", ".yml", ".bib")]
    for assignment in assignments:
        known += [cell.source for cell in build.stripped(assignment).cells]
    open_text = "\n".join(known)
    hidden = "\n".join(map(hidden_text, assignments))
    secret_lines = set(_lines(hidden)) - set(_lines(open_text))
    secret_words = {word.lower() for word in _WORD.findall(hidden)}
    secret_words -= {word.lower() for word in _WORD.findall(open_text)}
    found = []
    for file in sorted(path for path in published.rglob("*") if path.is_file()):
        name, content = file.relative_to(published).as_posix(), file.read_bytes()
        for place, text in texts(name, content):
            found += [f"{place}: {line}" for line in sorted(secret_lines & set(_lines(text)))]
            if file.name == "searchindex.js":
                words = {word.lower() for word in _WORD.findall(text)}
                found += [f"{place}: {word}" for word in sorted(secret_words & words)]
    return found
