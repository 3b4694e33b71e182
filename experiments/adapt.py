"""Run the experiments of chapter `vision` and write their records: `make experiments`.

Each core takes a family of an experiment, since half of the time goes into compiling, which is the
work of one core. The runs are kept in _build/experiments, so that an interrupted command goes on
where it was.
"""

import argparse
import os
import queue
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import jax
import numpy as np

from prompt_attention import sweeps
from prompt_attention.vision import experiments, pretraining
from prompt_attention.vision.adaptation import METHODS

SEED = 1
ROOT = Path(__file__).parents[1]
RUNS = ROOT / "_build" / "experiments"
RECORDS = ROOT / "lib" / "prompt_attention" / "vision" / "records"

EVERY = ["untouched", *METHODS]
RATES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3]
GRIDS = {  # the longest goes first
    "labels": {
        "family": list(experiments.FAMILIES),
        "method": EVERY,
        "per_class": [1, 4, 16, experiments.ALL],
    },
    "relevant": {"family": ["partial"], "method": EVERY, "num_relevant": [1, 2, 4, 8]},
    "prompts": {
        "family": ["marked"],
        "method": ["prompts", "deep prompts", "prompt as reader"],
        "num_prompts": [1, 4, 16],
    },
    "families": {
        "judge": ["validation"],
        "family": ["full", "partial", "embedded"],  # the marked one is in "rates"
        "method": ["untouched", "everything"],
    },
    "rates": {
        "judge": ["validation"],
        "family": ["partial", "marked"],
        "method": [name for name, method in METHODS.items() if not method.one_layer],
        "learning_rate": RATES,
    },
    "layers": {
        "judge": ["validation"],
        "family": ["partial", "marked"],
        "method": ["one layer"],
        "layer": [0, 1, 2, 3],
        "learning_rate": RATES[:-1],
    },
}
SEEDS = {"labels": 5, "relevant": 5, "prompts": 5, "families": 2, "rates": 2, "layers": 2}
PACKAGES = ("jax", "flax", "numpy")
TRACED = ("per_class", "num_relevant", "learning_rate")


def main() -> None:
    """Run the experiments that are named, all of them if none is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"some of {', '.join(GRIDS)}")
    names = parser.parse_args().names or GRIDS
    if unknown := set(names) - set(GRIDS):
        parser.error(f"expected names out of {', '.join(GRIDS)}, got {', '.join(unknown)}")
    jax.config.update("jax_num_cpu_devices", os.cpu_count())
    start, free = time.monotonic(), queue.SimpleQueue()
    for device in jax.local_devices():
        free.put(device)
    named = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    commit = subprocess.run(named, cwd=ROOT, check=True, capture_output=True, text=True)
    RECORDS.mkdir(exist_ok=True)

    def take(name, family):
        device = free.get()
        try:
            columns = compute(name, family, device)
        finally:
            free.put(device)
        runs, seconds = len(columns["seed"]), time.monotonic() - start
        print(f"[experiments] {name}, {family}: {runs} runs; {seconds:.0f} s so far")
        return columns

    with ThreadPoolExecutor(free.qsize()) as pool:
        try:
            parts = [(name, family) for name in names for family in GRIDS[name]["family"]]
            done = pool.map(take, *zip(*parts, strict=True))  # a failure cancels what waits
            for name in names:
                families = [next(done) for _ in GRIDS[name]["family"]]
                write(name, families, commit.stdout.strip())
        except KeyboardInterrupt:
            os._exit(130)  # threads would go on to the end; finished cells are kept


def compute(name: str, family: str, device: jax.Device) -> dict[str, np.ndarray]:
    """Run one family of an experiment on a device; return its records."""
    grid = {**GRIDS[name], "family": [family]}
    sweep = sweeps.run(
        experiments.adapt,
        grid,
        SEEDS[name],
        jax.random.key(SEED),
        directory=RUNS / name / family,
        devices=[device],
        traced=[parameter for parameter in TRACED if parameter in grid],
    )
    if sweep.failures:
        raise SystemExit(
            f"{name}, {family}: {len(sweep.failures)} cells failed:\n{sweep.failures[0]}"
        )
    return sweep.records


def write(name: str, families: list[dict[str, np.ndarray]], commit: str) -> None:
    """Write the records of an experiment, one family after the other, with their provenance."""
    columns = {key: np.concatenate([part[key] for part in families]) for key in families[0]}
    provenance = {
        "grid": GRIDS[name],
        "seed": SEED,
        "seeds": SEEDS[name],
        "commit": commit,
        "weights": pretraining.load_weights()[1]["commit"],
        "versions": {package: metadata.version(package) for package in PACKAGES},
    }
    experiments.write_records(RECORDS / f"{name}.json", columns, provenance)


if __name__ == "__main__":
    main()
