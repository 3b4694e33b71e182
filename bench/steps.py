"""Three gradient steps on fresh batches, then the test error: full tokens against conditioning.

The direct versions draw every token; on one and the same batches they must find the same vectors.
The library's conditioned version has their law, which its own tests compare.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from prompt_attention import data, dynamics, risk

try:
    import torch
except ImportError:
    torch = None

N, T, RELEVANT, TEST = 1000, 50, 5, 1000
EXAMPLES = 2000  # of an estimate of the test error of a fixed model
NORM = 2.0  # of context, regressor and prompt


def contextual(dim):
    """The data of this benchmark."""
    return data.core_model(
        dim=dim,
        context_norm=NORM,
        regressor_norm=NORM,
        num_tokens=T,
        sparsity=RELEVANT / T,
    )


def versions(dim=100):
    """By name, what makes a function without arguments that gives the test error of a fresh run."""
    makers = {"library": library, "plain JAX": _plain, "NumPy": _numpy}
    if torch is not None:
        makers["PyTorch loop"] = _torch
    return {name: functools.partial(make, dim) for name, make in makers.items()}


def on_the_same_tokens(dim=20, n=64):
    """The vectors w1, q1, w2 that each direct version finds on given batches, by name."""
    rng = np.random.default_rng(0)
    batches = [draw_numpy(rng, dim, n) for _ in range(3)]
    found = {
        "NumPy": steps_numpy(batches),
        "plain JAX": steps_jax([(jnp.asarray(X), jnp.asarray(y)) for X, y in batches]),
    }
    if torch is not None:
        found["PyTorch loop"] = steps_torch(
            [(torch.from_numpy(X), torch.from_numpy(y)) for X, y in batches]
        )
    return {name: [np.asarray(v) for v in vectors] for name, vectors in found.items()}


def library(dim):
    """Three steps and the test error by the library, as a function without arguments."""
    data_model = contextual(dim)

    @jax.jit
    def error(key):
        step_key, test_key = jax.random.split(key)
        found = dynamics.three_steps(
            step_key, data_model, N, prompt_norm=NORM, method="conditioned"
        )
        return risk.projected_error(found.model(), data_model, test_key, TEST).value

    return _fresh_runs(error)


def _fresh_runs(error):
    seeds = itertools.count()
    return lambda: float(error(jax.random.key(next(seeds))))


# ---- NumPy ----------------------------------------------------------------------------------


def draw_numpy(rng, dim, n):
    """Tokens and labels."""
    y = rng.choice(np.array([-1, 1], np.float32), n)
    X = rng.standard_normal((n, T, dim), np.float32)
    X[:, :RELEVANT] = 0
    X[:, :RELEVANT, 0] = NORM
    X[:, :RELEVANT, 1] = NORM * y[:, None]
    return X, y


def _softmax(scores):
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def steps_numpy(batches):
    """w1, q1, w2 from one batch each."""
    (X, y), (X2, y2), (X3, y3) = batches
    w1 = np.repeat(y, T) @ X.reshape(-1, X.shape[2]) / (len(y) * T)
    values = X2 @ w1
    c = y2[:, None] * (values - values.mean(axis=1, keepdims=True))
    q1 = c.ravel() @ X2.reshape(c.size, -1) / c.size
    q1 *= NORM / np.linalg.norm(q1)
    c = y3[:, None] * _softmax(X3 @ q1)
    return w1, q1, c.ravel() @ X3.reshape(c.size, -1) / len(y3)


def _numpy(dim):
    rng = np.random.default_rng(1)

    def run():
        _, q, w = steps_numpy([draw_numpy(rng, dim, N) for _ in range(3)])
        X, y = draw_numpy(rng, dim, TEST)
        return np.mean(y * (_softmax(X @ q) * (X @ w)).sum(axis=1) <= 0)

    return run


# ---- PyTorch --------------------------------------------------------------------------------


def draw_torch(dim, n):
    """Tokens and labels."""
    y = 2.0 * torch.randint(0, 2, (n,)) - 1
    X = torch.randn(n, T, dim)
    X[:, :RELEVANT] = 0
    X[:, :RELEVANT, 0] = NORM
    X[:, :RELEVANT, 1] = NORM * y[:, None]
    return X, y


def steps_torch(batches):
    """w1, q1, w2 from one batch each."""
    (X, y), (X2, y2), (X3, y3) = batches
    w1 = y.repeat_interleave(T) @ X.flatten(0, 1) / (len(y) * T)
    values = X2 @ w1
    c = y2[:, None] * (values - values.mean(dim=1, keepdim=True))
    q1 = c.flatten() @ X2.flatten(0, 1) / c.numel()
    q1 = q1 * (NORM / q1.norm())
    c = y3[:, None] * torch.softmax(X3 @ q1, dim=1)
    return w1, q1, c.flatten() @ X3.flatten(0, 1) / len(y3)


def _torch(dim):
    torch.manual_seed(1)

    @torch.inference_mode()
    def run():
        _, q, w = steps_torch([draw_torch(dim, N) for _ in range(3)])
        X, y = draw_torch(dim, TEST)
        outputs = (torch.softmax(X @ q, dim=1) * (X @ w)).sum(dim=1)
        return float((y * outputs <= 0).float().mean())

    return run


# ---- JAX without the library ----------------------------------------------------------------


def draw_jax(key, dim, n):
    """Tokens and labels."""
    label_key, noise_key = jax.random.split(key)
    y = jax.random.rademacher(label_key, (n,), jnp.float32)
    noise = jax.random.normal(noise_key, (n, T - RELEVANT, dim))
    relevant = NORM * (jnp.eye(dim)[0] + y[:, None] * jnp.eye(dim)[1])
    relevant = jnp.broadcast_to(relevant[:, None], (n, RELEVANT, dim))
    return jnp.concatenate([relevant, noise], axis=1), y


def steps_jax(batches):
    """w1, q1, w2 from one batch each."""
    (X, y), (X2, y2), (X3, y3) = batches
    w1 = jnp.einsum("n,ntd->d", y, X) / (len(y) * T)
    values = X2 @ w1
    c = y2[:, None] * (values - values.mean(axis=1, keepdims=True))
    q1 = jnp.einsum("nt,ntd->d", c, X2) / c.size
    q1 *= NORM / jnp.linalg.norm(q1)
    c = y3[:, None] * jax.nn.softmax(X3 @ q1)
    return w1, q1, jnp.einsum("nt,ntd->d", c, X3) / len(y3)


def _plain(dim):
    @jax.jit
    def error(key):
        *step_keys, test_key = jax.random.split(key, 4)
        _, q, w = steps_jax([draw_jax(step_key, dim, N) for step_key in step_keys])
        X, y = draw_jax(test_key, dim, TEST)
        return jnp.mean(y * jnp.sum(jax.nn.softmax(X @ q) * (X @ w), axis=1) <= 0)

    return _fresh_runs(error)


# ---- the test error of a fixed model --------------------------------------------------------


def error_versions(prompt_norm, dim=100):
    """Estimates of one test error, as functions of a key that return value and standard error."""
    data_model = contextual(dim)
    found = dynamics.three_steps(
        jax.random.key(3), data_model, N, prompt_norm=prompt_norm, method="conditioned"
    )
    model = found.model()

    def full(key):
        return risk.error_rate(model, data_model.sample(key, EXAMPLES))

    estimates = {"full tokens": full}
    for name, estimate in {"counted": risk.counted_error, "library": risk.projected_error}.items():
        estimates[name] = functools.partial(estimate, model, data_model, num_examples=EXAMPLES)
    return {name: jax.jit(estimate) for name, estimate in estimates.items()}
