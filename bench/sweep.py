"""The seconds of one cell of a sweep: python sweep.py CORE ..., one device for each core."""

import json
import os
import sys
import time

if __name__ == "__main__":  # before JAX starts
    cores = [int(core) for core in sys.argv[1:]]
    os.sched_setaffinity(0, cores)
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={len(cores)}"

import jax
import timing

from prompt_attention import data, dynamics
from prompt_attention.sweeps.program import Program

SEEDS = 100


def error(key, dim):
    """The test error after three steps on full tokens."""
    contextual = data.core_model(
        dim=dim, context_norm=2.0, regressor_norm=2.0, num_tokens=50, sparsity=0.1
    )
    return dynamics.simulate(key, contextual, 400, 1, prompt_norm=2.0).error[0]


def main():
    """Print the median of three; the first call, which compiles, is left out."""
    key = jax.random.key(0)
    program = Program(error, {"dim": 50}, {}, key, jax.devices(), SEEDS, 2**30, 1)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        program(key, {}, SEEDS)
        times.append(time.perf_counter() - start)
    found = {"seconds": sorted(times[1:])[1], "seeds": SEEDS, "megabytes": timing.peak()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
