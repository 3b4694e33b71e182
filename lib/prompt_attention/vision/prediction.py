"""The error of one-layer prompt-attention on real features, from their first two moments.

The theory of chapter `performance` has noise on irrelevant tokens only, the same in all directions.
Real tokens have noise of some shape on both kinds. Its argument stands if tokens are independent
and Gaussian given label and relevance, and this module carries it through.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, Real

from prompt_attention import draws
from prompt_attention.data import ContextualModel, Estimate, core_model
from prompt_attention.performance import gaussian_tail
from prompt_attention.vision.canvases import Canvases


class Kind(NamedTuple):
    """Moments of the tokens of one kind, relevant or not: mean + label * lean, and covariance."""

    mean: Float[Array, " d"]
    lean: Float[Array, " d"]  # half the difference between the means at labels +1 and -1
    covariance: Float[Array, "d d"]  # given the label


class Moments(NamedTuple):
    """First and second moments of tokens."""

    relevant: Kind
    irrelevant: Kind

    @property
    def context(self) -> Float[Array, " d"]:
        """The difference of the two means, the q* of real tokens."""
        return self.relevant.mean - self.irrelevant.mean


def token_moments(canvases: Canvases) -> Moments:
    """Estimate the moments of tokens, labels being +1 and -1."""
    return Moments(_kind(canvases, canvases.relevant), _kind(canvases, ~canvases.relevant))


def _kind(canvases, members):
    d = canvases.tokens.shape[-1]
    tokens, members = canvases.tokens.reshape(-1, d), members.reshape(-1)
    signs = jnp.repeat(canvases.labels, canvases.tokens.shape[1])
    plus, minus = members & (signs > 0), members & (signs < 0)
    up, down = (tokens.T @ side / side.sum() for side in (plus, minus))
    mean, lean = (up + down) / 2, (up - down) / 2
    noise = (tokens - mean - signs[:, None] * lean) * members[:, None]
    return Kind(mean, lean, noise.T @ noise / members.sum())


def as_core_model(moments: Moments, num_tokens: int, num_relevant: int) -> ContextualModel:
    """The core dataset that is nearest in size, for the formulas of chapter `performance`.

    Its context and regressor have the norms of the real ones, but are orthogonal; its noise has the
    variance of an irrelevant token, spread evenly over directions; relevant tokens have none.
    """
    d = len(moments.context)
    across = _across(moments)
    return core_model(
        dim=d,
        context_norm=float(jnp.linalg.norm(moments.context)),
        regressor_norm=float(jnp.linalg.norm(across @ moments.relevant.lean)),
        num_tokens=num_tokens,
        sparsity=num_relevant / num_tokens,
        noise_std=float(jnp.sqrt(jnp.trace(moments.irrelevant.covariance) / d)),
    )


def predicted_error(
    key: PRNGKeyArray,
    moments: Moments,
    prompt_scale: Real[ArrayLike, "*#grid"],
    num_examples: Real[ArrayLike, "*#grid"],
    *,
    num_tokens: int,
    num_relevant: int,
    num_draws: int = 10_000,
) -> Estimate:
    """The error of the averaged head behind the prompt tau qbar*, as in Result X2.

    With P across q*, a token of kind k has a score s, normal with the moments of <qbar*, x> at its
    label, and P x = P mean + y P lean + slope (s - E s) + residual, the residual normal and
    independent of s. So the pooled feature is normal given the scores, with mean P mean +
    y (m lean_R + (1 - m) lean_I) + (sums of weight times s - E s) times the slopes, and covariance
    v_R S_R + v_I S_I. The head is the average of label times centred feature, with noise of the
    features' covariance over n; the error is the mean tail over labels and scores. Exact for
    Gaussian tokens as n grows with the dimension.

    Args:
        key: draws the scores.
        moments: the moments of tokens.
        prompt_scale: tau.
        num_examples: n.
        num_tokens: T.
        num_relevant: |R|, relevant tokens of an example.
        num_draws: scores of examples to average over; the standard error is that of these draws.
    """
    sizes = {"num_tokens": num_tokens, "num_relevant": num_relevant, "num_draws": num_draws}
    one = partial(_predict, key, moments, **sizes)
    grid = (jnp.asarray(prompt_scale, float), jnp.asarray(num_examples, float))
    return Estimate(*jax.jit(jnp.vectorize(one, signature="(),()->(),()"))(*grid))


def _predict(key, moments, tau, n, *, num_tokens, num_relevant, num_draws):
    relevant = jnp.arange(num_tokens) < num_relevant
    kinds = jnp.stack([relevant, ~relevant], axis=1).astype(float)
    direction = moments.context / jnp.linalg.norm(moments.context)
    across = _across(moments)
    parts = [_given_score(kind, direction, across) for kind in moments]
    score, lean, slope, residual = (jnp.stack(x) for x in zip(*parts, strict=True))

    y = jnp.resize(jnp.array([1.0, -1.0]), num_draws)
    mean, tilt, std = (kinds @ score).T
    off = std * draws.normal(key, (num_draws, num_tokens))
    weights = jax.nn.softmax(tau * (mean + y[:, None] * tilt + off))
    mass, spread, leaning = weights @ kinds, weights**2 @ kinds, (weights * off) @ kinds

    known = y[:, None] * (mass @ lean) + leaning @ slope  # pooled features but for residuals
    known -= known.mean(axis=0)
    head = y @ known / num_draws
    rest = known - y[:, None] * head
    noise = jnp.einsum("k,kij->ij", spread.mean(axis=0), residual) + rest.T @ rest / num_draws
    along = spread @ jnp.einsum("i,kij,j->k", head, residual, head)
    blur = spread @ jnp.einsum("kij,ij->k", residual, noise)
    blur += jnp.einsum("ni,ij,nj->n", known, noise, known)
    error = Estimate.of(gaussian_tail(y * (known @ head) / jnp.sqrt(along + blur / n)))
    return error.value, error.standard_error


def _given_score(kind, direction, across):
    """Mean, lean and deviation of the score; lean, slope and residual covariance across it."""
    covariance = across @ kind.covariance @ direction
    variance = direction @ kind.covariance @ direction
    slope = covariance / variance
    residual = across @ kind.covariance @ across - jnp.outer(slope, covariance)
    score = jnp.stack([direction @ kind.mean, direction @ kind.lean, jnp.sqrt(variance)])
    return score, across @ kind.lean, slope, residual


def _across(moments):
    """The projection along q*."""
    direction = moments.context / jnp.linalg.norm(moments.context)
    return jnp.eye(len(direction)) - jnp.outer(direction, direction)
