"""Run the experiments of chapter `vision` and write their records: `make experiments`.

The runs are kept in _build/experiments, so that an interrupted command goes on where it was.
"""

import argparse
import os
import subprocess
from importlib import metadata
from pathlib import Path

import jax

from prompt_attention import sweeps
from prompt_attention.vision import experiments, pretraining
from prompt_attention.vision.adaptation import METHODS

SEED = 1
ROOT = Path(__file__).parents[1]
RUNS = ROOT / "_build" / "experiments"
RECORDS = ROOT / "lib" / "prompt_attention" / "vision" / "records"

EVERY = ["untouched", *METHODS]
RATES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3]
GRIDS = {
    "families": {
        "judge": ["validation"],
        "family": list(experiments.FAMILIES),
        "method": ["untouched", "head", "everything", "one layer"],
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
}
SEEDS = {"families": 2, "rates": 2, "layers": 2, "labels": 5, "relevant": 5, "prompts": 5}
TRACED = ("per_class", "num_relevant", "learning_rate")


def main() -> None:
    """Run the experiments that are named, all of them if none is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"some of {', '.join(GRIDS)}")
    names = parser.parse_args().names or GRIDS
    if unknown := set(names) - set(GRIDS):
        parser.error(f"expected names out of {', '.join(GRIDS)}, got {', '.join(unknown)}")
    jax.config.update("jax_num_cpu_devices", os.cpu_count())  # seeds go side by side
    _, weights = pretraining.load_weights()
    named = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    commit = subprocess.run(named, cwd=ROOT, check=True, capture_output=True, text=True)
    RECORDS.mkdir(exist_ok=True)
    for name in names:
        grid = GRIDS[name]
        sweep = sweeps.run(
            experiments.adapt,
            grid,
            SEEDS[name],
            jax.random.key(SEED),
            directory=RUNS / name,
            traced=[parameter for parameter in TRACED if parameter in grid],
        )
        if sweep.failures:
            raise SystemExit(f"{name}: {len(sweep.failures)} cells failed:\n{sweep.failures[0]}")
        versions = {package: metadata.version(package) for package in ("jax", "flax", "numpy")}
        provenance = {
            "grid": grid,
            "seed": SEED,
            "seeds": SEEDS[name],
            "commit": commit.stdout.strip(),
            "weights": weights["commit"],
            "versions": versions,
        }
        experiments.write_records(RECORDS / f"{name}.json", sweep.records, provenance)
        print(f"[experiments] {name}: {len(sweep.records['seed'])} runs")


if __name__ == "__main__":
    main()
