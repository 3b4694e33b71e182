"""What a sweep leaves in its directory: one Parquet file for each finished cell, and provenance.

    sweep.json         what was asked for, and with which versions
    <cell>.parquet     one row for each seed: the parameters, the seed, the results
    <cell>.failed.txt  why a cell could not be computed

A file appears under its name only when it is complete, so a killed sweep leaves no half cell.
"""

import contextlib
import errno
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow
import pyarrow.parquet
from jaxtyping import Shaped

from prompt_attention.sweeps.grid import Cell, cells, digest

ABOUT = "sweep.json"


class Failure(NamedTuple):
    """A cell that could not be computed."""

    cell: Cell
    reason: str  # the error with its traceback


class Sweep(NamedTuple):
    """All that a sweep has found so far."""

    records: dict[str, Any]  # columns with one row for each run: parameters, "seed", results
    failures: tuple[Failure, ...]

    def where(self, **parameters: Any) -> dict[str, Any]:
        """The rows in which parameters have these values, still as columns.

        Raises:
            ValueError: a name that is no column.
        """
        chosen = np.ones(len(self.records["seed"]), bool)
        for name, value in parameters.items():
            if name not in self.records:
                raise ValueError(f"{name!r} is none of the columns {', '.join(self.records)}")
            chosen &= self.records[name] == value
        return {name: column[chosen] for name, column in self.records.items()}


class Directory:
    """The directory of one sweep, open for writing.

    Args:
        path: where; made if it does not exist.
        identity: all that the records depend on, as JSON can hold it; "grid" among it.
        circumstances: where and when this run takes place.
        writer: a number that no other process which writes here has.

    Raises:
        ValueError: the directory belongs to a sweep with another identity.
        OSError: nothing can be written there.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        identity: Mapping[str, Any],
        circumstances: Mapping[str, Any],
        writer: int = 0,
    ):
        self.path, self._writer = pathlib.Path(path), writer
        self._identity = json.loads(json.dumps(identity))
        with _explained(f"the directory {path} of the sweep cannot be made"):
            self.path.mkdir(parents=True, exist_ok=True)
        if (self.path / ABOUT).exists():
            before = _identity(self.path)
            for name, value in self._identity.items():
                if before.get(name) != value:
                    raise ValueError(
                        f"{path} holds a sweep whose {name} was {before.get(name)!r}, and now it "
                        f"is {value!r}: take another directory, or restore what has changed"
                    )
        about = {"identity": self._identity, "last run": circumstances}
        self._write(self.path / ABOUT, json.dumps(about, indent=2).encode())

    def holds(self, cell: Cell) -> bool:
        """Whether the records of a cell are here."""
        return _records(self.path, cell).exists()

    def keep(self, cell: Cell, records: pyarrow.Table) -> None:
        """Write the records of a cell with their provenance, and forget that it ever failed.

        Raises:
            OSError: they cannot be written; the message says what is kept.
        """
        provenance = {name: value for name, value in self._identity.items() if name != "grid"}
        about = {"cell": json.dumps(cell), "identity": json.dumps(provenance)}
        buffer = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(records.replace_schema_metadata(about), buffer)
        self._write(_records(self.path, cell), buffer.getvalue())
        _failure(self.path, cell).unlink(missing_ok=True)

    def keep_failure(self, cell: Cell, reason: str) -> None:
        """Write why a cell could not be computed.

        Raises:
            OSError: it cannot be written.
        """
        self._write(_failure(self.path, cell), reason.encode())

    def _write(self, path, content):
        """Write a file whole or not at all."""
        partial = path.with_name(f".{path.name}.{self._writer}.partial")
        with _explained(
            f"{path} cannot be written; finished cells are kept, and the same call goes on there"
        ):
            try:
                with open(partial, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(partial, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    partial.unlink(missing_ok=True)
                raise


def load(directory: str | os.PathLike) -> Sweep:
    """Read a sweep, finished or not, without running anything.

    Raises:
        ValueError: there is no sweep in the directory, or results have different names or shapes in
            different cells.
    """
    path = pathlib.Path(directory)
    if not (path / ABOUT).exists():
        raise ValueError(f"{directory} holds no sweep: there is no {ABOUT} in it")
    every = cells(_identity(path)["grid"])
    tables = [_columns(_records(path, cell)) for cell in every if _records(path, cell).exists()]
    failures = tuple(
        Failure(cell, _failure(path, cell).read_text("utf8"))
        for cell in every
        if _failure(path, cell).exists()
    )
    shapes = {tuple((name, c.shape[1:]) for name, c in table.items()) for table in tables}
    if len(shapes) > 1:
        raise ValueError(
            f"results with different names or shapes have no common table, got {sorted(shapes)}; "
            f"read the files in {directory} one by one"
        )
    names = tables[0] if tables else ["seed"]
    rows = tables or [{"seed": np.zeros(0, np.int64)}]
    return Sweep({name: np.concatenate([t[name] for t in rows]) for name in names}, failures)


def table(cell: Cell, results: Mapping[str, Shaped[np.ndarray, "seeds ..."]]) -> pyarrow.Table:
    """One row for each seed: parameters, seed, results.

    Raises:
        ValueError: a result has the name of a parameter.
    """
    (seeds,) = {len(values) for values in results.values()}
    columns = {name: pyarrow.array([value] * seeds) for name, value in cell.items()}
    columns["seed"] = pyarrow.array(np.arange(seeds))
    for name, values in results.items():
        if name in columns:
            raise ValueError(f"a result is called {name!r}, which is a parameter or the seed")
        tensor = pyarrow.FixedShapeTensorArray.from_numpy_ndarray
        columns[name] = pyarrow.array(values) if values.ndim == 1 else tensor(values)
    return pyarrow.table(columns)


def _columns(path):
    records = pyarrow.parquet.read_table(path)
    return {name: _to_numpy(records[name].combine_chunks()) for name in records.column_names}


def _to_numpy(column):
    if isinstance(column, pyarrow.FixedShapeTensorArray):
        return column.to_numpy_ndarray()
    return column.to_numpy(zero_copy_only=False)


def _identity(path):
    return json.loads((path / ABOUT).read_text("utf8"))["identity"]


def _records(path, cell):
    return path / f"{digest(cell)}.parquet"


def _failure(path, cell):
    return path / f"{digest(cell)}.failed.txt"


@contextlib.contextmanager
def _explained(what):
    """Give an error of the operating system the words that a reader needs."""
    try:
        yield
    except OSError as error:
        number = error.errno or errno.EIO
        raise OSError(number, f"{what}: {os.strerror(number)}") from error
