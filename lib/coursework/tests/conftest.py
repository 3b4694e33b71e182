"""The example assignment that the tests share."""

from pathlib import Path

import pytest

from coursework import source

EXAMPLE = Path(__file__).parent / "assignments" / "pooling"


@pytest.fixture(scope="session")
def assignment():
    """The warm-up on attention pooling."""
    return source.read(EXAMPLE)
