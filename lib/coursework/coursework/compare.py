"""Comparisons: they judge returned values, in the grader's own process.

A comparison takes the values of all calls of a case. A value is an array, or a list of arrays when
the function returned a tuple.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from scipy.stats import chi2

Value = np.ndarray | list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Says whether the values are right.

    Args:
        accept: takes one value for each call and returns whether all are right.
    """

    accept: Callable[[list[Value]], bool]


def _is_close(value: Value, expected, rtol: float, atol: float) -> bool:
    if isinstance(expected, tuple):
        return (
            isinstance(value, list)
            and len(value) == len(expected)
            and all(_is_close(*pair, rtol, atol) for pair in zip(value, expected, strict=True))
        )
    expected = np.asarray(expected)
    if isinstance(value, list) or value.shape != expected.shape:
        return False
    if expected.dtype.kind in "bU" or value.dtype.kind in "bU":
        return value.dtype.kind == expected.dtype.kind and bool(np.all(value == expected))
    if value.dtype.kind == "c" and expected.dtype.kind != "c":
        return False
    return np.allclose(value, expected, rtol=rtol, atol=atol, equal_nan=True)


def close(*expected, rtol: float = 1e-4, atol: float = 1e-6) -> Comparison:
    """Right within |value - expected| <= atol + rtol |expected|, in every entry, and in shape.

    Args:
        *expected: an array or number, or a tuple of them, for each call.
        rtol: relative tolerance; the default is what float32 keeps in a short computation.
        atol: absolute tolerance.
    """

    def accept(values: list[Value]) -> bool:
        return len(values) == len(expected) and all(
            _is_close(*pair, rtol, atol) for pair in zip(values, expected, strict=True)
        )

    return Comparison(accept)


def exactly(*expected) -> Comparison:
    """Right if equal in shape and in every entry: for whole numbers, truth values and words."""
    return close(*expected, rtol=0.0, atol=0.0)


def estimate(
    expected: float, standard_error: float, *, random: bool = True, bias: float = 0.0
) -> Comparison:
    """Right if every call returns a number that is an honest estimate of `expected`.

    Each value must lie within 4.5 standard errors (a right answer fails one call in 150,000), and
    so must their mean, with its smaller error: more calls see a smaller bias.

    Args:
        expected: what is estimated.
        standard_error: of one call.
        random: whether different keys must scatter the values as the standard error says: seen from
            five calls on, by the chi-square law.
        bias: what the method may be off by itself, in the same units.
    """
    if not standard_error > 0:
        raise ValueError(f"standard_error must be > 0, got {standard_error}")

    def accept(values: list[Value]) -> bool:
        if any(isinstance(v, list) or v.shape != () or v.dtype.kind not in "iuf" for v in values):
            return False
        errors = np.array([float(value) - expected for value in values]) / standard_error
        slack, n = bias / standard_error, len(errors)
        if not np.all(np.abs(errors) <= 4.5 + slack):
            return False
        if not abs(errors.mean()) <= 4.5 / math.sqrt(n) + slack:
            return False
        if not random or n < 5:
            return True
        least, most = chi2.ppf([3e-6, 1 - 3e-6], n - 1) / (n - 1)
        return bool(least <= errors.var(ddof=1) <= most)

    return Comparison(accept)


def holds(condition: Callable[..., bool]) -> Comparison:
    """Right if `condition(*values)` is true: for answers of which there are many.

    An exception in `condition` counts as wrong: values come from students.
    """
    return Comparison(lambda values: bool(condition(*values)))
