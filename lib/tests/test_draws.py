"""Random arrays drawn as one row: the same numbers, and no counters over several axes."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from prompt_attention import data, draws, dynamics, expressivity, models, performance, trials
from prompt_attention.vision import canvases, images

KEY = jax.random.key(3)


@pytest.mark.parametrize("shape", [(), (7,), (2, 3), (4, 1, 5), (0, 3)])
@pytest.mark.parametrize("law", ["normal", "uniform", "rademacher", "exponential"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_numbers_are_those_of_jax(shape, law, dtype):
    law = getattr(jax.random, law)
    with jax.enable_x64(dtype == jnp.float64):
        drawn, expected = draws.in_a_row(law)(KEY, shape, dtype), law(KEY, shape, dtype)
    assert drawn.dtype == expected.dtype == dtype
    np.testing.assert_array_equal(drawn, expected)


def test_named_draws():
    np.testing.assert_array_equal(draws.normal(KEY, (2, 3)), jax.random.normal(KEY, (2, 3)))
    np.testing.assert_array_equal(draws.uniform(KEY, (2, 3)), jax.random.uniform(KEY, (2, 3)))


def shapes_of_draws(function, *arguments):
    """Shapes of all random bits that a function draws, those of vmap's axes left out."""

    def within(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name in ("random_bits", "random_split"):
                yield equation.params["shape"]
            for value in jax.tree.leaves(
                list(equation.params.values()),
                is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr"),
            ):
                inner = getattr(value, "jaxpr", value)
                if hasattr(inner, "eqns"):
                    yield from within(inner)

    return list(within(jax.make_jaxpr(function)(*arguments).jaxpr))


def core(**changes):
    law = {"dim": 6, "context_norm": 2.0, "regressor_norm": 1.0, "num_tokens": 10, "sparsity": 0.2}
    return data.core_model(**law | changes)


def test_the_count_of_shapes_sees_axes():
    assert shapes_of_draws(lambda key: jax.random.normal(key, (3, 4)), KEY) == [(3, 4)]
    assert shapes_of_draws(jax.jit(jax.vmap(jax.random.normal)), jax.random.split(KEY, 5)) == [()]


@pytest.mark.parametrize("noise_law", [jax.random.normal, jax.random.rademacher, data.student_t8])
def test_samples_are_drawn_as_rows(noise_law):
    law = dataclasses.replace(core(), noise_law=noise_law, nuisance=((0.0, 0.0), (1.0, 1.0)))
    shapes = shapes_of_draws(lambda key: law.sample(key, 5), KEY)
    assert (5 * 10 * 6,) in shapes
    assert all(len(shape) <= 1 for shape in shapes), shapes


def errors_of_heads(key):
    options = {"method": "ridge", "ridge": 0.1, "draw": trials.noisy_relevant_tokens}
    return trials.known_prompt_trials(key, core(), jnp.ones(2), 5, 3, **options)


def trained_on_discrete(key):
    discrete = core(noise_std=0.0)
    kind = models.SelfAttention
    return expressivity.best_of_restarts(key, kind, discrete, 2, num_steps=2).errors


def drawn_canvases(key):
    law = canvases.Family(name="partial", grid=2, num_relevant=1)
    return law.sample(key, images.load("pretrain"), 3, classes=(0, 1)).tokens


@pytest.mark.parametrize(
    "function",
    [
        errors_of_heads,
        trained_on_discrete,
        drawn_canvases,
        lambda key: models.SelfAttention(4, rngs=nnx.Rngs(key)).weights[...],
        partial(dynamics.simulate, contextual=core(), num_examples=6, num_repeats=2),
        partial(
            dynamics.simulate,
            contextual=core(),
            num_examples=6,
            num_repeats=2,
            method="conditioned",
        ),
        partial(
            performance.learned_prompt_error,
            contextual=core(),
            num_examples=50,
            prompt_norm=1.0,
            num_draws=20,
        ),
        partial(
            performance.known_prompt_error,
            contextual=core(),
            prompt_scale=1.0,
            num_examples=50,
            num_draws=20,
        ),
    ],
)
def test_the_library_draws_rows(function):
    """A vmap over draws of several axes takes XLA seconds; of rows, tenths of a second."""
    shapes = shapes_of_draws(function, KEY)
    assert shapes
    assert all(len(shape) <= 1 for shape in shapes), shapes
