"""Interleaved timing, and the memory that a version needs."""

import pathlib
import statistics
import time


def interleaved(versions, rounds=25, seconds=20.0):
    """The seconds of each version in each round; versions take turns, so that drift hits all.

    They are seconds of the processor, which do not count what a neighbour takes. There are at least
    five rounds, and no more begin once `seconds` have passed.
    """
    for version in versions.values():
        version()
        version()
    times = {name: [] for name in versions}
    begun = time.perf_counter()
    for done in range(rounds):
        if done >= 5 and time.perf_counter() - begun > seconds:
            break
        for name, version in versions.items():
            start = time.process_time()
            version()
            times[name].append(time.process_time() - start)
    return times


def ratio(times, slow, fast):
    """How many times faster: the median over rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(times[slow], times[fast], strict=True))


def memory(make):
    """Megabytes of a call of the version that `make` returns, at its peak, its inputs among them.

    The first call, which compiles, is not counted. To be asked in a process that has done no more
    than start its libraries.
    """
    before = _status("VmRSS")
    version = make()
    version()
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    version()
    return max(_status("VmHWM") - before, 0.0)


def peak():
    """Megabytes of this process at its peak, all that it has loaded among them."""
    return _status("VmHWM")


def _status(name):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024 / 1e6
