"""Records do not depend on chunks, devices, hosts or accidents; what fails is said."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow.parquet
import pytest

from prompt_attention import sweeps

if __name__ == "__main__" and len(sys.argv) > 2:  # one host of two; before anything is computed
    _, _, rank, port = sys.argv
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=int(rank))

KEY = jax.random.key(5)
WORD = jnp.zeros(()).nbytes  # bytes of a number
GRID = {"dim": [3, 40], "scale": [0.5, 2.0]}
CELLS = 4
SEEDS = 9


def attended(key, dim, scale):
    """Products, a softmax and a reduction: what chunking could change in the last bits."""
    X = jax.random.normal(key, (30, dim))
    pooled = jax.nn.softmax(scale * X @ X[0]) @ X
    return {"norm": jnp.linalg.norm(pooled), "first": pooled[:3]}


def sweep_in(directory, **changes):
    """The sweep that all others are compared with, in a directory of its own."""
    return sweeps.run(
        attended,
        **({"grid": GRID, "seeds": SEEDS, "key": KEY, "traced": ["scale"]} | changes),
        directory=directory,
    )


def assert_same(sweep, other):
    """The same columns, bit for bit."""
    assert sweep.records.keys() == other.records.keys()
    for name, column in sweep.records.items():
        np.testing.assert_array_equal(column, other.records[name], err_msg=name)
        assert column.dtype == other.records[name].dtype


def assert_rows(sweep, rows):
    assert {len(column) for column in sweep.records.values()} == {rows}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The sweep, on one device in one go."""
    sweep = sweep_in(tmp_path_factory.mktemp("whole"))
    assert_rows(sweep, CELLS * SEEDS)
    return sweep


# ---- what a record is -----------------------------------------------------------------------


def test_each_run_is_the_function_of_its_own_key(reference):
    """All keys differ, and a run is what a call of the function gives."""
    norms = reference.records["norm"]
    assert len(np.unique(norms)) == CELLS * SEEDS
    np.testing.assert_array_equal(reference.records["seed"], np.tile(np.arange(SEEDS), CELLS))
    np.testing.assert_array_equal(reference.records["dim"], np.repeat(GRID["dim"], 2 * SEEDS))
    cell = {"dim": 40, "scale": 2.0}
    key = jax.random.fold_in(sweeps.grid.cell_key(KEY, cell), 4)
    found = reference.where(**cell)
    expected = attended(key, **cell)
    np.testing.assert_allclose(found["norm"][4], expected["norm"], rtol=1e-5)
    np.testing.assert_allclose(found["first"][4], expected["first"], rtol=1e-5)


def test_a_cell_does_not_depend_on_the_rest_of_the_grid(reference, tmp_path):
    few = sweep_in(tmp_path, grid={"scale": [2.0], "dim": [40]}, seeds=4)
    expected = reference.where(dim=40, scale=2.0)
    np.testing.assert_array_equal(few.records["norm"], expected["norm"][:4])


@pytest.mark.parametrize("chunk", [1, 2, 4])
def test_chunks_do_not_change_a_bit(reference, tmp_path, chunk):
    """With just the memory that a chunk of the larger cells needs, as the compiler counts it."""
    largest = (attended, {"dim": 40}, {"scale": 2.0}, KEY, jax.devices())
    program = sweeps.program.Program(*largest, seeds=chunk, memory_limit=2**30, batch=1)
    needed = sweeps.program._needed(program._compiled)
    sweep = sweep_in(tmp_path, memory_limit=needed)
    assert not sweep.failures
    assert_same(sweep, reference)


def test_the_memory_limit_sets_the_chunk():
    """Fewer runs at once, less memory; and a limit below one run is refused in words."""

    def long_record(key):
        return jax.random.normal(key, (1000,))

    def program(limit):
        return sweeps.program.Program(long_record, {}, {}, KEY, jax.devices(), 50, limit, 1)

    calls = []
    results = program(15_000 * WORD)(KEY, {}, 50, calls.append)
    assert results.shape == (50, 1000)
    assert sum(calls) == 50
    assert 1 < max(calls) <= 15
    np.testing.assert_array_equal(program(10**9)(KEY, {}, 50), results)
    with pytest.raises(MemoryError, match="need .* bytes on a device, memory_limit is 5,000"):
        program(5_000)


def test_batches_and_traced_parameters_change_rounding_only(reference, tmp_path):
    sweep = sweep_in(tmp_path, batch=4, traced=[])
    assert_rows(sweep, CELLS * SEEDS)
    np.testing.assert_allclose(sweep.records["norm"], reference.records["norm"], rtol=1e-4)


def test_a_program_is_made_once_whatever_the_order_of_the_grid(tmp_path):
    traces = []

    def length(key, scale, dim):
        traces.append(dim)
        return {"norm": scale * jnp.linalg.norm(jax.random.normal(key, (dim,)))}

    def run(scales):
        traces.clear()
        settings = {"seeds": 2, "key": KEY, "traced": ["scale"]}
        directory = tmp_path / str(len(scales))
        return sweeps.run(length, {"scale": scales, "dim": [3, 4]}, **settings, directory=directory)

    run([1.0])
    one_scale = len(traces)
    sweep = run([1.0, 2.0, 3.0])
    assert len(traces) == one_scale
    np.testing.assert_array_equal(sweep.records["scale"], np.repeat([1.0, 2.0, 3.0], 4))


def test_records_can_be_read_by_anything_and_say_where_they_come_from(reference, tmp_path):
    sweep_in(tmp_path, grid={"dim": [3], "scale": [0.5]}, seeds=2)
    (path,) = tmp_path.glob("*.parquet")
    table = pyarrow.parquet.read_table(path)
    assert table.column("dim").to_pylist() == [3, 3]
    assert json.loads(table.schema.metadata[b"cell"]) == {"dim": 3, "scale": 0.5}
    identity = json.loads(table.schema.metadata[b"identity"])
    assert identity["function"] == f"{__name__}.attended"
    assert identity["versions"]["jax"] == jax.__version__
    assert identity["key"] == ["threefry2x32", [0, 5]]
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name, "sweep.json"]


def test_results_may_be_any_pytree(tmp_path):
    def several(key, kind):
        return (jax.random.bernoulli(key), {"kind2": jnp.int32(len(kind)), "m": jnp.ones((2, 3))})

    grid = {"kind": ["a", "bcd"]}
    sweep = sweeps.run(several, grid, 3, KEY, directory=tmp_path)
    assert sweep.records["0"].dtype == bool
    assert sweep.records["1.kind2"].tolist() == [1, 1, 1, 3, 3, 3]
    assert sweep.records["1.m"].shape == (6, 2, 3)
    assert sweep.where(kind="bcd")["seed"].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="'size' is none of the columns kind, seed, 0"):
        sweep.where(size=3)
    bare = sweeps.run(lambda key: jax.random.normal(key), {}, 3, KEY, directory=tmp_path / "bare")
    assert bare.records.keys() == {"seed", "value"}
    assert_same(sweeps.load(tmp_path / "bare"), bare)


# ---- devices, hosts, accidents --------------------------------------------------------------


def script(directory, *host, devices=1):
    """Run this file, which is the sweep of the reference, in a process of its own."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, __file__, str(directory), *map(str, host)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_ended_well(*processes):
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert all(process.returncode == 0 for process in processes), "\n".join(errors)


def finished(directory):
    return len(list(directory.glob("*.parquet")))


def test_a_sweep_killed_on_two_devices_ends_in_the_records_of_one(reference, tmp_path):
    process = script(tmp_path, devices=2)
    deadline = time.monotonic() + 120
    while finished(tmp_path) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.parquet")}
    assert 2 <= len(kept) < CELLS
    part = sweeps.load(tmp_path)
    assert_rows(part, len(kept) * SEEDS)
    assert_ended_well(script(tmp_path, devices=2))
    assert_same(sweeps.load(tmp_path), reference)
    assert all(path.stat().st_mtime_ns == moment for path, moment in kept.items())


def test_two_hosts_share_the_cells(reference, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert_ended_well(*[script(tmp_path, rank, port) for rank in (0, 1)])
    assert_same(sweeps.load(tmp_path), reference)
    about = json.loads((tmp_path / "sweep.json").read_text())
    assert about["last run"]["hosts"] == 2


def test_a_full_disk_ends_the_sweep_and_keeps_what_is_there(reference, tmp_path):
    """The third file goes to a device that is always full."""
    cell = sweeps.grid.cells(GRID)[2]
    partial = tmp_path / f".{sweeps.grid.digest(cell)}.parquet.0.partial"
    partial.symlink_to("/dev/full")
    with pytest.raises(OSError, match="finished cells are kept.*: No space left on device"):
        sweep_in(tmp_path)
    assert finished(tmp_path) == 2
    assert not list(tmp_path.glob(".*"))
    assert_same(sweep_in(tmp_path), reference)


def test_a_disk_that_fills_up_keeps_what_is_whole_and_the_sweep_goes_on(reference, tmp_path):
    """A real file system of 64 kB, most of it taken by something else."""
    disk = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if not shutil.which("mount") or subprocess.run(disk, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        (tmp_path / "ballast").write_bytes(bytes(48 * 1024))
        with pytest.raises(OSError, match="finished cells are kept.*: No space left on device"):
            sweep_in(tmp_path)
        kept = finished(tmp_path)
        assert 1 <= kept < CELLS
        assert not list(tmp_path.glob(".*"))
        assert_rows(sweeps.load(tmp_path), kept * SEEDS)
        (tmp_path / "ballast").unlink()
        assert_same(sweep_in(tmp_path), reference)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@contextlib.contextmanager
def a_folder_that_is_read_only():
    """For root, too, who may write anywhere: as another user for the time being."""
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield pathlib.Path(folder)
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(folder)


def never(key):
    raise AssertionError("the sweep began before it knew that it can write")


def test_a_folder_that_cannot_be_written_is_noticed_before_any_run(tmp_path):
    with (
        a_folder_that_is_read_only() as folder,
        pytest.raises(PermissionError, match=r"sweep\.json cannot be written"),
    ):
        sweeps.run(never, {}, 1, KEY, directory=folder)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="of the sweep cannot be made"):
        sweeps.run(never, {}, 1, KEY, directory=tmp_path / "file" / "below")


def test_a_cell_that_raises_is_recorded_and_the_rest_goes_on(tmp_path):
    def delicate(key, size):
        if size == 2 and not (tmp_path / "repaired").exists():
            raise ValueError(f"size {size} is not to my taste")
        return jax.random.normal(key, (size,)).sum()

    grid = {"size": [1, 2, 3]}
    sweep = sweeps.run(delicate, grid, 4, KEY, directory=tmp_path)
    assert sweep.records["size"].tolist() == [1] * 4 + [3] * 4
    ((cell, reason),) = sweep.failures
    assert cell == {"size": 2}
    assert "ValueError: size 2 is not to my taste" in reason
    (tmp_path / "repaired").touch()
    again = sweeps.run(delicate, grid, 4, KEY, directory=tmp_path)
    assert again.failures == ()
    assert again.records["size"].tolist() == [1] * 4 + [2] * 4 + [3] * 4


def test_nan_is_a_result(tmp_path):
    def lost(key, scale):
        return {"value": jnp.log(scale), "fine": jax.random.normal(key)}

    grid = {"scale": [-1.0, 1.0]}
    for _ in range(2):  # and is not computed again
        sweep = sweeps.run(lost, grid, 3, KEY, directory=tmp_path)
        assert sweep.failures == ()
        assert np.isnan(sweep.records["value"]).tolist() == [True] * 3 + [False] * 3
        assert np.isfinite(sweep.records["fine"]).all()
    times = {path.stat().st_mtime_ns for path in tmp_path.glob("*.parquet")}
    assert max(times) < (tmp_path / "sweep.json").stat().st_mtime_ns


def test_cells_that_no_table_can_hold(tmp_path):
    def uneven(key, size):
        return {"size" if size == 3 else "found": jnp.ones(size)}

    sweep = sweeps.run(uneven, {"size": [2, 3]}, 1, KEY, directory=tmp_path)
    assert "a result is called 'size', which is a parameter" in sweep.failures[0].reason
    with pytest.raises(ValueError, match="different names or shapes have no common table"):
        sweeps.run(uneven, {"size": [1, 2]}, 1, KEY, directory=tmp_path / "shapes")


# ---- what is refused ------------------------------------------------------------------------


def test_another_sweep_is_not_mixed_in(tmp_path):
    run = lambda **changes: sweeps.run(  # noqa: E731
        lambda key, a: jax.random.normal(key) + a,
        **({"grid": {"a": [1]}, "seeds": 2, "key": KEY} | changes),
        directory=tmp_path,
    )
    run()
    for change, message in [
        ({"grid": {"a": [2]}}, "grid was {'a': \\[1\\]}, and now it is {'a': \\[2\\]}"),
        ({"seeds": 3}, "seeds was 2, and now it is 3"),
        ({"key": jax.random.key(6)}, "key was .* now"),
        ({"batch": 2}, "batch was 1, and now it is 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            run(**change)
    with pytest.raises(ValueError, match="holds a sweep whose function was"):
        sweeps.run(never, {"a": [1]}, 2, KEY, directory=tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 0}, "seeds must be a whole number >= 1, got 0"),
        ({"batch": True}, "batch must be a whole number >= 1, got True"),
        ({"memory_limit": -1}, "memory_limit must be a whole number >= 1, got -1"),
        ({"traced": ["b"]}, "traced must name parameters of the grid, got ['b']"),
        ({"devices": []}, "devices must be devices of this host, got []"),
        ({"grid": {"a": []}}, "grid['a'] must hold different numbers, strings or truth values"),
        ({"grid": {"a": [1, 1]}}, "grid['a'] must hold different"),
        ({"grid": {"a": [None]}}, "grid['a'] must hold different"),
    ],
)
def test_bad_arguments_are_named(tmp_path, change, message):
    arguments = {"grid": {"a": [1]}, "seeds": 1, "key": KEY, "directory": tmp_path} | change
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        sweeps.run(never, **arguments)
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_loading_what_is_no_sweep(tmp_path):
    with pytest.raises(ValueError, match=r"holds no sweep: there is no sweep\.json in it"):
        sweeps.load(tmp_path)


if __name__ == "__main__":
    assert not sweep_in(sys.argv[1]).failures
