"""Lets the tests import the benchmarks as `bench/run.py` does."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
