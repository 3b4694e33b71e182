"""Checks of the ledger against the pages, the library and the record of its tests.

Each check returns one sentence for each thing that is wrong, so an empty list is a pass.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from .registry import CLAIM_ID, Claim

_STATED = re.compile(rf"(?<![\w/.]){CLAIM_ID.pattern}(?!\w)")
_FENCE = re.compile(r"^\s*(`{3,}|~{3,})\s*(\{[\w:-]+\})?")
# What is not prose: comments, formulas, code, computed values and addresses.
_NOT_PROSE = re.compile(
    r"<!--.*?-->|^%.*?$|\$\$.*?\$\$|(?<!\\)\$[^$\n]+\$|\{(?:math|eval|cite[\w:]*)\}`[^`]*`"
    r"|(?<![}`])`[^`\n]+`|https?://\S+|\]\([^)\s]*\)",
    re.DOTALL | re.MULTILINE,
)
_ANCHORS = re.compile(
    r"^\((?P<target>[^)\s]+)\)=|^\s*:?(?:label|name):\s*(?P<option>\S+)\s*$|\{#(?P<attribute>[\w-]+)",
    re.MULTILINE,
)


def _without_code(source: str) -> Iterator[str]:
    """Yield the lines of a page but those of code and formulas; a cell's own header stays."""
    closing, skipping, header = [], False, 0
    for line in source.splitlines():
        fence = _FENCE.match(line)
        if closing and fence and line.strip().startswith(closing[-1]) and not fence[2]:
            closing.pop()
            skipping = False
        elif fence and not skipping:
            closing.append(fence[1])
            directive = (fence[2] or "").strip("{}")
            skipping = directive in ("", "code-cell", "code-block", "math", "literalinclude")
            header = 2 if directive == "code-cell" else 0
        elif skipping and header:
            header = header - 1 if line.strip() == "---" else header * (header == 1)
            yield line if header == 1 else ""
        elif not skipping:
            yield line


def stated_ids(source: str) -> set[str]:
    """Return the IDs of claims that a MyST page names in its text, captions, roles and labels."""
    prose = _NOT_PROSE.sub(" ", "\n".join(_without_code(source)))
    return set(_STATED.findall(prose))


def anchors(source: str) -> set[str]:
    """Return the anchors that a MyST page sets, in lower case."""
    return {match[match.lastgroup].lower() for match in _ANCHORS.finditer(source)}


def unknown_ids(claims: tuple[Claim, ...], book: Path) -> list[str]:
    """Find IDs that a page states and the registry lacks."""
    known = {claim.id for claim in claims}
    return [
        f"{page.name}: states {name}, which claims.yml lacks"
        for page in sorted(book.glob("*.md"))
        for name in sorted(stated_ids(page.read_text("utf-8")) - known)
    ]


def missing_anchors(claims: tuple[Claim, ...], book: Path) -> list[str]:
    """Find pages and anchors that the registry names and the book lacks."""
    problems = []
    for claim in claims:
        page = book / f"{claim.page}.md"
        if not page.is_file():
            problems.append(f"{claim.id}: there is no page {page.name}")
        elif claim.anchor.lower() not in anchors(page.read_text("utf-8")):
            problems.append(f"{claim.id}: {page.name} has no anchor {claim.anchor}")
    return problems


_BOX = re.compile(r"^(:{3,})\{prf:(\w+)\}.*?^\1$", re.DOTALL | re.MULTILINE)
_REFERRED = re.compile(rf"\{{(?:claim|prf:ref)\}}`(?:[^`<]*<)?({CLAIM_ID.pattern})>?`")


def unsaid_needs(claims: tuple[Claim, ...], book: Path) -> list[str]:
    """Find claims whose box or proof refers to a claim that the registry does not say they need."""
    problems = []
    for claim in claims:
        page = (book / f"{claim.page}.md").read_text("utf-8")
        boxes = list(_BOX.finditer(page))
        for number, box in enumerate(boxes):
            if f":label: {claim.anchor}\n" in box[0]:
                proof = boxes[number + 1 : number + 2]
                text = box[0] + "".join(after[0] for after in proof if after[2] == "proof")
                referred = set(_REFERRED.findall(text)) - {claim.id, *claim.needs}
                problems += [
                    f"{claim.id}: {claim.page}.md refers to {name}, which needs does not list"
                    for name in sorted(referred)
                ]
    return problems


def find_object(path: str) -> object:
    """Import what a dotted path names; an ImportError or AttributeError says what is missing."""
    parts = path.split(".")
    module = importlib.import_module(parts[0])
    found: object = module
    for depth, part in enumerate(parts[1:], start=2):
        if not hasattr(found, part):
            importlib.import_module(".".join(parts[:depth]))
        found = getattr(found, part)
    return found


def missing_functions(claims: tuple[Claim, ...]) -> list[str]:
    """Find functions that the registry names and the library lacks."""
    problems = []
    for claim in claims:
        for path in claim.functions:
            try:
                found = find_object(path)
            except (ImportError, AttributeError) as error:
                problems.append(f"{claim.id}: {path} does not exist ({error})")
            else:
                if not callable(found):
                    problems.append(f"{claim.id}: {path} is not a function or class")
    return problems


def outcomes_of_tests(report: Path) -> dict[str, set[str]]:
    """Return what became of each test of a JUnit report: passed, failed, error or skipped.

    Keys are pytest's node ids with dots for the file's slashes; all variants of a parametrised
    test stand under one key.
    """
    outcomes: dict[str, set[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        key = f"{case.get('classname')}.{case.get('name', '').partition('[')[0]}"
        bad = {child.tag for child in case} & {"failure", "error", "skipped"}
        outcomes.setdefault(key, set()).update(bad or {"passed"})
    return outcomes


def unproved_tests(claims: tuple[Claim, ...], report: Path) -> list[str]:
    """Find tests that the registry names and that did not run, were skipped or failed."""
    outcomes = outcomes_of_tests(report)
    problems = []
    for claim in claims:
        for test in claim.all_tests:
            key = test.replace(".py::", ".").replace("::", ".").replace("/", ".")
            if key not in outcomes:
                problems.append(f"{claim.id}: the test {test} did not run")
            elif outcomes[key] != {"passed"}:
                became = ", ".join(sorted(outcomes[key] - {"passed"}))
                problems.append(f"{claim.id}: the test {test} ended in: {became}")
    return problems
