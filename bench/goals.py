"""What the library aims at, as ratios; and the table of what came out."""

from collections.abc import Callable
from typing import Any, NamedTuple

STEPS = "three steps and the test error, d = 100"
MILLION = "three steps and the test error, d = 1,000,000"
ERROR = "the test error of a fixed model"
LONG = "the same with a prompt twice as long"
STEP = "a training step, float32"
STEP64 = "a training step, float64"
RIDGE = "ridge for 20 penalties, n = 2000, d = 1000"
GRID = "a closed form on a 100 x 100 grid"
SWEEP = "a sweep"
Results = dict[str, dict[str, Any]]  # by work, as run.py writes them


class Goal(NamedTuple):
    """A number that should be at least, or at most, so large."""

    work: str
    what: str
    value: Callable[[Results], float]
    at_least: bool
    bound: float
    unit: str = "times"

    def outcome(self, results: Results) -> dict[str, Any]:
        """The goal with its value, None where it could not be measured, and whether it is met."""
        try:
            value = self.value(results)
        except KeyError:
            value = None
        met = value is not None and (value >= self.bound if self.at_least else value <= self.bound)
        relation = "at least" if self.at_least else "at most"
        goal = f"{relation} {self.bound:,g}"
        return {
            "work": self.work,
            "what": self.what,
            "value": value,
            "unit": self.unit,
            "goal": goal,
            "bound": self.bound,
            "met": met,
        }


def _against(work: str, other: str) -> Callable[[Results], float]:
    return lambda results: results[work]["versions"][other]["library is faster"]


def _of(work: str, version: str, name: str) -> Callable[[Results], float]:
    return lambda results: results[work]["versions"][version][name]


def _same_accuracy(results: Results) -> float:
    """Time for a given standard error: seconds times variance, full tokens over library."""
    full, own = (
        version["milliseconds"] * version["standard error"] ** 2
        for version in map(results[ERROR]["versions"].get, ("full tokens", "library"))
    )
    return full / own


GOALS = (
    Goal(STEPS, "speed against a PyTorch loop", _against(STEPS, "PyTorch loop"), True, 30),
    Goal(STEPS, "speed against plain JAX", _against(STEPS, "plain JAX"), True, 60),
    Goal(STEPS, "cost at d = 500 against d = 100", _against(STEPS, "library, d = 500"),
         False, 2),
    Goal(MILLION, "time", _of(MILLION, "library", "seconds"), False, 10, "s"),
    Goal(MILLION, "memory of the whole process", _of(MILLION, "library", "megabytes"), False, 2000,
         "MB"),
    Goal(ERROR, "speed to a standard error, against full tokens", _same_accuracy, True, 1000),
    Goal(STEP, "speed against PyTorch eager", _against(STEP, "PyTorch eager"), True, 1.6),
    Goal(STEP, "speed against a fused C kernel", _against(STEP, "fused C kernel"), True, 0.5),
    Goal(STEP, "speed against reading the tokens once", _against(STEP, "reading the tokens"), True,
         0.3),
    Goal(STEP64, "speed against PyTorch eager", _against(STEP64, "PyTorch eager"), True, 1.6),
    Goal(SWEEP, "speed on 2 devices against 1", _against(SWEEP, "1 device"), True, 1.6),
    Goal(RIDGE, "speed against a fit by scikit-learn for each",
         _against(RIDGE, "scikit-learn, each"), True, 4),
    Goal(GRID, "speed against blocked NumPy", _against(GRID, "NumPy"), True, 2.5),
)  # fmt: skip


def table(outcomes: list[dict[str, Any]]) -> str:
    """The outcomes, one in a line; a goal that is missed says so."""
    lines = []
    for goal in outcomes:
        value = "not measured" if goal["value"] is None else f"{goal['value']:,.2f} {goal['unit']}"
        missed = "" if goal["met"] or goal["value"] is None else "MISSED"
        what = f"{goal['work']}: {goal['what']}"
        lines.append(f"{what:95} {value:>14}  {goal['goal']:16} {missed}")
    return "\n".join(lines)
