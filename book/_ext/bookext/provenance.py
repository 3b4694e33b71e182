"""Where a figure comes from: the commit, the packages, and the part of its page that made it.

The part is found by reading, not by running: the figure's cell, and backwards every statement that
sets a name which is used. It holds all seeds and parameters that can matter, and little else.
"""

from __future__ import annotations

import ast
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PACKAGES = ("jax", "flax", "numpy", "matplotlib")
ARCHIVED = ".commit"  # git archive writes the commit into this file
_SEEDED = ("key", "PRNGKey", "default_rng", "Rngs")
_LIBRARY = "prompt_attention"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The part of a page that makes one figure, with the seeds and parameters that stand in it."""

    seeds: tuple[str, ...]
    parameters: dict[str, str]
    code: str


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def commit(root: Path) -> str:
    """Return the commit of the sources in `root`, of a checkout or of an archive made from one.

    A checkout with changes says so; where there is neither, the answer is "no commit is known".
    """
    try:
        top = _git(root, "rev-parse", "--show-toplevel")
        if top and Path(top).resolve() == root.resolve():
            changed = _git(root, "status", "--porcelain", "--untracked-files=no")
            return _git(root, "rev-parse", "HEAD") + (", with changes" if changed else "")
    except FileNotFoundError:  # git is not installed
        pass
    file = root / ARCHIVED
    archived = file.read_text("utf-8").strip() if file.is_file() else ""
    return archived if archived and "$" not in archived else "no commit is known"


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    return {
        "Python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
    }


def _statements(cell: str) -> list[ast.stmt]:
    """Return the statements of a cell with their source; lines for IPython alone are left out."""
    lines = [line for line in cell.splitlines() if not line.lstrip().startswith(("%", "!"))]
    plain = "\n".join(lines)
    statements = ast.parse(plain).body
    for statement in statements:
        first = min(part.lineno for part in (statement, *getattr(statement, "decorator_list", ())))
        statement.source = "\n".join(lines[first - 1 : statement.end_lineno])
    return statements


def _root(node: ast.expr) -> str | None:
    """Return the name that a chain of attributes, items and calls hangs on."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _names(node: ast.AST, context: type[ast.expr_context]) -> set[str]:
    return {
        part.id
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and isinstance(part.ctx, context)
    }


def _rebinds(statement: ast.stmt) -> set[str]:
    """Return the names that a statement sets anew, whatever they were before."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.For):
        return _names(statement.target, ast.Store)
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.With):
        return _names(statement, ast.Store)
    return set()


def _changes(statement: ast.stmt) -> set[str]:
    """Return the names that a statement sets, or changes through an item, attribute or method."""
    changed = {
        _root(node)
        for node in ast.walk(statement)
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store)
    }
    called = {
        _root(node.value.func.value)
        for node in ast.walk(statement)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
    }
    return _rebinds(statement) | _names(statement, ast.Store) | changed | called


def _uses(statement: ast.stmt) -> set[str]:
    """Return the names that a statement needs to be there before it."""
    loaded = _names(statement, ast.Load)
    bound = {arg.arg for arg in ast.walk(statement) if isinstance(arg, ast.arg)}
    for part in ast.walk(statement):
        if isinstance(part, ast.comprehension):
            bound |= _names(part.target, ast.Store)
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return loaded - bound - _names(statement, ast.Store)
    if isinstance(statement, ast.For):
        inside = _needed(statement.body) - _names(statement.target, ast.Store)
        return (_names(statement.iter, ast.Load) | inside) - bound
    if isinstance(statement, ast.AugAssign):
        loaded |= _names(statement.target, ast.Store)
    return loaded - bound


def _needed(statements: list[ast.stmt]) -> set[str]:
    """Return the names that must be there before the first of some statements."""
    wanted: set[str] = set()
    for statement in reversed(statements):
        wanted = (wanted - _rebinds(statement)) | _uses(statement)
    return wanted


def _is_plain(value: ast.expr) -> bool:
    """Say whether an expression is a number, a word, or a tuple or list of those."""
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True


def _from_library(statements: list[ast.stmt]) -> set[str]:
    """Return the names that a page imports from the library, but for those that draw."""
    return {
        alias.asname or alias.name
        for statement in statements
        if isinstance(statement, ast.ImportFrom) and statement.module
        for alias in statement.names
        if statement.module.partition(".")[0] == _LIBRARY
        and "plotting" not in (*statement.module.split("."), alias.name)
    }


def origin(cells: list[str]) -> Origin:
    """Find what makes the figure of the last cell, given the code cells up to it."""
    *before, last = [_statements(cell) for cell in cells]
    earlier = [statement for cell in before for statement in cell]
    imported = {
        (alias.asname or alias.name).partition(".")[0]
        for statement in earlier + last
        if isinstance(statement, ast.Import | ast.ImportFrom)
        for alias in statement.names
    }
    kept, wanted = list(last), _needed(last) - imported
    for statement in reversed(earlier):
        if _changes(statement) & wanted:
            kept.insert(0, statement)
            wanted = ((wanted - _rebinds(statement)) | _uses(statement)) - imported
    library = _from_library(earlier + last)
    seeds: list[str] = []
    parameters: dict[str, list[str]] = {}
    for call in (node for part in kept for node in ast.walk(part) if isinstance(node, ast.Call)):
        if getattr(call.func, "attr", None) in _SEEDED and call.args:
            seeds.append(ast.unparse(call.args[0]))
        elif _root(call.func) in library | {"dataclasses"}:
            for keyword in call.keywords:
                if keyword.arg and _is_plain(keyword.value):
                    parameters.setdefault(keyword.arg, []).append(ast.unparse(keyword.value))
    return Origin(
        seeds=tuple(dict.fromkeys(seeds)),
        parameters={name: " and ".join(dict.fromkeys(said)) for name, said in parameters.items()},
        code="\n".join(statement.source for statement in kept),
    )
