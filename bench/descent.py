"""A step of full-batch gradient descent on (1/2n) sum (y - <w, X' phi(X q)>)^2."""

import functools

import jax
import jax.numpy as jnp
import kernels
import numpy as np

from prompt_attention import data, models, risk

try:
    import torch
except ImportError:
    torch = None

RATE = 0.1


def problem(dtype, n, T, d):
    """Tokens, labels, head and prompt as NumPy arrays."""
    rng = np.random.default_rng(0)
    arrays = (
        rng.standard_normal((n, T, d)),
        rng.choice([-1.0, 1.0], n),
        rng.standard_normal(d) / np.sqrt(d),
        rng.standard_normal(d) / np.sqrt(d),
    )
    return [array.astype(dtype) for array in arrays]


def versions(dtype, n=1000, T=50, d=100):
    """By name, what makes a function without arguments that takes one step and returns (w, q).

    "reading the tokens" only reads them, from end to end: no step can be faster.
    """
    arrays = problem(dtype, n, T, d)
    makers = {
        "library": _library,
        "plain JAX": _plain,
        "JAX, block by block": _block_by_block,
        "NumPy": lambda *arrays: functools.partial(_numpy, *arrays),
    }
    if torch is not None:
        makers["PyTorch eager"] = _torch
    if (loaded := kernels.library()) is not None:
        makers["fused C kernel"] = lambda *a: functools.partial(kernels.step, loaded, *a, RATE)
        makers["reading the tokens"] = lambda X, *_: functools.partial(kernels.read, loaded, X)
    return {name: functools.partial(make, *arrays) for name, make in makers.items()}


def _library(X, y, w, q):
    X, y = jnp.asarray(X), jnp.asarray(y)
    batch = data.Batch(X, y, jnp.zeros(X.shape[:2], bool), jnp.zeros((len(y), 2)))
    model = models.PromptAttention(len(w), head=w, prompt=q)

    loss = risk.streamed(risk.squared_loss)

    @jax.jit
    def step(model, batch):
        gradient = jax.grad(loss)(model, batch)
        return jax.tree.map(lambda value, slope: value - RATE * slope, model, gradient)

    def run():
        stepped = jax.block_until_ready(step(model, batch))
        return stepped.head[...], stepped.prompt[...]

    return run


# ---- JAX without the library ----------------------------------------------------------------


def _loss(w, q, X, y):
    outputs = jax.vmap(lambda x: jax.nn.softmax(x @ q) @ (x @ w))(X)
    return jnp.mean((y - outputs) ** 2) / 2


def _plain(X, y, w, q):
    @jax.jit
    def step(w, q, X, y):
        dw, dq = jax.grad(_loss, (0, 1))(w, q, X, y)
        return w - RATE * dw, q - RATE * dq

    return _on_device(step, w, q, X, y)


def _block_by_block(X, y, w, q, blocks=40):
    """The library's plan without the library: half a megabyte of tokens at a time."""
    size = len(y) // blocks

    @jax.jit
    def step(w, q, X, y):
        def add(k, total):
            block = (jax.lax.dynamic_slice_in_dim(array, k * size, size) for array in (X, y))
            return jax.tree.map(jnp.add, total, jax.grad(_loss, (0, 1))(w, q, *block))

        zero = jnp.zeros_like(w), jnp.zeros_like(q)
        dw, dq = jax.lax.fori_loop(0, blocks, add, zero)
        return w - RATE / blocks * dw, q - RATE / blocks * dq

    return _on_device(step, w, q, X, y)


def _on_device(step, *arrays):
    arrays = [jnp.asarray(array) for array in arrays]
    return lambda: jax.block_until_ready(step(*arrays))


# ---- NumPy and PyTorch ----------------------------------------------------------------------


def _numpy(X, y, w, q):
    scores, values = X @ q, X @ w
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    outputs = (weights * values).sum(axis=1)
    for_head = ((y - outputs) / len(y))[:, None] * weights
    for_prompt = for_head * (values - outputs[:, None])
    flat = X.reshape(-1, X.shape[-1])
    rate = X.dtype.type(RATE)
    return w + rate * (for_head.ravel() @ flat), q + rate * (for_prompt.ravel() @ flat)


def _torch(X, y, w, q):
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    head, prompt = (torch.tensor(v, requires_grad=True) for v in (w, q))

    def step():
        outputs = (torch.softmax(X @ prompt, dim=1) * (X @ head)).sum(dim=1)
        loss = ((y - outputs) ** 2).mean() / 2
        dw, dq = torch.autograd.grad(loss, (head, prompt))
        with torch.no_grad():
            return (head - RATE * dw).numpy(), (prompt - RATE * dq).numpy()

    return step
