"""Interleaved timing: all versions in turn, round after round, so that drift hits them alike."""

import statistics
import time


def interleaved(versions, rounds=15, seconds=20.0):
    """The times of each version, one for each round; at least five rounds."""
    for version in versions.values():
        version()
        version()
    times = {name: [] for name in versions}
    begun = time.perf_counter()
    for done in range(rounds):
        if done >= 5 and time.perf_counter() - begun > seconds:
            break
        for name, version in versions.items():
            start = time.perf_counter()
            version()
            times[name].append(time.perf_counter() - start)
    return times


def ratio(times, slow, fast):
    """How many times faster: the median over rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(times[slow], times[fast], strict=True))
