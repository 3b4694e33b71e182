"""Full-batch gradient descent of prompt-attention: (1/2n) sum (y - <w, X' phi(X q)>)^2."""

from functools import partial

import jax
import jax.numpy as jnp
import kernels
import numpy as np
import optax

from prompt_attention import data, models, risk, training

try:
    import torch
except ImportError:
    torch = None

SIZES = {"n": 1000, "T": 50, "d": 100}
RATE = 0.1


def problem(dtype):
    """Tokens, labels, head and prompt as NumPy arrays."""
    rng = np.random.default_rng(0)
    n, T, d = SIZES.values()
    arrays = (
        rng.standard_normal((n, T, d)),
        rng.choice([-1.0, 1.0], n),
        rng.standard_normal(d) / np.sqrt(d),
        rng.standard_normal(d) / np.sqrt(d),
    )
    return [array.astype(dtype) for array in arrays]


def versions(dtype):
    """Each version as a function without arguments that takes one step and returns (w, q)."""
    X, y, w, q = problem(dtype)
    found = {"NumPy": partial(_numpy, X, y, w, q)}
    found |= {
        "plain JAX": _in(dtype, _plain, X, y, w, q),
        "library": _in(dtype, _library, X, y, w, q),
    }
    if torch is not None:
        found["PyTorch eager"] = _torch(X, y, w, q)
    if (loaded := kernels.library()) is not None:
        found["fused C kernel"] = partial(kernels.step, loaded, X, y, w, q, RATE)
        found["reading the tokens"] = partial(kernels.read, loaded, X)
    return found


def _in(dtype, make, *arrays):
    """A version that jax runs in this precision."""

    def precise(function):
        jax.config.update("jax_enable_x64", dtype == np.float64)
        try:
            return function()
        finally:
            jax.config.update("jax_enable_x64", False)

    step = precise(lambda: make(*arrays))
    return lambda: precise(step)


def _numpy(X, y, w, q):
    scores, values = X @ q, X @ w
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    outputs = (weights * values).sum(axis=1)
    for_head = ((y - outputs) / len(y))[:, None] * weights
    for_prompt = for_head * (values - outputs[:, None])
    flat = X.reshape(-1, X.shape[-1])
    return w + RATE * for_head.ravel() @ flat, q + RATE * for_prompt.ravel() @ flat


def _plain(X, y, w, q):
    def loss(w, q, X, y):
        outputs = jax.vmap(lambda x: jax.nn.softmax(x @ q) @ (x @ w))(X)
        return jnp.mean((y - outputs) ** 2) / 2

    @jax.jit
    def step(w, q, X, y):
        dw, dq = jax.grad(loss, (0, 1))(w, q, X, y)
        return w - RATE * dw, q - RATE * dq

    arrays = [jnp.asarray(array) for array in (w, q, X, y)]
    return lambda: jax.block_until_ready(step(*arrays))


def _library(X, y, w, q):
    batch = data.Batch(
        *map(jnp.asarray, (X, y, np.zeros(X.shape[:2], bool), np.zeros((len(y), 2))))
    )
    model = models.PromptAttention(len(w), head=jnp.asarray(w), prompt=jnp.asarray(q))
    optimizer, loss = optax.sgd(RATE), risk.streamed_squared_loss

    @jax.jit
    def step(descent, batch):
        on_all = lambda params, _: loss(params, batch)  # noqa: E731
        end, _ = training.descend(on_all, descent, optimizer, jnp.arange(1))
        return end.params.head[...], end.params.prompt[...]

    start = training.start(model, optimizer)
    return lambda: jax.block_until_ready(step(start, batch))


def _torch(X, y, w, q):
    X, y = torch.from_numpy(X), torch.from_numpy(y)

    def step():
        head, prompt = (torch.tensor(v, requires_grad=True) for v in (w, q))
        outputs = (torch.softmax(X @ prompt, dim=1) * (X @ head)).sum(dim=1)
        loss = ((y - outputs) ** 2).mean() / 2
        loss.backward()
        return (head - RATE * head.grad).detach().numpy(), (
            prompt - RATE * prompt.grad
        ).detach().numpy()

    return step
