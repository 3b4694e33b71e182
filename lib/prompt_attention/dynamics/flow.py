"""Gradient flow of the squared loss over the whole discrete dataset: result G5.

Without noise an example is its label and its nuisance, prompt and head move in the plane of context
and regressor, and four inner products tell everything:

    a = <w, q*>,   b = <w, w*>,   c = <q, q*>,   e = <q, w*>.

The functions here compute in NumPy float64, as the solver of SciPy that they call does.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float, Real
from scipy.integrate import solve_ivp
from scipy.special import expit

from prompt_attention.data import ContextualModel

State = Real[ArrayLike, "4 *s"] | Sequence


class Flow(NamedTuple):
    """The path of the four inner products, one entry for each time."""

    times: Float[np.ndarray, " times"]
    a: Float[np.ndarray, " times"]  # <w, q*>
    b: Float[np.ndarray, " times"]  # <w, w*>
    c: Float[np.ndarray, " times"]  # <q, q*>
    e: Float[np.ndarray, " times"]  # <q, w*>
    loss: Float[np.ndarray, " times"]  # E (y - f)^2 / 2


class Saddle(NamedTuple):
    """The fixed point of the plane a = e = 0 that parts the starting points (Result G5)."""

    b: Float[np.ndarray, ""]  # <w, w*>, always 0
    c: Float[np.ndarray, ""]  # <q, q*>, where the pooled token no longer tells the label


def population_loss(contextual: ContextualModel, state: State) -> Float[ArrayLike, "*s"]:
    """E (y - f)^2 / 2 over label and nuisance, at (a, b, c, e) (Result G5)."""
    return _loss(_Examples.of(contextual), state)


def flow_velocity(contextual: ContextualModel, state: State) -> Float[np.ndarray, "4 *s"]:
    """d(a, b, c, e)/dt: the Gram matrix K applied to the two parts of the negative gradient.

    With A = M - (1-M) dq, B = M - (1-M) dw, f = A a + y B b and h = (1+dq) a + y (1+dw) b,
    (a, b)' = K E[(y-f) (A, y B)] and (c, e)' = K E[(y-f) M (1-M) h (1+dq, y (1+dw))], where
    K = [[Q^2, <q*,w*>], [<q*,w*>, W^2]]. (Result G5)
    """
    return _velocity(_Examples.of(contextual), state)


def population_flow(
    contextual: ContextualModel, initial: State, times: Real[ArrayLike, " times"] | Sequence
) -> Flow:
    """Follow the flow from (a, b, c, e) = `initial` at time 0 through increasing times (Result G5).

    Raises:
        ValueError: noise on the tokens, or times that do not increase from 0 or later.
    """
    contextual.assume("Result G5", "discrete")
    times = np.asarray(times, np.float64)
    if not (times.size and times[0] >= 0 and (np.diff(times) > 0).all()):
        raise ValueError(f"times must increase from 0 or later, got {times}")
    initial = np.asarray(initial, np.float64)
    if not np.isfinite(initial).all():
        raise ValueError(f"initial must be finite, got {initial}")
    examples = _Examples.of(contextual)
    solution = solve_ivp(
        lambda _, state: _velocity(examples, state),
        (0.0, times[-1]),
        initial,
        method="LSODA",
        t_eval=times,
        rtol=1e-9,
        atol=1e-11,
    )
    return Flow(times, *solution.y, _loss(examples, solution.y))


def flow_saddle(contextual: ContextualModel) -> Saddle:
    """The saddle (b, c) = (0, c+), c+ = log(dw (1 - zeta) / zeta) / (1 + dq) (Result G5).

    There the relevant tokens' share of the attention just cancels the label that irrelevant tokens
    carry: M = dw / (1 + dw). For dw <= 0 the pooled token always tells the label, and c+ = -inf.

    Raises:
        ValueError: noise, a correlated regressor, labels of unequal chance, or more than one value
            of the nuisance.
    """
    dq, dw = _single_nuisance(contextual)
    odds = contextual.sparsity / (1 - contextual.sparsity)
    c = np.log(dw / odds) / (1 + dq) if dw > 0 else -np.inf
    return Saddle(np.float64(0.0), np.float64(c))


def turning_head(
    contextual: ContextualModel, prompt_score: Real[ArrayLike, "*c"] = 0.0
) -> Float[ArrayLike, "*c"]:
    """The head b+ that parts the starting points of two ends (Result G5).

    Started at a = e = 0 and c = `prompt_score`, the flow keeps b^2 / (2 W^2) - Gamma(c) / Q^2 with
    Gamma' = B / (dB/dc), so b+ = -/+ W sqrt(2 (Gamma(c) - Gamma(c+))) / Q, minus for c > c+.
    Above it the flow ends where the head reads the relevant tokens (b > 0), below it where the head
    reads the label off the irrelevant ones (b < 0).

    Raises:
        ValueError: as for `flow_saddle`, or dw <= 0: then the prompt turns to q* or stays, always.
    """
    dq, dw = _single_nuisance(contextual)
    if not dw > 0:
        raise ValueError(f"a turning point needs irrelevant tokens with dw > 0, got dw = {dw}")
    c, saddle = np.asarray(prompt_score, np.float64), flow_saddle(contextual).c
    gap = _gamma(contextual.sparsity, dq, dw, c) - _gamma(contextual.sparsity, dq, dw, saddle)
    size = np.sqrt(2 * np.maximum(gap, 0.0)) * float(
        contextual.regressor_norm / contextual.context_norm
    )
    return -np.sign(c - saddle) * size


def conserved(
    contextual: ContextualModel, b: Real[ArrayLike, "*s"], c: Real[ArrayLike, "*s"]
) -> Float[ArrayLike, "*s"]:
    """b^2 / (2 W^2) - Gamma(c) / Q^2, which the flow in the plane a = e = 0 keeps (Result G5).

    Raises:
        ValueError: as for `flow_saddle`, or dw = -1: all tokens then carry the same label and the
            prompt rests.
    """
    dq, dw = _single_nuisance(contextual)
    if dw == -1:
        raise ValueError(f"the conserved number needs dw != -1, got dw = {dw}")
    b, c = np.asarray(b, np.float64), np.asarray(c, np.float64)
    Q2, W2 = float(contextual.context_norm) ** 2, float(contextual.regressor_norm) ** 2
    return b**2 / (2 * W2) - _gamma(contextual.sparsity, dq, dw, c) / Q2


def _gamma(zeta, dq, dw, c):
    # B / (dB/dc) = [1 / (1-M) - dw / M] / ((1+dq)(1+dw)) with M / (1-M) = odds e^{(1+dq) c}.
    odds, s = zeta / (1 - zeta), (1 + dq) * c
    rise = s + odds * np.exp(s)  # the integral of 1 / (1-M) over s
    fall = s - np.exp(-s) / odds  # the integral of 1 / M over s
    return (rise - dw * fall) / ((1 + dq) ** 2 * (1 + dw))


def _single_nuisance(contextual):
    contextual.assume("Result G5", "discrete", "orthogonal", "symmetric")
    if len(contextual.nuisance) != 1:
        raise ValueError(
            "Result G5 in the plane a = e = 0 assumes one value of nuisance, got "
            f"{len(contextual.nuisance)}"
        )
    return np.float64(contextual.nuisance[0])


class _Examples(NamedTuple):
    """Every (label, nuisance) that the dataset has, and what all of them share."""

    probs: Float[np.ndarray, " m"]
    y: Float[np.ndarray, " m"]
    dq: Float[np.ndarray, " m"]
    dw: Float[np.ndarray, " m"]
    log_odds: float
    gram: Float[np.ndarray, "2 2"]  # K, of context and regressor

    @classmethod
    def of(cls, contextual):
        rate, nuisance = contextual.positive_rate, np.float64(contextual.nuisance)
        shares = np.outer([rate, 1 - rate], np.float64(contextual.nuisance_weights))
        y = np.repeat([1.0, -1.0], len(nuisance))
        odds = contextual.sparsity / (1 - contextual.sparsity)
        plane = np.float64([contextual.context, contextual.regressor])
        dq, dw = np.tile(nuisance, (2, 1)).T
        return cls(shares.ravel(), y, dq, dw, np.log(odds), plane @ plane.T)


def _loss(examples, state):
    (probs, y, *_), (f, *_) = _outputs(examples, state)
    return (probs * (y - f) ** 2).sum(0) / 2


def _velocity(examples, state):
    (probs, y, dq, dw), (f, M, A, B, h) = _outputs(examples, state)
    residual = probs * (y - f)
    pull = residual * M * (1 - M) * h
    head = (residual * A).sum(0), (residual * y * B).sum(0)
    prompt = (pull * (1 + dq)).sum(0), (pull * y * (1 + dw)).sum(0)
    K = examples.gram
    return np.concatenate([np.tensordot(K, head, axes=1), np.tensordot(K, prompt, axes=1)])


def _outputs(examples, state):
    """What belongs to each example, and its output and what that is made of: [m *s]."""
    a, b, c, e = np.asarray(state, np.float64)
    *columns, log_odds, _ = examples
    probs, y, dq, dw = (column.reshape((-1,) + (1,) * a.ndim) for column in columns)
    M = expit((1 + dq) * c + y * (1 + dw) * e + log_odds)
    A, B = M - (1 - M) * dq, M - (1 - M) * dw
    h = (1 + dq) * a + y * (1 + dw) * b
    return (probs, y, dq, dw), (A * a + y * B * b, M, A, B, h)
