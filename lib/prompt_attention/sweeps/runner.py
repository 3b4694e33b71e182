"""Running a sweep: cells go to hosts, seeds to devices, finished cells to the disk."""

import contextlib
import datetime
import hashlib
import inspect
import os
import pathlib
import platform
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any

import jax
from jax.experimental import multihost_utils
from jaxtyping import PRNGKeyArray, PyTree
from tqdm import tqdm

from prompt_attention.sweeps import records
from prompt_attention.sweeps.grid import Cell, cell_key, cells, digest, plain
from prompt_attention.sweeps.program import Program
from prompt_attention.sweeps.records import Directory, Sweep

PACKAGES = ("jax", "jaxlib", "numpy", "prompt-attention")


def run(
    function: Callable[..., PyTree],
    grid: Mapping[str, Sequence],
    seeds: int,
    key: PRNGKeyArray,
    *,
    directory: str | os.PathLike,
    devices: Sequence[jax.Device] | None = None,
    memory_limit: int = 2**30,
    traced: Iterable[str] = (),
    batch: int = 1,
    progress: bool | None = None,
) -> Sweep:
    """Call `function(key, **parameters)` at each point of a grid, for each of many seeds.

    A *cell* is one point of the grid with all its seeds. Cells are dealt to the hosts that
    `jax.distributed` has brought together, seeds to the devices of a host. A finished cell is
    written at once; the same call made again goes on where the last one ended, and tries cells that
    failed once more. One run at a time may write to a directory.

    The key of a run depends on the key given, the parameters and the seed, never on chunks, devices
    or hosts, and the same compiled loop body computes each run: the records are the same, bit for
    bit, on one device and on eight of its kind.

    Args:
        function: any function of a key and named parameters that jax can compile; it returns a
            number, an array, or a pytree of them.
        grid: the values of each parameter: numbers, strings or truth values. Every combination is
            a cell.
        seeds: how many runs each cell has.
        key: the key that every run's key is folded from.
        directory: where the records go; all hosts must see it.
        devices: devices of this host; all of them when None.
        memory_limit: bytes that a program may take on each device. It decides how many seeds are
            sent to a device at once.
        traced: names of numeric parameters whose values share one compiled program. The others are
            compiled in, so they may set shapes.
        batch: seeds that a device takes side by side, by `vmap`. More than one is faster on
            accelerators and changes last bits.
        progress: whether to show a bar; None shows one in a terminal.

    Returns:
        The records of all cells, and the cells that failed with the reasons.

    Raises:
        ValueError: an argument outside its domain, or a directory that holds another sweep.
        OSError: the directory cannot be written or the disk is full; what was finished is kept.
    """
    grid, traced = plain(grid), tuple(traced)
    for name, value in {"seeds": seeds, "memory_limit": memory_limit, "batch": batch}.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number >= 1, got {value!r}")
    if unknown := set(traced) - set(grid):
        raise ValueError(f"traced must name parameters of the grid, got {sorted(unknown)}")
    devices = list(jax.local_devices() if devices is None else devices)
    if not devices or not set(devices) <= set(jax.local_devices()):
        raise ValueError(f"devices must be devices of this host, got {devices}")

    identity = {
        "grid": grid,
        "seeds": seeds,
        "key": [str(jax.random.key_impl(key)), jax.random.key_data(key).tolist()],
        "traced": sorted(traced),
        "batch": batch,
        "double precision": jax.config.jax_enable_x64,
        "kind of device": devices[0].device_kind,
        **_code(function),
    }
    circumstances = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "hosts": jax.process_count(),
        "devices": [str(device) for device in devices],
    }
    rank = jax.process_index()
    folder = Directory(directory, identity, circumstances, writer=rank)
    own = cells(grid)[rank :: jax.process_count()]
    left = [cell for cell in own if not folder.holds(cell)]
    left = [cell for group in _grouped(left, traced) for cell in group]
    with tqdm(
        total=len(own) * seeds,
        initial=(len(own) - len(left)) * seeds,
        unit="run",
        disable=None if progress is None else not progress,
    ) as bar:
        compiled = _Compiled(function, key, devices, seeds, memory_limit, traced, batch)
        failed = 0
        for cell in left:
            failed += not _run_cell(cell, compiled, folder, bar)
            bar.set_postfix(failed=failed)
    return _together(folder, cells(grid))


def _grouped(some, traced):
    """Cells that share a program, which is then made once, whatever the order of the grid."""
    groups = {}
    for cell in some:
        groups.setdefault(digest(_static(cell, traced)), []).append(cell)
    return groups.values()


def _static(cell, traced):
    return {name: value for name, value in cell.items() if name not in traced}


class _Compiled:
    """The program of a cell; the one before is kept as long as only traced values change."""

    def __init__(self, function, key, devices, seeds, memory_limit, traced, batch):
        self._key, self._seeds, self._traced = key, seeds, traced
        self._settings = (function, devices, memory_limit, batch)
        self._name = self._program = None

    def __call__(self, cell: Cell, tick: Callable[[int], Any]) -> PyTree:
        """The results of all seeds of a cell."""
        values = {name: value for name, value in cell.items() if name in self._traced}
        static = _static(cell, self._traced)
        if self._program is None or self._name != digest(static):
            function, devices, limit, batch = self._settings
            self._program = None  # frees the last one before the next is made
            self._program = Program(
                function, static, values, self._key, devices, self._seeds, limit, batch
            )
            self._name = digest(static)
        return self._program(cell_key(self._key, cell), values, self._seeds, tick)


def _run_cell(cell, compiled, folder, bar):
    """Compute a cell and write it; say whether it could be computed."""
    try:
        found = records.table(cell, _named(compiled(cell, bar.update)))
    except Exception:
        folder.keep_failure(cell, traceback.format_exc())
        return False
    folder.keep(cell, found)
    return True


def _named(results):
    """The leaves of a pytree with their paths as names; a bare array is called value."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(results)
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator=".")  # noqa: E731
    return {name(path) or "value": leaf for path, leaf in leaves}


def _code(function):
    """Which code the records come from."""
    library = pathlib.Path(__file__).parents[1]
    state = hashlib.sha256()
    for file in sorted(library.rglob("*.py")):
        state.update(file.relative_to(library).as_posix().encode() + file.read_bytes())
    source = None
    with contextlib.suppress(OSError, TypeError):
        source = hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return {
        "function": f"{function.__module__}.{name}",
        "source of the function": source,
        "source of the library": state.hexdigest()[:16],
        "versions": {
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in PACKAGES},
        },
    }


def _together(folder, every):
    """Wait for the other hosts, then read what all have written."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("the last cell of a sweep")
    sweep = records.load(folder.path)
    failed = [cell for cell, _ in sweep.failures]
    if lost := [cell for cell in every if cell not in failed and not folder.holds(cell)]:
        raise FileNotFoundError(
            f"{len(lost)} cells are not in {folder.path}, the first is {lost[0]}: all hosts of a "
            "sweep must see the same directory"
        )
    return sweep
