"""Imports point one way, as docs/decisions says; a formula never imports a simulation."""

import ast
import subprocess
import sys
from pathlib import Path

import prompt_attention

ROOT = Path(prompt_attention.__file__).parent
ALLOWED = {
    "draws": set(),
    "data": {"draws"},
    "models": {"draws"},
    "training": set(),
    "risk": {"data", "models"},
    "expressivity": {"draws", "data", "models", "training"},
    "performance": {"draws", "data"},
    "trials": {"draws", "data", "models", "risk", "performance"},
    "dynamics": {"data", "models", "risk", "training"},
    "sweeps": set(),
    "plotting": set(),
    "vision": {"draws", "data", "models", "training", "dynamics", "performance"},
}
DRAWS_WITH = {"matplotlib", "numpy", "importlib", "collections", "csv", "io"}


def imported(path):
    """Yield every module name that a file imports, in full."""
    for node in ast.walk(ast.parse(path.read_text("utf8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(path):
    """Return the name of the part (module or package) that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def internal_imports(path):
    """Names of the parts of the library that a file imports, its own left out."""
    names = [name.split(".") for name in imported(path)]
    return {name[1] for name in names if name[0] == "prompt_attention"} - {part_of(path)}


def files():
    """Yield every module of the library but the top one."""
    return (path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def test_imports_point_one_way():
    for path in files():
        assert part_of(path) in ALLOWED, f"{path.name} is in no picture"
        wrong = internal_imports(path) - ALLOWED[part_of(path)]
        assert not wrong, f"{path} imports {wrong}"


def test_the_top_imports_nothing():
    assert not list(imported(ROOT / "__init__.py"))


def test_plotting_imports_nothing_but_matplotlib_numpy_and_the_standard_library():
    for path in files():
        if part_of(path) == "plotting":
            outside = {name.split(".")[0] for name in imported(path)} - {"prompt_attention"}
            assert outside <= DRAWS_WITH, f"{path} imports {outside - DRAWS_WITH}"
        else:
            assert "plotting" not in internal_imports(path), f"{path} draws"


def test_importing_every_part_waits_for_no_library_that_few_functions_need():
    parts = ", ".join(f"prompt_attention.{part}" for part in sorted(ALLOWED))
    seen = f"import sys, {parts}; print(*{{'sklearn', 'skimage'}} & {{*sys.modules}})"
    printed = subprocess.run([sys.executable, "-c", seen], capture_output=True, check=True)
    assert printed.stdout.split() == []
