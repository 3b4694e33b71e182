"""The example assignment that the tests share, and a sandbox in which it was rehearsed."""

import os
import sys
from pathlib import Path

import pytest

from coursework import cases as hidden
from coursework import runs, source
from coursework.sandbox import Limits, Sandbox, SandboxError

HERE = Path(__file__).parent
EXAMPLE = HERE / "assignments" / "pooling"
sys.path.insert(0, str(HERE))

# Short times, so that endless loops end soon; still many times what an honest answer takes.
LIMITS = Limits(cell=4.0, call=4.0, question=12, wall=60.0, address_space=4 << 30, memory=1 << 30)


@pytest.fixture(scope="session")
def assignment():
    """The warm-up on attention pooling."""
    return source.read(EXAMPLE)


@pytest.fixture(scope="session")
def cases(assignment):
    """Its hidden cases."""
    return hidden.load(assignment, b"a secret for the tests")


@pytest.fixture(scope="session")
def sandbox(assignment, cases, tmp_path_factory):
    """Bubblewrap with the compiled programs of the author's own solution."""
    cache = tmp_path_factory.mktemp("cache")
    number = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    made = Sandbox(name="bubblewrap", limits=LIMITS, cache=cache, worker=int(number))
    try:
        made.require()
    except SandboxError as error:
        if os.environ.get("COURSEWORK_SANDBOX") == "required":
            raise
        pytest.skip(str(error))
    runs.rehearse(assignment, cases, made)
    return made
