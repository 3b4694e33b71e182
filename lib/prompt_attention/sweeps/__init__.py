"""Experiments over a grid and many seeds: any device, any number of hosts, resumable.

`run` calls a function of (key, parameters) for each point of a grid and each seed, and writes what
it returned as soon as a point is finished. Nothing here knows the science: any function that jax
can compile will do.
"""

from prompt_attention.sweeps.records import Failure, Sweep, load
from prompt_attention.sweeps.runner import run

__all__ = ["Failure", "Sweep", "load", "run"]
