"""The population flow is the limit of gradient descent, with the fixed points of the page (G5)."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import brentq

from prompt_attention import data, dynamics, models, risk, training

DIM = 4


def discrete(nuisance=((0.3, 1.5),), correlation=0.0, positive_rate=0.5, probs=None):
    """A discrete dataset in which every number differs from one."""
    core = data.core_model(
        dim=DIM,
        context_norm=2.0,
        regressor_norm=1.5,
        correlation=correlation,
        num_tokens=10,
        sparsity=0.2,
        noise_std=0.0,
    )
    return dataclasses.replace(
        core, nuisance=nuisance, nuisance_probs=probs, positive_rate=positive_rate
    )


def every_example(contextual):
    """The whole discrete dataset as one batch, each (label, nuisance) as often as it should be."""
    rows = []
    for y, rate in ((1.0, contextual.positive_rate), (-1.0, 1 - contextual.positive_rate)):
        for pair, prob in zip(contextual.nuisance, contextual.nuisance_weights, strict=True):
            rows += [(y, pair)] * round(20 * float(rate * prob))
    assert len(rows) == 20
    labels = jnp.array([y for y, _ in rows])
    nuisance = jnp.stack([pair for _, pair in rows])
    relevant = jnp.broadcast_to(jnp.arange(10) < 2, (20, 10))
    r = jax.vmap(contextual.relevant_token)(labels)[:, None]
    u = jax.vmap(contextual.irrelevant_mean)(labels, nuisance)[:, None]
    return data.Batch(jnp.where(relevant[..., None], r, u), labels, relevant, nuisance)


SETTINGS = {
    "core": {"nuisance": ((0.0, 0.0),)},
    "one nuisance": {},
    "correlated": {"correlation": -0.6},
    "strong context": {"nuisance": ((2.0, 0.5),)},
    "unequal labels": {"positive_rate": 0.7, "nuisance": ((0.0, -0.5),)},
    "mixture": {
        "nuisance": ((0.0, 0.0), (0.4, 2.0), (1.0, -1.0)),
        "probs": (0.5, 0.25, 0.25),
        "positive_rate": 0.4,
        "correlation": 0.3,
    },
}
START = (jnp.array([0.3, -0.2, 0.1, 0.4]), jnp.array([0.2, 0.5, -0.3, 0.0]))


def products(contextual, w, q):
    """(a, b, c, e) of a head and a prompt."""
    vectors = np.float64([contextual.context, contextual.regressor])
    return np.concatenate([vectors @ np.float64(w), vectors @ np.float64(q)])


@pytest.mark.parametrize("name", SETTINGS)
def test_velocity_is_the_gradient_of_the_model(float64, name):
    """Against jax.grad of the squared loss of the model itself, over every example."""
    contextual = discrete(**SETTINGS[name])
    batch = jax.tree.map(lambda x: x.astype(float), every_example(contextual))
    w, q = (vector.astype(float) for vector in START)

    def loss(w, q):
        return risk.squared_loss(models.PromptAttention(DIM, head=w, prompt=q), batch)

    value, (slope_w, slope_q) = jax.value_and_grad(loss, (0, 1))(w, q)
    state = products(contextual, w, q)
    np.testing.assert_allclose(dynamics.population_loss(contextual, state), value, rtol=1e-6)
    np.testing.assert_allclose(
        dynamics.flow_velocity(contextual, state),
        products(contextual, -slope_w, -slope_q),
        rtol=1e-5,
        atol=1e-7,
    )


@pytest.mark.parametrize("name", ["one nuisance", "mixture"])
def test_flow_is_the_limit_of_gradient_descent(name):
    """Full-batch descent through `train`; the gap shrinks with the step size over three sizes."""
    contextual = discrete(**SETTINGS[name])
    batch = every_example(contextual)
    w, q = START
    flow = dynamics.population_flow(contextual, products(contextual, w, q), [1.0, 4.0])
    end = np.array([flow.a[-1], flow.b[-1], flow.c[-1], flow.e[-1]])
    gaps = []
    for num_steps in (40, 160, 640):
        model = models.PromptAttention(DIM, head=w, prompt=q)
        run = dynamics.train(model, optax.sgd(4.0 / num_steps), batch, num_steps)
        reached = products(contextual, run.model.head[...], run.model.prompt[...])
        gaps.append(abs(reached - end).max())
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2]
    assert gaps[2] < 0.005


def test_flow_is_the_limit_of_large_samples():
    """Descent on drawn examples comes closer as the sample grows, like one over its root."""
    contextual = dataclasses.replace(discrete(**SETTINGS["mixture"]), relevance="first")
    w, q = START
    flow = dynamics.population_flow(contextual, products(contextual, w, q), [4.0])
    end = np.array([flow.a[-1], flow.b[-1], flow.c[-1], flow.e[-1]])

    def run(key, n):
        batch = contextual.sample(key, n)
        start = training.start(models.PromptAttention(DIM, head=w, prompt=q), optax.sgd(0.02))
        last, _ = training.descend(
            lambda model, _: risk.squared_loss(model, batch),
            start,
            optax.sgd(0.02),
            jnp.arange(200),
        )
        return last.params.head[...], last.params.prompt[...]

    gaps = []
    for n in (16, 160, 1600):
        keys = jax.random.split(jax.random.key(1), 12)
        ends = jax.jit(jax.vmap(run, (0, None)), static_argnums=1)(keys, n)
        away = [products(contextual, w, q) - end for w, q in zip(*ends, strict=True)]
        gaps.append(np.sqrt(np.mean(np.square(away))))
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2]
    assert gaps[2] < 0.05


def test_fixed_points():
    """The saddle has no velocity, one growing and one shrinking direction."""
    contextual = discrete()
    saddle = dynamics.flow_saddle(contextual)
    here = np.array([0.0, saddle.b, saddle.c, 0.0])
    np.testing.assert_allclose(dynamics.flow_velocity(contextual, here), 0.0, atol=1e-12)
    shift = 1e-5 * np.eye(4)[[1, 2]]
    jacobian = [
        (
            dynamics.flow_velocity(contextual, here + s)
            - dynamics.flow_velocity(contextual, here - s)
        )
        / 2e-5
        for s in shift
    ]
    eigenvalues = np.linalg.eigvals(np.array(jacobian)[:, [1, 2]])
    assert min(eigenvalues) < -0.1
    assert max(eigenvalues) > 0.1
    assert dynamics.flow_saddle(discrete(((0.0, -1.0),))).c == -np.inf


@pytest.mark.parametrize("prompt_score", [-1.0, 0.0, 1.0, 3.0])
def test_turning_head_parts_the_starting_points(prompt_score):
    """A hair above it the relevant tokens are read in the end, a hair below the others."""
    contextual = discrete()
    threshold = float(dynamics.turning_head(contextual, prompt_score))
    for side in (1, -1):
        start = [0.0, threshold + 0.01 * side, prompt_score, 0.0]
        flow = dynamics.population_flow(contextual, start, [20.0, 400.0])
        assert flow.loss[-1] < 1e-6
        assert np.sign(flow.b[-1]) == side
        assert np.sign(flow.c[-1] - dynamics.flow_saddle(contextual).c) == side
        kept = dynamics.conserved(contextual, flow.b, flow.c)
        first = dynamics.conserved(contextual, start[1], start[2])
        np.testing.assert_allclose(kept, first, rtol=1e-6)


def test_core_flow_ends_where_the_conserved_number_says():
    """No nuisance: from w = q = 0 the end solves M b = 1 on the level of the start."""
    contextual = discrete(((0.0, 0.0),))
    flow = dynamics.population_flow(contextual, np.zeros(4), [1.0, 200.0])
    start = dynamics.conserved(contextual, 0.0, 0.0)

    def mass(c):
        return 0.2 * np.exp(c) / (0.2 * np.exp(c) + 0.8)

    c = brentq(lambda c: dynamics.conserved(contextual, 1 / mass(c), c) - start, 0.0, 10.0)
    np.testing.assert_allclose(flow.c[-1], c, rtol=1e-6)
    np.testing.assert_allclose(flow.b[-1], 1 / mass(c), rtol=1e-6)
    np.testing.assert_allclose([flow.a[-1], flow.e[-1]], 0.0, atol=1e-9)


def test_correlated_vectors_leave_the_plane():
    """The twin of the conserved number: at correlation 0.5 the flow drifts off its level."""
    flow = dynamics.population_flow(discrete(correlation=0.5), [0.0, 1.0, 0.0, 0.0], [1.0, 10.0])
    kept = dynamics.conserved(discrete(), flow.b, flow.c)
    first = dynamics.conserved(discrete(), 1.0, 0.0)
    assert abs(kept - first).max() > 0.05
    assert abs(flow.e).max() > 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: dynamics.population_flow(
                dataclasses.replace(discrete(), noise_std=1.0), np.zeros(4), [1.0]
            ),
            "Result G5 assumes the discrete dataset",
        ),
        (
            lambda: dynamics.population_flow(discrete(), np.zeros(4), [2.0, 1.0]),
            "times must increase from 0 or later, got [2. 1.]",
        ),
        (
            lambda: dynamics.population_flow(discrete(), [0.0, np.inf, 0.0, 0.0], [1.0]),
            "initial must be finite, got",
        ),
        (
            lambda: dynamics.flow_saddle(discrete(((0.0, 0.0), (0.0, 1.0)))),
            "assumes one value of nuisance, got 2",
        ),
        (
            lambda: dynamics.flow_saddle(discrete(correlation=0.5)),
            "Result G5 assumes a context orthogonal",
        ),
        (
            lambda: dynamics.conserved(discrete(((0.0, -1.0),)), 0.0, 0.0),
            "the conserved number needs dw != -1, got dw = -1.0",
        ),
        (
            lambda: dynamics.conserved(discrete(positive_rate=0.2), 0.0, 0.0),
            "Result G5 assumes labels of equal chance",
        ),
        (
            lambda: dynamics.turning_head(discrete(((0.0, -1.0),))),
            "needs irrelevant tokens with dw > 0, got dw = -1.0",
        ),
    ],
)
def test_bad_input_is_refused_with_its_name(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
