"""The time of one sweep on one and on two devices: python sweep.py DEVICES, after a warm-up."""

import os
import sys
import tempfile
import time

devices = int(sys.argv[1])
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:devices])
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"

import jax  # noqa: E402

from prompt_attention import data, dynamics, sweeps  # noqa: E402


def error(key, dim):
    """The test error after three steps."""
    contextual = data.core_model(
        dim=dim, context_norm=2.0, regressor_norm=2.0, num_tokens=50, sparsity=0.1
    )
    options = {"prompt_norm": 2.0, "method": "conditioned"}
    return dynamics.simulate(key, contextual, 400, 1, **options).error[0]


def seconds(program, seeds=400):
    """Time of all runs of a cell, its compilation left out."""
    key = jax.random.key(0)
    program(key, {}, 2 * devices)
    start = time.perf_counter()
    program(key, {}, seeds)
    return time.perf_counter() - start


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:  # the whole of it once
        assert not sweeps.run(
            error, {"dim": [100]}, 4, jax.random.key(0), directory=directory
        ).failures
    program = sweeps.program.Program(
        error, {"dim": 100}, {}, jax.random.key(0), jax.devices(), 400, 2**30, 1
    )
    print(min(seconds(program) for _ in range(3)))
