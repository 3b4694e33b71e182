"""Run the experiments of chapter `vision` and write their records: `make experiments`.

Each core takes a family of an experiment, since neither compiling nor so small a transformer makes
use of two. What is compiled serves the same method in other experiments, too. Runs and
programs are kept in _build/experiments, so that an interrupted command goes on where it was.
"""

import argparse
import multiprocessing
import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import metadata
from multiprocessing.queues import SimpleQueue
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
COMMON = {"per_class": [experiments.ALL], "num_relevant": [4]}  # so that grids share programs
GRIDS = {  # the longest goes first
    "labels": {
        **COMMON,
        "family": list(experiments.FAMILIES),
        "method": EVERY,
        "per_class": [1, 4, 16, experiments.ALL],
    },
    "relevant": {
        **COMMON,
        "family": ["partial"],
        "method": EVERY,
        "num_relevant": [1, 2, 4, 8],
    },
    "prompts": {
        **COMMON,
        "family": ["marked"],
        "method": ["prompts", "deep prompts", "prompt as reader"],
        "num_prompts": [1, 4, 16],
    },
    "families": {
        **COMMON,
        "judge": ["validation"],
        "family": ["full", "partial", "embedded"],  # the marked one is in "rates"
        "method": ["untouched", "everything"],
    },
    "rates": {
        **COMMON,
        "judge": ["validation"],
        "family": ["partial", "marked"],
        "method": [name for name, method in METHODS.items() if not method.one_layer],
        "learning_rate": RATES,
    },
    "layers": {
        **COMMON,
        "judge": ["validation"],
        "family": ["partial", "marked"],
        "method": ["one layer"],
        "layer": [0, 1, 2, 3],
        "learning_rate": RATES[:-1],
    },
}
SEEDS = {"labels": 5, "relevant": 5, "prompts": 5, "families": 2, "rates": 2, "layers": 2}
PACKAGES = ("jax", "flax", "numpy")
PINS = hasattr(os, "sched_setaffinity")  # Linux
TRACED = ("per_class", "num_relevant", "learning_rate")


def main() -> None:
    """Run the experiments that are named, all of them if none is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"some of {', '.join(GRIDS)}")
    names = parser.parse_args().names or list(GRIDS)
    if unknown := set(names) - set(GRIDS):
        parser.error(f"expected names out of {', '.join(GRIDS)}, got {', '.join(unknown)}")
    start = time.monotonic()
    named = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    commit = subprocess.run(named, cwd=ROOT, check=True, capture_output=True, text=True)
    RECORDS.mkdir(exist_ok=True)
    spawn = multiprocessing.get_context("spawn")
    cores = os.sched_getaffinity(0) if PINS else range(os.cpu_count())
    numbers = spawn.SimpleQueue()
    for core in cores:
        numbers.put(core)
    settings = {"mp_context": spawn, "initializer": follow, "initargs": (numbers,)}
    with ProcessPoolExecutor(len(cores), **settings) as pool:
        parts = {
            pool.submit(compute, name, family): (name, family)
            for name in names
            for family in GRIDS[name]["family"]
        }
        columns = {}
        try:
            for part in as_completed(parts):
                name, family = parts[part]
                columns[name, family] = part.result()
                runs, seconds = len(columns[name, family]["seed"]), time.monotonic() - start
                print(f"[experiments] {name}, {family}: {runs} runs; {seconds:.0f} s so far")
                whole = [(name, family) for family in GRIDS[name]["family"]]
                if columns.keys() >= set(whole):
                    write(name, [columns[key] for key in whole], commit.stdout.strip())
        except BaseException:  # the others would go on to the end; finished cells are kept
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def follow(numbers: SimpleQueue) -> None:
    """Keep to a core, leave Ctrl-C to the process that started this one, and end when it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    core = numbers.get()
    if PINS:
        os.sched_setaffinity(0, {core})

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def compute(name: str, family: str) -> dict[str, np.ndarray]:
    """Run one family of an experiment; return its records."""
    jax.config.update("jax_compilation_cache_dir", str(RUNS / "programs"))
    grid = {**GRIDS[name], "family": [family]}
    sweep = sweeps.run(
        experiments.adapt,
        grid,
        SEEDS[name],
        jax.random.key(SEED),
        directory=RUNS / name / family,
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
