"""The registry of claims, ``claims.yml``: what each entry must hold, and reading it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

KINDS = ("identity", "monte-carlo", "limit", "empirical")
CLAIM_ID = re.compile(r"[DEGSVX]\d+[a-z]?")
_NODE_ID = re.compile(r"[\w/.-]+\.py(::\w+)+")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_REQUIRED = ("id", "statement", "page", "anchor", "functions", "tests", "kind", "source")


class RegistryError(ValueError):
    """An entry of the registry that is not what it should be."""


@dataclass(frozen=True, kw_only=True)
class Twin:
    """A test that breaks one assumption of a claim and sees the claim fail."""

    test: str
    statement: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of the book: where it stands, whose it is, and what checks it."""

    id: str
    statement: str
    page: str
    anchor: str
    functions: tuple[str, ...]
    tests: tuple[str, ...]
    kind: str
    source: str
    twin: Twin | None = None
    needs: tuple[str, ...] = ()

    @property
    def all_tests(self) -> tuple[str, ...]:
        """The tests of the claim and of its twin."""
        return self.tests + ((self.twin.test,) if self.twin else ())


def load_claims(path: Path) -> tuple[Claim, ...]:
    """Read and check the registry; a RegistryError says which entry is wrong, and how."""
    entries = yaml.safe_load(path.read_text("utf-8"))
    if not isinstance(entries, list):
        raise RegistryError(f"{path.name}: expected a list of claims, got {entries!r}")
    claims: dict[str, Claim] = {}
    for number, entry in enumerate(entries, start=1):
        name = entry.get("id", "no id") if isinstance(entry, dict) else "not a mapping"
        where = f"{path.name}: entry {number} ({name})"
        claim = _claim(entry, where)
        if claim.id in claims:
            raise RegistryError(f"{where}: expected an id that no other entry has")
        claims[claim.id] = claim
    for claim in claims.values():
        _expect_order(claim, claims, path.name)
    return tuple(claims.values())


def _expect_order(claim: Claim, claims: dict[str, Claim], where: str) -> None:
    """Refuse a claim that needs what is not there, or that needs itself, through others or not."""
    unknown = [name for name in claim.needs if name not in claims]
    if unknown:
        raise RegistryError(f"{where}: {claim.id}: needs: expected IDs of claims, got {unknown[0]}")
    reached, ahead = set(), list(claim.needs)
    while ahead:
        name = ahead.pop()
        if name == claim.id:
            raise RegistryError(f"{where}: {claim.id}: needs: expected no circle, got {claim.id}")
        if name not in reached:
            reached.add(name)
            ahead += claims[name].needs


def _claim(entry: object, where: str) -> Claim:
    if not isinstance(entry, dict):
        raise RegistryError(f"{where}: expected a mapping, got {entry!r}")
    missing = [field for field in _REQUIRED if field not in entry]
    if missing:
        raise RegistryError(f"{where}: expected the fields {', '.join(missing)}, got none of them")
    unknown = sorted(set(entry) - {*_REQUIRED, "twin", "needs"})
    if unknown:
        raise RegistryError(f"{where}: expected no field named {', '.join(map(str, unknown))}")
    for field in ("id", "statement", "page", "anchor", "kind", "source"):
        _expect_text(entry[field], f"{where}: {field}")
    if not CLAIM_ID.fullmatch(entry["id"]):
        raise RegistryError(
            f"{where}: id: expected a letter of DEGSVX and a number, like D1 or X6w"
        )
    if "\n" in entry["statement"].strip():
        raise RegistryError(f"{where}: statement: expected one line")
    if entry["kind"] not in KINDS:
        raise RegistryError(
            f"{where}: kind: expected one of {', '.join(KINDS)}, got {entry['kind']!r}"
        )
    _expect_list(entry["functions"], _DOTTED, f"{where}: functions", "module.name")
    _expect_list(entry["tests"], _NODE_ID, f"{where}: tests", "path/test_file.py::test_name")
    if "needs" in entry:
        _expect_list(entry["needs"], CLAIM_ID, f"{where}: needs", "an ID like D1")
    return Claim(
        **{field: entry[field].strip() for field in _REQUIRED if isinstance(entry[field], str)},
        functions=tuple(entry["functions"]),
        tests=tuple(entry["tests"]),
        twin=_twin(entry["twin"], where) if "twin" in entry else None,
        needs=tuple(entry.get("needs", ())),
    )


def _twin(entry: object, where: str) -> Twin:
    if not isinstance(entry, dict) or set(entry) != {"test", "statement"}:
        raise RegistryError(f"{where}: twin: expected the fields test and statement, got {entry!r}")
    _expect_list([entry["test"]], _NODE_ID, f"{where}: twin: test", "path/test_file.py::test_name")
    _expect_text(entry["statement"], f"{where}: twin: statement")
    return Twin(**entry)


def _expect_text(value: object, where: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise RegistryError(f"{where}: expected text, got {value!r}")


def _expect_list(value: object, form: re.Pattern[str], where: str, example: str) -> None:
    if not isinstance(value, list) or not value:
        raise RegistryError(f"{where}: expected a list with at least one {example}, got {value!r}")
    for item in value:
        if not isinstance(item, str) or not form.fullmatch(item):
            raise RegistryError(f"{where}: expected {example}, got {item!r}")
