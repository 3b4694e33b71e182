"""Losses, error rates with their standard errors, and the projected error of D3."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from prompt_attention import data, models, risk

VECTOR_MODELS = [models.PromptAttention, models.LinearPromptAttention, models.MeanPooling]


def test_losses_of_known_outputs():
    """Mean pooling with outputs 1, -2 and 0 against labels 1, 1 and -1."""
    tokens = jnp.array([1.0, -2.0, 0.0])[:, None, None] * jnp.ones((3, 2, 1))
    labels = jnp.array([1.0, 1.0, -1.0])
    batch = data.Batch(tokens, labels, jnp.ones((3, 2), bool), jnp.zeros((3, 2)))
    model = models.MeanPooling(1, head=jnp.ones(1))
    np.testing.assert_allclose(risk.squared_loss(model, batch), (0 + 9 + 1) / 6, rtol=1e-6)
    expected = (np.log1p(np.exp(-1)) + np.log1p(np.exp(2)) + np.log(2)) / 3
    np.testing.assert_allclose(risk.logistic_loss(model, batch), expected, rtol=1e-6)
    error = risk.error_rate(model, batch)
    np.testing.assert_allclose(error.value, 2 / 3, rtol=1e-6)  # the tie at 0 is an error
    np.testing.assert_allclose(error.standard_error, np.std([0, 1, 1], ddof=1) / 3**0.5, rtol=1e-6)


def test_an_output_of_nan_is_an_error(mixture):
    model = models.MeanPooling(4, head=jnp.full(4, jnp.nan))
    assert risk.error_rate(model, mixture.sample(jax.random.key(0), 10)).value == 1


def test_logistic_loss_does_not_overflow():
    batch = data.Batch(
        jnp.full((1, 2, 1), -1e4), jnp.ones(1), jnp.ones((1, 2), bool), jnp.zeros((1, 2))
    )
    loss, gradient = jax.value_and_grad(risk.logistic_loss)(
        models.MeanPooling(1, head=jnp.ones(1)), batch
    )
    np.testing.assert_allclose(loss, 1e4)
    np.testing.assert_allclose(gradient.head[...], 1e4)


def test_standard_error_is_the_spread_of_the_estimate(mixture):
    model = models.PromptAttention(4, rngs=nnx.Rngs(0))
    keys = jax.random.split(jax.random.key(0), 400)
    errors = jax.vmap(lambda key: risk.error_rate(model, mixture.sample(key, 200)))(keys)
    spread = errors.value.std(ddof=1)
    assert abs(spread / errors.standard_error.mean() - 1) < 4 / np.sqrt(2 * 400)


@pytest.mark.parametrize("kind", VECTOR_MODELS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_projected_error_agrees_with_full_tokens(mixture, kind, seed):
    model = kind(4, rngs=nnx.Rngs(seed))
    full = risk.error_rate(model, mixture.sample(jax.random.key(1), 40_000))
    projected = risk.projected_error(model, mixture, jax.random.key(2), 40_000)
    assert 0.01 < full.value < 0.99
    standard_error = jnp.hypot(full.standard_error, projected.standard_error)
    assert abs(full.value - projected.value) < 4 * standard_error


def test_projected_error_is_wrong_for_noise_of_signs():
    """The twin of D3: same mean and covariance, but the score of a token is one sign."""
    contextual = data.core_model(
        dim=64, context_norm=2.0, regressor_norm=1.0, num_tokens=50, sparsity=0.1
    )
    model = models.PromptAttention(64, head=contextual.regressor, prompt=1.5 * contextual.context)
    signs = dataclasses.replace(contextual, noise_law=jax.random.rademacher)
    full = risk.error_rate(model, signs.sample(jax.random.key(1), 4_000))
    projected = risk.projected_error(model, contextual, jax.random.key(2), 4_000)
    gap = projected.value - full.value
    assert gap > 10 * jnp.hypot(full.standard_error, projected.standard_error)


def test_projected_error_needs_no_d_dimensional_tokens():
    """With d = 10^7 one batch of full tokens would need 4 TB."""
    contextual = data.core_model(
        dim=10_000_000, context_norm=2.0, regressor_norm=2.0, num_tokens=100, sparsity=0.1
    )
    model = models.PromptAttention(
        contextual.dim, head=contextual.regressor, prompt=contextual.context
    )
    error = risk.projected_error(model, contextual, jax.random.key(0), 1000)
    assert 0 <= error.value < 0.5


def test_projected_error_refuses_self_attention(mixture):
    model = models.SelfAttention(4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="weights of shape \\[4, 4\\] in SelfAttention"):
        risk.projected_error(model, mixture, jax.random.key(0), 10)


def test_projected_error_names_dimensions_that_differ(mixture):
    model = models.MeanPooling(5, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="the model has dimension 5 and the data 4"):
        risk.projected_error(model, mixture, jax.random.key(0), 10)


def test_jitted_error_is_the_same(mixture):
    model = models.PromptAttention(4, rngs=nnx.Rngs(0))
    batch = mixture.sample(jax.random.key(1), 500)
    plain, jitted = risk.error_rate(model, batch), jax.jit(risk.error_rate)(model, batch)
    np.testing.assert_allclose(plain, jitted, rtol=1e-6)
