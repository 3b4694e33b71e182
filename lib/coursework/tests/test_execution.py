"""Cells run as in a notebook: magics do no harm, one failed cell does not end the rest."""

import time

import pytest

from coursework import execution


def run(*cells, seconds=5.0):
    module = execution.fresh_module()
    return module, execution.run_cells(list(cells), module, seconds)


@pytest.mark.parametrize(
    ("cell", "python"),
    [
        ("%matplotlib inline\nx = 1", "pass\nx = 1"),
        ("if True:\n    !pip install jax\nx = 1", "if True:\n    pass\nx = 1"),
        ("jax.jit?\nx = 1", "pass\nx = 1"),
        ("%%time\nx = 1", "x = 1"),
        ("%%bash\nrm -rf /", ""),
        ("x = 5 % 2\n", "x = 5 % 2\n"),
        ("x = (\n", "x = (\n"),
    ],
)
def test_magics(cell, python):
    assert execution.plain_python(cell) == python


def test_a_failed_cell_does_not_end_the_rest():
    module, errors = run(
        "x = 1 / 0", "def f(a):\n    return 2 * a", "import sys\nsys.exit(3)", "y = f(2)"
    )
    assert errors == {
        0: "ZeroDivisionError: division by zero (cell 1, line 1)",
        2: "SystemExit: 3 (cell 3, line 2)",
    }
    assert module.y == 4
    assert execution.call(module, "f", (3,), 1.0) == 6
    with pytest.raises(NameError, match="defines no function g"):
        execution.call(module, "g", (), 1.0)


def test_cells_run_as_main():
    _, errors = run(
        "import dataclasses, sys\n@dataclasses.dataclass\nclass A:\n    x: 'int'\n",
        "assert __name__ == '__main__' and sys.modules['__main__'].A is A",
        "get_ipython().run_line_magic('matplotlib', 'inline'); display(3)",
    )
    assert errors == {}


def test_endless_cells_are_stopped():
    started = time.process_time()
    _, errors = run("try:\n    while True: pass\nexcept Exception:\n    pass", seconds=0.2)
    assert errors == {0: "TimeLimit: stopped after 0.2 s of processor time (cell 1, line 2)"}
    assert time.process_time() - started < 3
