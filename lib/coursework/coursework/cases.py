"""Hidden cases: what a student's function is called with, and how its values are judged.

`hidden.py` beside an assignment's source holds one function for each case. Its expected values stay
with the grader; only arguments enter the sandbox.
"""

import dataclasses
import hashlib
import hmac
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from coursework.compare import Comparison, Value
from coursework.source import Assignment, SourceError

_MARK = "__coursework_case__"


@dataclasses.dataclass(frozen=True)
class Key:
    """A random key as an argument: the function gets `jax.random.key(seed)`."""

    seed: int


@dataclasses.dataclass(frozen=True, init=False)
class Made:
    """An object as an argument, made in the sandbox by calling `factory` with these keywords.

    Args:
        factory: a dotted name, such as "prompt_attention.data.core_model"; its package must be
            among the assignment's `packages`.
        **keywords: arguments of the same kinds as a case may have.
    """

    factory: str
    keywords: dict[str, Any]

    def __init__(self, factory: str, **keywords):
        object.__setattr__(self, "factory", factory)
        object.__setattr__(self, "keywords", keywords)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One hidden case with its inputs drawn.

    Args:
        name: unique in the assignment.
        question: name of its question.
        function: name of the student's function.
        points: what it earns.
        hint: what a student is told when it fails; holds no input and no expected value.
        public: whether a student may see its inputs and the error that it raised.
        calls: the arguments of one call each.
        comparison: judges the values of all calls.
    """

    name: str
    question: str
    function: str
    points: float
    hint: str
    public: bool
    calls: tuple[tuple, ...]
    comparison: Comparison

    def judge(self, values: list[Value]) -> bool:
        """Whether the values of the calls are right; what the comparison cannot digest is wrong."""
        try:
            with np.errstate(all="ignore"):
                return bool(self.comparison.accept(values))
        except Exception:
            return False


def case(question: str, function: str, *, points: float, hint: str, public: bool = False):
    """Mark a function of `hidden.py` as a case of a question; its own name is the case's name.

    The function takes a `numpy.random.Generator` that depends on the course secret and on the
    case's name, and returns the arguments and a comparison: `(args, close(...))`, where `args` is
    the tuple of one call, or a list of such tuples if the function is to be called several times.
    """

    def mark(draw: Callable) -> Callable:
        setattr(draw, _MARK, (question, function, points, hint, public))
        return draw

    return mark


def generator(secret: bytes, assignment: str, name: str) -> np.random.Generator:
    """The source of a case's inputs: nobody without the secret can draw them."""
    digest = hmac.new(secret, f"{assignment}/{name}".encode(), hashlib.sha256).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def _drawn(assignment: Assignment, draw: Callable, secret: bytes) -> Case:
    name = draw.__name__
    question, function, points, hint, public = getattr(draw, _MARK)
    arguments, comparison = draw(generator(secret, assignment.name, name))
    calls = arguments if isinstance(arguments, list) else [arguments]
    if not calls or not all(isinstance(call, tuple) for call in calls):
        raise SourceError(f"case {name}: expected a tuple of arguments or a list of tuples")
    if not isinstance(comparison, Comparison):
        raise SourceError(f"case {name}: expected a comparison such as close(...)")
    return Case(
        name=name,
        question=question,
        function=function,
        points=points,
        hint=hint,
        public=public,
        calls=tuple(calls),
        comparison=comparison,
    )


def load(assignment: Assignment, secret: bytes) -> tuple[Case, ...]:
    """Read `hidden.py` beside the source and draw the inputs of its cases.

    Raises:
        SourceError: a case breaks a rule, or the points of a question's cases are not the points
            that the page promises.
    """
    file = assignment.folder / "hidden.py"
    if not file.is_file():
        raise SourceError(f"{assignment.name}: expected {file}")
    spec = importlib.util.spec_from_file_location(f"hidden_{assignment.name}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    marked = [value for value in vars(module).values() if hasattr(value, _MARK)]
    cases = tuple(_drawn(assignment, draw, secret) for draw in marked)
    _check_points(assignment, cases)
    return cases


def _check_points(assignment: Assignment, cases: Sequence[Case]) -> None:
    for one in cases:
        if assignment.question(one.question).manual:
            raise SourceError(f"case {one.name}: question {one.question} is graded by a person")
    for question in assignment.questions:
        total = sum(one.points for one in cases if one.question == question.name)
        if not question.manual and abs(total - question.points) > 1e-9:
            raise SourceError(
                f"question {question.name}: its cases earn {total:g}, the page promises "
                f"{question.points:g}"
            )
