"""make bench: time the library against other versions of the same work and the machine's limits.

    python bench/run.py             all parts, one after the other, and the table of goals
    python bench/run.py PART ...    these parts; the others stay as they were measured before

Each part runs in a process of its own, pinned to one core, and is written to book/benchmarks.json
as soon as it is finished. It needs Linux; a part that needs PyTorch, a C compiler or a second core
leaves out what is not there, and the table says so.
"""

import contextlib
import datetime
import functools
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from importlib import metadata

CORES = sorted(os.sched_getaffinity(0))
if __name__ == "__main__":  # before any library starts its threads
    if sys.argv[1:2] == ["measure"]:  # with all that it starts
        os.sched_setaffinity(0, CORES[:1])
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}

import descent  # noqa: E402
import formulas  # noqa: E402
import goals  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import steps  # noqa: E402
from timing import interleaved, memory, peak, ratio  # noqa: E402

from prompt_attention import dynamics, risk  # noqa: E402

HERE = pathlib.Path(__file__).parent
RESULT = HERE.parent / "book" / "benchmarks.json"


def _steps():
    return steps.versions(100) | {"library, d = 500": steps.versions(500)["library"]}


def _estimates(work):
    estimates = steps.error_versions(PROMPT_NORMS[work])
    key = jax.random.key(8)
    return {
        name: lambda f=f: lambda: jax.block_until_ready(f(key)) for name, f in estimates.items()
    }


PROMPT_NORMS = {goals.ERROR: 1.0, goals.LONG: 2.0}
# By name, what makes each version of a work.
VERSIONS = {
    goals.STEPS: _steps,
    goals.STEP: lambda: descent.versions(np.float32),
    goals.STEP64: lambda: descent.versions(np.float64),
    goals.RIDGE: formulas.ridge_versions,
    goals.GRID: formulas.grid_versions,
    **{work: functools.partial(_estimates, work) for work in PROMPT_NORMS},
}


def compared(work):
    """Median times of all versions of a work, how much slower than the library, and memory."""
    with _precision(work):
        times = interleaved({name: make() for name, make in VERSIONS[work]().items()})
    return {
        name: {
            "milliseconds": 1e3 * statistics.median(seconds),
            "library is faster": ratio(times, name, "library"),
            "megabytes": float(_script("run.py", "memory", work, name)),
        }
        for name, seconds in times.items()
    }


def _precision(work):
    return jax.enable_x64(True) if work == goals.STEP64 else contextlib.nullcontext()


def million():
    """Three steps and the test error in a million dimensions, from nothing loaded but imports.

    Once with all that JAX compiles, and once more without.
    """

    def run(seed):
        start = time.perf_counter()
        model = steps.contextual(10**6)
        found = dynamics.three_steps(
            jax.random.key(seed), model, steps.N, prompt_norm=steps.NORM, method="conditioned"
        )
        key = jax.random.key(seed + 1)
        float(risk.projected_error(found.model(), model, key, steps.TEST).value)
        return {"seconds": time.perf_counter() - start, "megabytes": peak()}

    return {"library": run(0), "library, once compiled": run(2)}


def error(work, calls=40):
    """As `compared`, with the standard error of the estimate, which its spread must confirm."""
    found, keys = compared(work), jax.random.split(jax.random.key(9), calls)
    for name, estimate in steps.error_versions(PROMPT_NORMS[work]).items():
        drawn = [estimate(key) for key in keys]
        values = np.array([float(one.value) for one in drawn])
        errors = np.array([float(one.standard_error) for one in drawn])
        standard_error = float(np.sqrt(np.mean(errors**2)))
        if not 0.6 < values.std(ddof=1) / standard_error < 1.5:
            raise ValueError(f"{name}: a spread of {values.std(ddof=1)}, not {standard_error}")
        found[name] |= {
            "mean": float(values.mean()),
            "standard error": standard_error,
            "examples": steps.EXAMPLES,
        }
    own, full = found["library"], found["full tokens"]
    spread = np.hypot(own["standard error"], full["standard error"]) / calls**0.5
    if not abs(own["mean"] - full["mean"]) < 4 * spread:
        raise ValueError(f"means of {own['mean']} and {full['mean']} differ by more than chance")
    return found


def sweep(rounds=3):
    """The same sweep on one device and on two, in turn; each device has a core of its own."""
    if len(CORES) < 2:
        return {}
    found = {"1 device": [], "2 devices": []}
    for _ in range(rounds):
        for devices, name in enumerate(found, start=1):
            found[name].append(json.loads(_script("sweep.py", *CORES[:devices])))
    times = {name: [one["seconds"] for one in each] for name, each in found.items()}
    return {
        name: {
            "seconds": statistics.median(seconds),
            "library is faster": ratio(times, name, "2 devices"),
            "megabytes": found[name][0]["megabytes"],
            "seeds": found[name][0]["seeds"],
            "rounds": rounds,
        }
        for name, seconds in times.items()
    }


PARTS = {
    "steps": (goals.STEPS, lambda: compared(goals.STEPS)),
    "million": (goals.MILLION, million),
    "error": (goals.ERROR, lambda: error(goals.ERROR)),
    "error-long": (goals.LONG, lambda: error(goals.LONG)),
    "descent": (goals.STEP, lambda: compared(goals.STEP)),
    "descent64": (goals.STEP64, lambda: compared(goals.STEP64)),
    "ridge": (goals.RIDGE, lambda: compared(goals.RIDGE)),
    "grid": (goals.GRID, lambda: compared(goals.GRID)),
    "sweep": (goals.SWEEP, sweep),
}


def measure(part):
    """Measure one part and write it among the others."""
    work, measured = PARTS[part]
    if descent.torch is not None:
        descent.torch.set_num_threads(1)
    versions = measured()
    result = json.loads(RESULT.read_text("utf8")) if RESULT.exists() else {"works": {}}
    result["works"][work] = {"versions": versions, **circumstances()}
    result["works"] = {name: result["works"][name] for name, _ in PARTS.values()
                       if name in result["works"]}  # fmt: skip
    result["goals"] = [goal.outcome(result["works"]) for goal in goals.GOALS]
    RESULT.write_text(json.dumps(result, indent=1) + "\n", "utf8")
    for name, values in versions.items():
        print(f"  {name:24}", ", ".join(f"{key} {value:.4g}" for key, value in values.items()))


def circumstances():
    """What the numbers of a part depend on."""
    names = [
        line.split(":")[1].strip()
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    packages = ["jax", "jaxlib", "numpy", "scipy", "scikit-learn"]
    packages += ["torch"] if descent.torch is not None else []
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": _commit(),
        "processor": names[0] if names else platform.processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions used": {"Python": platform.python_version()}
        | {package: metadata.version(package) for package in packages},
    }


def _commit():
    git = ["git", "-C", str(HERE.parent)]
    done = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--untracked-files=no", "--", "lib", "bench"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() + (", with changes" if changed.stdout.strip() else "")


def _script(script, *arguments):
    """What a script of this folder prints."""
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main(arguments):
    """Run all parts, or those that are named, each in a process of its own; print the table."""
    if arguments[:1] == ["memory"]:
        _, work, name = arguments
        jnp.zeros(1).block_until_ready()  # JAX starts when it is first used
        with _precision(work):
            print(memory(lambda: VERSIONS[work]()[name]()))
        return
    if arguments[:1] == ["measure"]:
        measure(arguments[1])
        return
    if unknown := set(arguments) - set(PARTS):
        sys.exit(f"error: parts are {', '.join(PARTS)}; there is no {', '.join(sorted(unknown))}")
    for part in arguments or PARTS:
        print(f"[bench] {PARTS[part][0]}", flush=True)
        print(_script("run.py", "measure", part), end="", flush=True)
    print(goals.table(json.loads(RESULT.read_text("utf8"))["goals"]))


if __name__ == "__main__":
    main(sys.argv[1:])
