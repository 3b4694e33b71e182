"""make bench: time the library against other versions of the same work and the machine's limits.

Prints a table of ratios and writes book/benchmarks.json, from which the book's page is drawn. What
cannot be measured here (no PyTorch, no C compiler, one core) is named in the table.
"""

import datetime
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys

CORES = sorted(os.sched_getaffinity(0))
os.sched_setaffinity(0, CORES[:1])  # before any library starts its threads
os.environ |= {"OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}

import descent  # noqa: E402
import formulas  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
import steps  # noqa: E402
from timing import interleaved, ratio  # noqa: E402

from prompt_attention import data, dynamics, models, risk  # noqa: E402

HERE = pathlib.Path(__file__).parent
RESULT = HERE.parent / "book" / "benchmarks.json"
HUGE = 1_000_000
MISSING = {
    "PyTorch loop": "PyTorch is not installed",
    "PyTorch eager": "PyTorch is not installed",
    "fused C kernel": "there is no C compiler",
    "reading the tokens": "there is no C compiler",
}
WORKS = {
    "three steps, d = 100": lambda: steps.versions(100),
    "three steps, d = 500": lambda: {"library": steps.versions(500)["library"]},
    "training step, float32": lambda: descent.versions(np.float32),
    "training step, float64": lambda: descent.versions(np.float64),
    "ridge, 20 penalties": formulas.ridge_versions,
    "closed form, 100 x 100": formulas.grid_versions,
}


def check_that_versions_agree():
    """To rounding, on the same input; a version that computes something else is not timed."""
    _agree(steps.on_the_same_tokens(), 1e-4)
    for dtype, tolerance in [(np.float32, 1e-4), (np.float64, 1e-10)]:
        versions = descent.versions(dtype)
        found = {k: step() for k, step in versions.items() if k != "reading the tokens"}
        assert all(np.asarray(v[0]).dtype == dtype for v in found.values())
        _agree(found, tolerance)
    for versions, tolerance in [
        (formulas.grid_versions(), 1e-4),
        (formulas.ridge_versions(), 1e-2),
    ]:
        _agree({name: [version()] for name, version in versions.items()}, tolerance)


def _agree(found, tolerance):
    reference = found["NumPy"] if "NumPy" in found else next(iter(found.values()))
    for name, arrays in found.items():
        for array, expected in zip(arrays, reference, strict=True):
            error = np.linalg.norm(np.asarray(array) - expected) / np.linalg.norm(expected)
            assert error < tolerance, f"{name} differs by {error:.1e}"


def measured():
    """Median times of all versions, ratios to the library, and peak memory."""
    rows, times = [], {}
    for work, versions in WORKS.items():
        times[work] = interleaved(versions())
        for name, found in times[work].items():
            rows.append(
                {
                    "work": work,
                    "version": name,
                    "milliseconds": 1e3 * statistics.median(found),
                    "library is faster by": ratio(times[work], name, "library"),
                    "megabytes": float(_in_a_process("memory", work, name)),
                }
            )
    return rows, times


def accuracy_per_second():
    """How many times less time the library takes for the same standard error of a test error."""
    versions = steps.error_versions()
    keys = jax.random.split(jax.random.key(9), 20)
    estimates = {name: [float(f(key).value) for key in keys] for name, f in versions.items()}
    means = {name: np.mean(found) for name, found in estimates.items()}
    errors = {name: np.std(found, ddof=1) / 20**0.5 for name, found in estimates.items()}
    for name in versions:
        gap = abs(means[name] - means["full tokens"])
        assert gap < 4 * np.hypot(errors[name], errors["full tokens"]), f"{name} is off by {gap}"
    calls = {name: (lambda f=f: jax.block_until_ready(f(keys[0]))) for name, f in versions.items()}
    seconds = {name: statistics.median(t) for name, t in interleaved(calls).items()}
    cost = {name: seconds[name] * errors[name] ** 2 for name in versions}
    return cost["full tokens"] / cost["library"]


def goals(rows, times):
    """What was aimed at, and what came out; None where a part is missing."""
    three, full = "three steps, d = 100", "training step, float32"

    def against(work, name):
        return ratio(times[work], name, "library") if name in times[work] else None

    median = {work: statistics.median(found["library"]) for work, found in times.items()}
    one, two = (float(_alone("sweep.py", n)) if n <= len(CORES) else None for n in (1, 2))
    huge_seconds, huge_megabytes = map(float, _in_a_process("huge").split())
    return [
        _goal("three steps and test error, d = 100, against a PyTorch loop",
              against(three, "PyTorch loop"), ">=", 30),
        _goal("the same against plain JAX", against(three, "plain JAX"), ">=", 60),
        _goal("the same at d = 500, cost over that at d = 100",
              median["three steps, d = 500"] / median[three], "<=", 2),
        _goal("the same at d = 1,000,000: seconds, compilation included", huge_seconds, "<=", 10),
        _goal("the same at d = 1,000,000: gigabytes at the peak", huge_megabytes / 1e3, "<=", 2),
        _goal("test error: time for a standard error, full tokens over library",
              accuracy_per_second(), ">=", 1000),
        _goal("training step, float32, against PyTorch eager",
              against(full, "PyTorch eager"), ">=", 1.6),
        _goal("training step, float32, against the fused C kernel",
              against(full, "fused C kernel"), ">=", 0.5),
        _goal("training step, float32, against reading the tokens once",
              against(full, "reading the tokens"), ">=", 0.3),
        _goal("training step, float64, against PyTorch eager",
              against("training step, float64", "PyTorch eager"), ">=", 1.6),
        _goal("a sweep on 2 devices against 1", one / two if one and two else None, ">=", 1.6),
        _goal("ridge over 20 penalties, n = 2000, d = 1000, against scikit-learn for each",
              against("ridge, 20 penalties", "scikit-learn, each"), ">=", 4),
        _goal("closed form on a 100 x 100 grid, against blocked NumPy",
              against("closed form, 100 x 100", "NumPy"), ">=", 2.5),
    ]  # fmt: skip


def _goal(work, value, relation, goal):
    met = value is not None and (value >= goal if relation == ">=" else value <= goal)
    return {"work": work, "value": value, "goal": f"{relation} {goal:,}", "met": bool(met)}


def huge():
    """Three steps and the test error in a million dimensions: seconds, and megabytes at the peak."""
    import time

    start = time.perf_counter()
    model = data.core_model(
        dim=HUGE, context_norm=2.0, regressor_norm=2.0, num_tokens=50, sparsity=0.1
    )
    found = dynamics.three_steps(jax.random.key(0), model, 1000, method="conditioned")
    trained = models.PromptAttention(HUGE, head=found.head, prompt=found.prompt)
    float(risk.projected_error(trained, model, jax.random.key(1), 1000).value)
    print(time.perf_counter() - start, _peak())


def memory(work, name):
    """Megabytes that a version adds at its peak, in a process of its own."""
    version = WORKS[work]()[name]
    before = _peak()
    version()
    version()
    print(max(_peak() - before, 0.0))


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _in_a_process(*arguments):
    return _alone("run.py", *arguments)


def _alone(script, *arguments):
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    free = {"preexec_fn": lambda: os.sched_setaffinity(0, CORES)} if script == "sweep.py" else {}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **free).stdout


def machine():
    """What the numbers depend on."""
    model = [
        line.split(":")[1].strip()
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    square = np.random.default_rng(0).standard_normal((1500, 1500), np.float32)
    product = interleaved({"product": lambda: square @ square}, rounds=9)["product"]
    versions = {"python": platform.python_version(), "jax": jax.__version__}
    versions |= {"numpy": np.__version__}
    if descent.torch is not None:
        descent.torch.set_num_threads(1)
        versions["torch"] = descent.torch.__version__
    return {
        "processor": model[0] if model else platform.processor(),
        "cores": len(CORES),
        "matrix product, GFLOP/s on one core": 2 * 1500**3 / statistics.median(product) / 1e9,
        "versions": versions,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def main():
    """Check, measure, print, write."""
    about = machine()
    check_that_versions_agree()
    rows, times = measured()
    reading = times["training step, float32"].get("reading the tokens")
    if reading:
        nbytes = 4 * np.prod(list(descent.SIZES.values()))
        about["reading, GB/s on one core"] = nbytes / statistics.median(reading) / 1e9
    missing = sorted({reason for name, reason in MISSING.items() if not any(
        row["version"] == name for row in rows)})  # fmt: skip
    result = {
        "machine": about,
        "missing": missing,
        "goals": goals(rows, times),
        "times": rows,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", "utf8")
    for row in rows:
        print("{work:26} {version:20} {milliseconds:10.2f} ms {megabytes:8.0f} MB  "
              "library faster by {library is faster by:8.2f}".format(**row))  # fmt: skip
    for goal in result["goals"]:
        value = "not measured" if goal["value"] is None else f"{goal['value']:.2f}"
        print(f"{goal['work']:75} {value:>12} {goal['goal']:>9} {'' if goal['met'] else 'MISSED'}")
    for reason in missing:
        print(f"not measured: {reason}")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", False)
    match sys.argv[1:]:
        case []:
            main()
        case ["huge"]:
            huge()
        case ["memory", work, name]:
            memory(work, name)
