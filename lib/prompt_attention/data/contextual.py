"""The distribution of contextual examples, its exact moments, its sampler and its projections."""

import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from typing import SupportsIndex

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from prompt_attention import draws
from prompt_attention.data import checks
from prompt_attention.data.batch import Batch
from prompt_attention.data.noise import INDEPENDENT_LAWS, NoiseLaw

Values = ArrayLike | Sequence


@checks.checked_once(
    traced=(
        "context",
        "regressor",
        "noise_std",
        "positive_rate",
        "nuisance",
        "nuisance_probs",
        "noise_factor",
    ),
    static=("num_tokens", "sparsity", "relevance", "noise_law"),
)
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ContextualModel:
    """The distribution of contextual examples.

    A pytree: vectors, noise and probabilities may be traced by `jit`, `vmap` and `grad` (a traced
    value is not checked); `num_tokens`, `sparsity`, `relevance` and `noise_law` are static.

    Args:
        context: q*, shape [d].
        regressor: w*, shape [d].
        num_tokens: T, tokens per example.
        sparsity: zeta, the share of relevant tokens; `sparsity * num_tokens` must be a whole number
            in 1..T-1.
        noise_std: sigma, the scale of the noise on irrelevant tokens; 0 gives the discrete dataset.
        positive_rate: pi = P(y = +1).
        nuisance: the values that (dq, dw) takes, one pair each; ((0, 0),) is the core dataset.
        nuisance_probs: their probabilities; equal when None.
        relevance: "random" draws the relevant set uniformly for each example, "first" fixes it to
            the first tokens.
        noise_factor: F of shape [d k], so that z = sigma F g with g of k independent entries and
            Sigma = sigma^2 F F'; the identity when None.
        noise_law: draws g: a function of (key, shape, dtype) with mean 0 and variance 1, such as
            `jax.random.normal` or `jax.random.rademacher`.

    Raises:
        ValueError: an argument lies outside its domain; the message names it.
    """

    context: Values
    regressor: Values
    num_tokens: SupportsIndex
    sparsity: float
    noise_std: ArrayLike = 1.0
    positive_rate: ArrayLike = 0.5
    nuisance: Values = ((0.0, 0.0),)
    nuisance_probs: Values | None = None
    relevance: str = "random"
    noise_factor: Values | None = None
    noise_law: NoiseLaw = jax.random.normal

    def __post_init__(self):
        """Turn what was given into arrays and floats, then check it."""
        context, regressor = jnp.asarray(self.context), jnp.asarray(self.regressor)
        dtype = jnp.promote_types(jnp.promote_types(context.dtype, regressor.dtype), jnp.float32)
        for name in ("context", "regressor", "nuisance", "nuisance_probs", "noise_factor"):
            value = getattr(self, name)
            value = None if value is None else jnp.asarray(value, dtype)
            object.__setattr__(self, name, value)
        for name in ("noise_std", "positive_rate"):
            object.__setattr__(self, name, checks.scalar(name, getattr(self, name)))
        num_tokens = checks.whole_number("num_tokens", self.num_tokens, least=2)
        object.__setattr__(self, "num_tokens", num_tokens)
        checks.check_shapes(self)
        checks.check_values(self)

    @property
    def dim(self) -> int:
        """d, the dimension of a token."""
        return self.context.shape[0]

    @property
    def num_relevant(self) -> int:
        """|R| = zeta T, the number of relevant tokens."""
        return round(self.sparsity * self.num_tokens)

    @property
    def nuisance_weights(self) -> Float[Array, " m"]:
        """The probability of each value of the nuisance: `nuisance_probs`, or equal ones."""
        if self.nuisance_probs is not None:
            return self.nuisance_probs
        m = len(self.nuisance)
        return jnp.full(m, 1 / m, self.context.dtype)

    @property
    def context_norm(self) -> Float[Array, ""]:
        """Q = ||q*||."""
        return jnp.linalg.norm(self.context)

    @property
    def regressor_norm(self) -> Float[Array, ""]:
        """W = ||w*||."""
        return jnp.linalg.norm(self.regressor)

    @property
    def correlation(self) -> Float[Array, ""]:
        """<q*, w*> / (Q W), called rho; nan when a vector is zero."""
        return self.context @ self.regressor / (self.context_norm * self.regressor_norm)

    @property
    def noise_covariance(self) -> Float[Array, "d d"]:
        """Sigma = sigma^2 F F', the covariance of z_t."""
        factor = jnp.eye(self.dim) if self.noise_factor is None else self.noise_factor
        return self.noise_std**2 * (factor @ factor.T).astype(self.context.dtype)

    def relevant_token(self, label: Float[ArrayLike, ""]) -> Float[Array, " d"]:
        """The value r = q* + y w* of every relevant token."""
        return self.context + label * self.regressor

    def irrelevant_mean(self, label: Float[ArrayLike, ""], nuisance: Values) -> Float[Array, " d"]:
        """The mean u = -dq q* - dw y w* of an irrelevant token."""
        nuisance = jnp.asarray(nuisance, self.context.dtype)
        if nuisance.shape != (2,):
            raise ValueError(f"nuisance must be one pair (dq, dw), got shape {nuisance.shape}")
        dq, dw = nuisance
        return -dq * self.context - dw * label * self.regressor

    def mean_token(self, label: Float[ArrayLike, ""], nuisance: Values) -> Float[Array, " d"]:
        """E[xbar | y, delta] = zeta r + (1 - zeta) u, exact (Result D1)."""
        r, u, zeta = (
            self.relevant_token(label),
            self.irrelevant_mean(label, nuisance),
            self.sparsity,
        )
        return zeta * r + (1 - zeta) * u

    def mean_token_covariance(self) -> Float[Array, "d d"]:
        """Cov(xbar | y, delta) = (1 - zeta) Sigma / T, the same for all y and delta (Result D1)."""
        return (1 - self.sparsity) / self.num_tokens * self.noise_covariance

    def token_covariance(
        self, label: Float[ArrayLike, ""], nuisance: Values
    ) -> Float[Array, "d d"]:
        """E[Chat | y, delta] for Chat = (1/T) X'X - xbar xbar', exact (Result D1).

        zeta (1 - zeta) (r - u)(r - u)' + (1 - zeta)(1 - 1/T) Sigma.
        """
        zeta, T = self.sparsity, self.num_tokens
        gap = self.relevant_token(label) - self.irrelevant_mean(label, nuisance)
        signal = zeta * (1 - zeta) * jnp.outer(gap, gap)
        return signal + (1 - zeta) * (1 - 1 / T) * self.noise_covariance

    def sample(
        self,
        key: PRNGKeyArray,
        num_examples: SupportsIndex,
        labels: Float[ArrayLike, " n"] | None = None,
    ) -> Batch:
        """Draw n independent examples; with the given labels, +1 or -1, instead of random ones.

        Raises:
            ValueError: `num_examples` is not a whole number >= 1, or `labels` does not have one
                entry of +1 or -1 for each example.
        """
        num_examples = checks.whole_number("num_examples", num_examples, least=1)
        if labels is not None:
            labels = jnp.asarray(labels, self.context.dtype)
            checks.check_labels(labels, num_examples)
        return self._sample(key, num_examples, labels)

    @partial(jax.jit, static_argnames="num_examples")
    def _sample(self, key, num_examples, labels):
        label_key, nuisance_key, relevance_key, noise_key = jax.random.split(key, 4)
        n, T, dtype = num_examples, self.num_tokens, self.context.dtype
        if labels is None:
            labels = jnp.where(jax.random.bernoulli(label_key, self.positive_rate, (n,)), 1, -1)
        labels = jnp.asarray(labels, dtype)
        nuisance = self.draw_nuisance(nuisance_key, n)
        order = jnp.arange(T)
        if self.relevance == "random":
            order = jnp.argsort(draws.uniform(relevance_key, (n, T)), axis=1)
        relevant = jnp.broadcast_to(order < self.num_relevant, (n, T))
        r = jax.vmap(self.relevant_token)(labels)[:, None]
        u = jax.vmap(self.irrelevant_mean)(labels, nuisance)[:, None]
        z = self._draw_noise(noise_key, n)
        tokens = jax.lax.optimization_barrier(jnp.where(relevant[..., None], r, u + z))
        return Batch(tokens, labels, relevant, nuisance)

    def draw_nuisance(self, key: PRNGKeyArray, num_examples: int) -> Float[Array, "n 2"]:
        """The nuisance (delta_q, delta_w) of n examples."""
        if len(self.nuisance) == 1:  # drawing takes time, and most of all to compile
            return jnp.broadcast_to(self.nuisance, (num_examples, 2))
        return jax.random.choice(key, self.nuisance, (num_examples,), p=self.nuisance_weights)

    def _draw_noise(self, key, num_examples):
        F = self.noise_factor
        columns = self.dim if F is None else F.shape[1]
        law = self.noise_law
        law = draws.in_a_row(law) if law in INDEPENDENT_LAWS else law
        g = law(key, (num_examples, self.num_tokens, columns), self.context.dtype)
        return self.noise_std * (g if F is None else g @ F.T)

    def project(self, directions: Float[Array, "k d"]) -> "ContextualModel":
        """The law of the tokens' k coordinates along directions: contextual too (Result D3).

        With D the directions, D x_t has context D q*, regressor D w* and noise D F g, which has the
        law of U' g' with g' of k entries, where (D F)' = V U with orthonormal columns in V.

        Raises:
            ValueError: `directions` is not of shape [k, d], or the noise is not Gaussian: only then
                do the projections depend on D F (D F)' alone.
        """
        directions = jnp.asarray(directions, self.context.dtype)
        if directions.ndim != 2 or directions.shape[1] != self.dim:
            raise ValueError(f"directions must have shape [k, {self.dim}], got {directions.shape}")
        if self.noise_law is not jax.random.normal:
            raise ValueError(
                "projections are exact for Gaussian noise only (noise_law=jax.random.normal), got "
                f"noise_law={self.noise_law!r}"
            )
        DF = directions if self.noise_factor is None else directions @ self.noise_factor
        return dataclasses.replace(
            self,
            context=directions @ self.context,
            regressor=directions @ self.regressor,
            noise_factor=jnp.linalg.qr(DF.T, mode="r").T,
        )

    def sample_projections(
        self, key: PRNGKeyArray, num_examples: SupportsIndex, directions: Float[Array, "k d"]
    ) -> Batch:
        """Draw n examples whose tokens, shape [n T k], are the coordinates along k directions.

        Exact in law, without drawing d-dimensional noise (Result D3). Raises as `project` and
        `sample` do.
        """
        return self.project(directions).sample(key, num_examples)

    def assume(self, result: str, *assumptions: str) -> None:
        """Raise a ValueError that says which assumption of `result` this model breaks.

        Args:
            result: the name that the message gives, such as "Result G1".
            *assumptions: names out of "core", "discrete", "orthogonal", "isotropic", "gaussian",
                "symmetric". A traced value is not checked.
        """
        checks.check_assumptions(self, result, assumptions)


def core_model(
    *,
    dim: SupportsIndex,
    context_norm: float,
    regressor_norm: float,
    num_tokens: int,
    sparsity: float,
    correlation: float = 0.0,
    noise_std: float = 1.0,
) -> ContextualModel:
    """The core dataset with q* = Q e1 and w* = W (rho e1 + sqrt(1 - rho^2) e2).

    >>> contextual = core_model(
    ...     dim=3, context_norm=2.0, regressor_norm=1.0, num_tokens=20, sparsity=0.25
    ... )
    >>> contextual.num_relevant
    5
    >>> contextual.sample(jax.random.key(0), num_examples=7).tokens.shape
    (7, 20, 3)
    >>> print(contextual.mean_token(-1.0, (0.0, 0.0)))
    [ 0.5  -0.25  0.  ]

    Raises:
        ValueError: a correlation outside [-1, 1], fewer than two dimensions, a norm that is
            negative or not finite, or what `ContextualModel` refuses.
    """
    dim = checks.whole_number("dim", dim, least=2)
    if checks.is_concrete(correlation) and not -1 <= correlation <= 1:
        raise ValueError(f"correlation must lie in [-1, 1], got {correlation}")
    for name, norm in {"context_norm": context_norm, "regressor_norm": regressor_norm}.items():
        if checks.is_concrete(norm) and not 0 <= norm < math.inf:
            raise ValueError(f"{name} must be finite and >= 0, got {norm}")
    context, regressor = _in_a_plane(dim, context_norm, regressor_norm, correlation)
    return ContextualModel(
        context=context,
        regressor=regressor,
        num_tokens=num_tokens,
        sparsity=sparsity,
        noise_std=noise_std,
    )


@partial(jax.jit, static_argnums=0)
def _in_a_plane(dim, context_norm, regressor_norm, correlation):
    e1, e2 = jnp.eye(2, dim)
    direction = correlation * e1 + jnp.sqrt(1 - jnp.square(correlation)) * e2
    return context_norm * e1, regressor_norm * direction
