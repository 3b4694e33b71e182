"""Running a notebook's cells and calling its functions. The sandbox runs this file too.

Nothing here judges: it turns cells and calls into values or errors.
"""

import contextlib
import linecache
import re
import signal
import sys
import types

_LINE_MAGIC = re.compile(r"^(\s*)(?:[%!].*|\?{1,2}\S.*|\S+\?{1,2}\s*)$", re.MULTILINE)
_CELL_MAGIC = re.compile(r"\s*%%(\w+)[^\n]*\n?")
_RUN_WITHOUT = {"time", "timeit", "capture", "prun"}  # cell magics that run Python all the same


class TimeLimit(BaseException):
    """A cell or a call took too long. No `Exception`, so that `except Exception` lets it pass."""


@contextlib.contextmanager
def limit(seconds: float):
    """Raise `TimeLimit` in what takes more processor time than `seconds`, unless it hides.

    Processor time, so that a busy machine lowers no mark.
    """

    def end(number, frame):
        raise TimeLimit(f"stopped after {seconds:g} s of processor time")

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def plain_python(source: str) -> str:
    """The source of a cell without what only IPython understands."""
    cell_magic = _CELL_MAGIC.match(source)
    if cell_magic:
        if cell_magic[1] not in _RUN_WITHOUT:
            return ""
        source = source[cell_magic.end() :]
    try:
        compile(source, "cell", "exec")
    except SyntaxError:
        return _LINE_MAGIC.sub(r"\1pass", source)
    return source


class _Shell:
    """Stands for IPython's shell: every method of it does nothing."""

    def __getattr__(self, name):
        return lambda *args, **keywords: None


def fresh_module() -> types.ModuleType:
    """An empty `__main__` for a notebook, as a notebook expects it."""
    module = types.ModuleType("__main__")
    module.get_ipython = _Shell
    module.display = lambda *args, **keywords: None
    return module


def run_cells(
    cells: list[str], module: types.ModuleType, seconds: float, kind: str = "cell"
) -> dict[int, str]:
    """Run cells one after another; return the errors of those that failed, by position.

    Errors call them by `kind`, "cell" or "check", and number, from one on.
    """
    errors, before = {}, sys.modules.get("__main__")
    sys.modules["__main__"] = module
    try:
        for number, cell in enumerate(cells):
            source, name = plain_python(cell), f"{kind} {number + 1}"
            linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
            try:
                with limit(seconds):
                    exec(compile(source, name, "exec"), vars(module))
            except BaseException as error:
                errors[number] = describe(error)
    finally:
        sys.modules["__main__"] = before
    return errors


def call(module: types.ModuleType, function: str, arguments: tuple, seconds: float):
    """What a notebook's function returns.

    Raises:
        NameError: the notebook defines no such function.
        BaseException: whatever the function raises.
    """
    found = vars(module).get(function)
    if not callable(found):
        raise NameError(f"the notebook defines no function {function}")
    with limit(seconds):
        return found(*arguments)


def describe(error: BaseException) -> str:
    """An error in one short line: its kind, its text, and the place in the notebook."""
    place, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith(("cell ", "check ")):
            place = f" ({trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {error}"[:300] + place
