"""The answers of assignment 3 against gradient steps on drawn tokens, and against the flow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from prompt_attention import data, models, risk

T, RELEVANT, ZETA = 5, 2, 0.4
Q, W = 2.0, 1.5


def tokens(rng, labels, d, variances, eta):
    """Core examples with e1 for the context and e2 for the regressor."""
    X = np.sqrt(variances) * rng.normal(size=(len(labels), T, d))
    X[:, :RELEVANT] = eta * rng.normal(size=(len(labels), RELEVANT, d))
    X[:, :RELEVANT, 0] += Q
    X[:, :RELEVANT, 1] += W * labels[:, None]
    return X


def two_steps(rng, d, variances, eta=0.0, flip=0.0):
    """The alignments of the first head and of the prompt, n = 2 d, a fresh batch for each."""
    vectors, w = [], None
    for _ in range(2):
        seen = rng.permutation(np.resize([1.0, -1.0], 2 * d))
        true = np.where(rng.random(2 * d) < flip, -seen, seen)
        X = tokens(rng, true, d, variances, eta)
        if w is None:
            w = seen @ X.mean(axis=1) / len(seen)
            vectors.append((w, 1))
        else:
            scores = X @ w
            scores -= scores.mean(axis=1, keepdims=True)
            vectors.append((np.einsum("n,nt,ntd->d", seen, scores, X) / (T * len(seen)), 0))
    return [v[axis] ** 2 / (v @ v) for v, axis in vectors]


def gaps_shrink(limit, draw, dims=(8, 32, 128), runs=(2400, 600, 150)):
    """Whether simulated means approach the limit as 1/d, over three sizes."""
    gaps, errors = [], []
    for d, repeats in zip(dims, runs, strict=True):
        rng = np.random.default_rng(d)
        values = np.array([draw(rng, d) for _ in range(repeats)])
        gaps.append(abs(values.mean(axis=0) - limit(d)))
        errors.append(values.std(axis=0, ddof=1) / np.sqrt(repeats))
    allowed = 2 * gaps[0] * dims[0] / dims[-1] + 4.5 * errors[-1]
    return (gaps[-1] <= allowed).all() and (gaps[-1] < gaps[0] / 2).all()


def test_first_head_with_flipped_labels_and_noisy_relevant_tokens(answers):
    assert gaps_shrink(
        lambda d: answers.first_head_alignment(2 * d, d, T, ZETA, W, 2.4, 1.5, 0.15),
        lambda rng, d: two_steps(rng, d, np.full(d, 2.4**2), 1.5, 0.15)[0],
    )


def test_prompt_with_noisy_relevant_tokens(answers):
    assert gaps_shrink(
        lambda d: answers.noisy_prompt_alignment(2 * d, d, T, ZETA, Q, W, 0.8, 1.3),
        lambda rng, d: two_steps(rng, d, np.full(d, 0.8**2), 1.3)[1],
    )


def test_coloured_noise(answers):
    def variances(d):
        """A loud regressor, and a quarter of the others loud."""
        return np.where(np.arange(d) % 4 == 1, 3.0, 0.4)

    def limit(d):
        q, w = np.eye(2, d)
        return answers.coloured_alignments(2 * d, T, ZETA, Q * q, W * w, variances(d))

    assert gaps_shrink(limit, lambda rng, d: two_steps(rng, d, variances(d)))


@pytest.mark.parametrize("centred", [False, True])
def test_population_prompt_of_unbalanced_labels(answers, centred):
    rng = np.random.default_rng(0)
    pi, n, sigma = 0.8, 20_000, 1.0
    shift = (2 * pi - 1) * centred
    found = []
    for _ in range(30):
        w = None
        for _ in range(2):
            y = np.where(rng.random(n) < pi, 1.0, -1.0)
            X = tokens(rng, y, 2, np.full(2, sigma**2), 0.0)
            if w is None:
                w = (y - shift) @ X.mean(axis=1) / n
        scores = X @ w
        scores -= scores.mean(axis=1, keepdims=True)
        found.append(np.einsum("n,nt,ntd->d", y - shift, scores, X) / (T * n))
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(30)
    formula = answers.population_prompt(pi, T, ZETA, Q, W, sigma, centred)
    assert (abs(mean - formula) < 4.5 * error).all()


def test_innocent_nuisance_turns_the_prompt_of_the_library_away(answers):
    law = answers.innocent_nuisance(ZETA)

    def prompt(nuisance, probs):
        contextual = data.core_model(
            dim=3, context_norm=Q, regressor_norm=W, num_tokens=T, sparsity=ZETA, noise_std=0.0
        )
        contextual = data.ContextualModel(
            context=contextual.context,
            regressor=contextual.regressor,
            num_tokens=T,
            sparsity=ZETA,
            noise_std=0.0,
            nuisance=nuisance,
            nuisance_probs=probs,
        )
        batch = contextual.sample(jax.random.key(0), 4000)

        def loss(w, q):
            return risk.squared_loss(models.PromptAttention(3, head=w, prompt=q), batch)

        zero = jnp.zeros(3)
        w = -1e-3 * jax.grad(loss)(zero, zero)
        q = -jax.grad(loss, argnums=1)(w, zero)
        return float(w @ contextual.regressor), float(q @ contextual.context)

    vote, turn = prompt(law[:, :2], law[:, 2])
    assert vote > 0
    assert turn < 0
    vote, turn = prompt([(0.0, 0.0)], None)  # the twin: no nuisance at all
    assert min(vote, turn) > 0


def test_saving_speed_parts_the_flow_of_the_gradient(answers):
    """Gradients by jax on five tokens, not the equations of G5."""
    dw, start = 1.5, 0.8
    zeta = 0.2

    @jax.jit
    def velocity(state, speed):
        def loss(w, q):
            total = 0.0
            for y in (1.0, -1.0):
                u = jnp.array([0.0, -dw * y * W])
                X = jnp.stack([jnp.array([Q, y * W]), u, u, u, u])
                f = jax.nn.softmax(X @ q) @ (X @ w)
                total += (y - f) ** 2 / 4
            return total

        dw_, dq_ = jax.grad(loss, (0, 1))(state[:2], state[2:])
        return jnp.concatenate([-dw_, -speed * dq_])

    def end(speed):
        state = np.array([0.0, start / W, 0.0, 0.0])
        run = integrate.solve_ivp(
            lambda t, s: np.asarray(velocity(s, speed), float), (0, 60), state, rtol=1e-6, atol=1e-8
        )
        return run.y[1, -1] > 0  # the head reads the relevant tokens

    speed = answers.saving_speed(start, zeta, dw, Q, W)
    assert end(1.05 * speed)
    assert not end(0.95 * speed)
