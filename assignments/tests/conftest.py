"""The assignments with their solutions, run once."""

import functools
from pathlib import Path

import pytest

from coursework import check, execution, source

ROOT = Path(__file__).parents[1]


@functools.cache
def solved(name):
    """The namespace of an assignment's notebook, solutions included."""
    module = execution.fresh_module()
    errors = execution.run_cells(check.code_cells(source.read(ROOT / name)), module, 60.0)
    assert not errors
    return module


@pytest.fixture
def answers(request):
    """The solutions of the assignment that the test module is named after."""
    return solved(request.module.__name__.rpartition("test_")[2])
