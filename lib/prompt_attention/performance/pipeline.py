"""The error after three gradient steps that learn prompt and head, predicted without training.

Each step uses a fresh batch of n examples and is so small that the model's output is negligible
beside the label:

    w1 = (1/n) sum y_i xbar_i,   q1 = (1/n) sum y_i Chat_i w1,   w2 = (1/n) sum y_i X_i' phi(X_i q),

with q the vector q1 rescaled to the norm beta. All three are a fixed vector plus noise that is
Gaussian, exactly or by the central limit theorem over n, so few numbers describe them.
"""

from functools import partial
from typing import NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, PRNGKeyArray, Real

from prompt_attention import draws
from prompt_attention.data import ContextualModel, Estimate
from prompt_attention.data.checks import whole_number
from prompt_attention.performance.limits import positive_noise
from prompt_attention.performance.pooled import (
    Invariants,
    PooledMoments,
    averaged_head_error,
    check_positive,
    softmax_sums,
)
from prompt_attention.performance.tails import gaussian_tail, rescaled


class LearnedPrompt(NamedTuple):
    """The direction qbar of the prompt after two steps, as far as the third step depends on it."""

    cosine: Float[Array, " n"]  # <qbar, q*> / Q
    leak: Float[Array, " n"]  # <qbar, w*>: the prompt scores the label, too


def learned_prompt(
    key: PRNGKeyArray,
    model: Invariants,
    num_examples: Real[ArrayLike, ""],
    balanced: bool | Bool[ArrayLike, ""],
    num_draws: int,
    finite_size: bool,
) -> LearnedPrompt:
    """Draw the prompt's direction after two steps: the first two moments of every coordinate.

    Write a = <w1, w*>, b = <w1, q*>. Given w1, balanced labels make the mean of q1 equal to
    zeta (1 - zeta)(a q* + b w*). Across q*, w* and w1 each coordinate of its noise has variance
    (1 - zeta) sigma^2 / (T n) (sigma^2 ||w1||^2 (1 - (1 + zeta) / T) + zeta^2 (a^2 + b^2)).
    Covariances between coordinates, of relative order 1 / sqrt(n), are left out. Without
    `finite_size` everything that vanishes as n and d grow is left out (Results G2 and G7).
    """
    Q, W, sigma = model.context_norm, model.regressor_norm, model.noise_std
    T, d, n = model.num_tokens, model.dim, num_examples
    zeta = model.num_relevant / T
    g = draws.normal(key, (9, num_draws)) * finite_size
    degrees = (d - 2, d - 3) if finite_size else (d, d)
    # averages of the labels of the first two batches
    y1, y2 = g[:2] / jnp.sqrt(n) * jnp.logical_not(balanced)

    nu = sigma * jnp.sqrt((1 - zeta) / (T * n))
    a = zeta * W**2 + nu * W * g[2]
    b = zeta * y1 * Q**2 + nu * Q * g[3]
    across = nu**2 * _chi_squared(degrees[0], g[7], finite_size)
    length = (a / W) ** 2 + (b / Q) ** 2 + across  # ||w1||^2

    def noise(along, extra):
        """Variance of a coordinate of q1 along which w1 has the coordinate `along`."""
        return nu**2 * (sigma**2 * (length + along**2) * (1 - (1 + zeta) / T) + zeta**2 * extra)

    signal, shift = zeta * (1 - zeta), (1 - zeta) * (1 - 1 / T) * sigma**2 * y2
    along_q = signal * Q * (a + y2 * b) + shift * b / Q
    along_q += g[4] * jnp.sqrt(noise(b / Q, Q**2 * length + a**2 + 3 * b**2))
    along_w = signal * W * (b + y2 * a) + shift * a / W
    along_w += g[5] * jnp.sqrt(noise(a / W, W**2 * length + 3 * a**2 + b**2))
    along_rest = g[6] * jnp.sqrt(noise(jnp.sqrt(across), a**2 + b**2)) + shift * jnp.sqrt(across)
    spread = noise(0.0, a**2 + b**2)
    rest = along_rest**2 + spread * _chi_squared(degrees[1], g[8], finite_size)
    norm = jnp.sqrt(along_q**2 + along_w**2 + rest)
    return LearnedPrompt(along_q / norm, W * along_w / norm)


def learned_prompt_error(
    key: PRNGKeyArray,
    contextual: ContextualModel,
    num_examples: Real[ArrayLike, "*#grid"],
    prompt_norm: Real[ArrayLike, "*#grid"],
    balanced: bool = True,
    num_draws: SupportsIndex = 20_000,
    finite_size: bool = True,
    log: bool = False,
) -> Estimate:
    """The error of prompt and head after three gradient steps, with no training (Result G7).

    In the limit of large n and d at a fixed d/n (`finite_size=False`) the prompt qbar has a fixed
    cosine with q*, and the third step is that of a known prompt whose relevant tokens score
    beta Q cosine. With `finite_size`, what vanishes like 1 / sqrt(n) is kept: foremost the offset
    <w2, q*>, close to Q^2 (1/n) sum y_i M_i, which moves the threshold of the decision.

    Args:
        key: for the draws; `num_examples` and `prompt_norm` broadcast over the same draws.
        contextual: the model, of dimension at least 4.
        num_examples: n, the size of each of the three batches.
        prompt_norm: beta > 0, the norm that the prompt is rescaled to.
        balanced: whether each batch has as many labels +1 as -1; if not, labels are independent.
        num_draws: draws of a training set together with one test example.
        finite_size: keep what vanishes as n and d grow.
        log: estimate the logarithm of the error; its standard error is relative.

    Raises:
        ValueError: the model breaks an assumption, or an argument lies outside its domain.
    """
    contextual.assume("Result G7", "core", "orthogonal", "isotropic", "gaussian", "symmetric")
    positive_noise("Result G7", contextual)
    check_positive("num_examples", num_examples)
    check_positive("prompt_norm", prompt_norm)
    num_draws = whole_number("num_draws", num_draws, least=1)
    if contextual.dim < 4:
        raise ValueError(f"Result G7 needs dim >= 4, got {contextual.dim}")
    grid = (jnp.asarray(num_examples, float), jnp.asarray(prompt_norm, float))
    model = Invariants.of(contextual)
    *scaled, top = _learned(key, model, *grid, balanced, num_draws, finite_size)
    return rescaled(Estimate(*scaled), top, log)


@partial(jax.jit, static_argnames=("num_draws", "finite_size"))
def _learned(key, model, num_examples, prompt_norm, balanced, num_draws, finite_size):
    def one(n, beta):
        scaled, top = _three_steps(key, model, n, beta, balanced, num_draws, finite_size)
        return *scaled, top

    return jnp.vectorize(one, signature="(),()->(),(),()")(num_examples, prompt_norm)


def _three_steps(key, model, n, beta, balanced, num_draws, finite_size):
    prompt_key, noise_key, head_key = jax.random.split(key, 3)
    prompt = learned_prompt(prompt_key, model, n, balanced, num_draws, finite_size)
    # By symmetry a test example with y = +1 stands for both labels.
    scores = beta * (prompt.cosine * model.context_norm + prompt.leak)
    k = model.num_relevant
    g = draws.normal(noise_key, (num_draws, model.num_tokens - k))
    scale = beta * model.noise_std
    sums = jax.vmap(lambda score, g: softmax_sums(score, k, scale, g))(scores, g)
    if not finite_size:
        return averaged_head_error(PooledMoments(sums.mass, sums.spread), model, n)
    margins = _margins(head_key, model, n, beta, balanced, prompt, sums)
    log_errors = gaussian_tail(margins, log=True)
    top = log_errors.max()
    return Estimate.of(jnp.exp(log_errors - top)), top


def _margins(key, model, n, beta, balanced, prompt, sums):
    """Mean over standard deviation of w2's output on a test example with y = +1.

    A training example's pooled token is M (q* + y w*) + sigma (G qbar + sqrt(v) h) with h normal
    across qbar, M its `mass`, G its `lean` and v its `spread`.
    """
    Q, W, sigma = model.context_norm, model.regressor_norm, model.noise_std
    (c, leak), (M, v, G) = prompt, sums
    k = draws.normal(key, (7, len(c)))
    # Averages over the training set: M and v, which depend on the score that the prompt gives to
    # relevant tokens (dM/ds = M (1 - M), dv/ds = -2 M v), and which vary from set to set,
    lift = beta * Q * (c - c.mean())
    dM, dv = _correlated(M - M.mean(), v - v.mean(), *k[:2] / jnp.sqrt(n))
    average = M.mean() + lift * (M * (1 - M)).mean() + dM
    pooled_noise = jnp.maximum(v.mean() - 2 * lift * (M * v).mean() + dv, 0.0)
    # and the products y M and y G. Scores differ by 2 beta leak between the labels, which moves
    # E[y M] and E[y G] away from zero (dG/ds = -M G).
    centre = jnp.where(balanced, jnp.stack([M.mean(), G.mean()]), 0.0)
    yM, yG = _correlated(M - centre[0], G - centre[1], *k[2:4] / jnp.sqrt(n))
    yM += beta * leak * (M * (1 - M)).mean()
    yG -= beta * leak * (M * G).mean()
    # Coordinates of q* and w* across qbar: lengths, and the cosine between the two.
    q_across, w_across = Q * jnp.sqrt(1 - c**2), jnp.sqrt(W**2 - leak**2)
    cosine = jnp.clip(-c * Q * leak / (q_across * w_across), -1, 1)
    sine = jnp.sqrt(1 - cosine**2)
    std = sigma * jnp.sqrt(pooled_noise / n)
    along = average * leak + yM * c * Q + sigma * yG  # <w2, qbar>
    first = average * w_across + yM * q_across * cosine + std * k[4]
    other = yM * q_across * sine + std * k[5]
    rest = std**2 * _chi_squared(model.dim - 3, k[6], True)
    on_regressor = leak * along + w_across * first
    on_context = c * Q * along + q_across * (cosine * first + sine * other)
    mean = M * (on_regressor + on_context) + sigma * G * along
    return mean / (sigma * jnp.sqrt(v) * jnp.sqrt(first**2 + other**2 + rest))


def _correlated(first, second, g, h):
    """Two numbers with the second moments of `first` and `second`, from independent g and h."""
    std = jnp.sqrt((first**2).mean())
    slope = (first * second).mean() / std
    return std * g, slope * g + jnp.sqrt((second**2).mean() - slope**2) * h


def _chi_squared(degrees, g, random):
    """Squared length of `degrees` normal numbers, made from one, or its mean.

    The cube of Wilson and Hilferty (1931), whose moments are off by a part in degrees^2.
    """
    if not random:
        return jnp.full(len(g), degrees)
    variance = 2 / (9 * degrees)
    return degrees * jnp.maximum(1 - variance + jnp.sqrt(variance) * g, 0) ** 3
