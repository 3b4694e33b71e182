"""Exponents of sample sizes: where a curve crosses a level, and how that point moves (G4)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float, Real

Values = ArrayLike | Sequence


class Exponent(NamedTuple):
    """A slope in the log-log plane."""

    value: Float[np.ndarray, ""]
    standard_error: Float[np.ndarray, ""]


class Crossing(NamedTuple):
    """Where the mean of a measured quantity crosses a level."""

    location: Float[np.ndarray, ""]
    relative_error: Float[np.ndarray, ""]  # standard error of log(location)


def crossing(
    x: Values, values: Real[ArrayLike, "repeats grid"], level: Real[ArrayLike, ""]
) -> Crossing:
    """The x where the mean over repeats crosses a level, on a straight line in log x.

    The line is fitted through the two grid points around the crossing; the standard error is that
    of the mean there, divided by the slope. (Result G4)

    Raises:
        ValueError: the means do not cross the level on the grid.
    """
    log_x, values = np.log(np.asarray(x, np.float64)), np.asarray(values, np.float64)
    means = values.mean(axis=0)
    errors = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    (steps,) = np.nonzero(np.diff(np.sign(means - level)))
    if not steps.size:
        raise ValueError(f"the means must cross the level {level} on the grid, got {means}")
    k = steps[0]
    slope = (means[k + 1] - means[k]) / (log_x[k + 1] - log_x[k])
    share = (level - means[k]) / (means[k + 1] - means[k])
    error = np.hypot((1 - share) * errors[k], share * errors[k + 1])
    return Crossing(np.exp(log_x[k] + share * (log_x[k + 1] - log_x[k])), np.abs(error / slope))


def exponent(
    x: Values,
    y: Values,
    relative_errors: Values | None = None,
) -> Exponent:
    """The slope of log y over log x by least squares, weighted by the errors of log y (Result G4).

    Raises:
        ValueError: fewer than two points, or values that are not positive.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(x) < 2 or not ((x > 0).all() and (y > 0).all()):
        raise ValueError(f"x and y must hold two or more positive numbers, got {x} and {y}")
    errors = (
        np.zeros(len(x)) if relative_errors is None else np.asarray(relative_errors, np.float64)
    )
    weights = np.ones(len(x)) if relative_errors is None else errors**-2.0
    centred = np.log(x) - np.average(np.log(x), weights=weights)
    influence = weights * centred / np.sum(weights * centred**2)
    return Exponent(influence @ np.log(y), np.sqrt(influence**2 @ errors**2))
