"""Losses, error rates with their standard errors, and the errors of D3 and S1."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import norm

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


@pytest.mark.parametrize("loss", [risk.squared_loss, risk.logistic_loss])
@pytest.mark.parametrize("num_examples", [1, 23])
@pytest.mark.parametrize("block_examples", [1, 5, 100])
def test_streamed_loss_has_the_gradient_of_the_loss(
    monkeypatch, float64, mixture, num_examples, block_examples, loss
):
    """In double precision, for blocks of one example, blocks with a rest, and one block for all."""
    monkeypatch.setattr(risk, "BLOCK_BYTES", block_examples * 10 * 4 * 8)
    batch = mixture.sample(jax.random.key(0), num_examples)
    batch = batch._replace(tokens=batch.tokens.astype(float), labels=batch.labels.astype(float))
    w, q = jax.random.normal(jax.random.key(1), (2, 4))
    model, streamed = models.PromptAttention(4, head=w, prompt=q), risk.streamed(loss)
    expected_loss, expected = jax.value_and_grad(loss)(model, batch)
    value, gradient = jax.jit(jax.value_and_grad(streamed))(model, batch)
    np.testing.assert_allclose(value, expected_loss, rtol=1e-12)
    np.testing.assert_allclose(streamed(model, batch), expected_loss, rtol=1e-12)
    np.testing.assert_allclose(gradient.head[...], expected.head[...], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(gradient.prompt[...], expected.prompt[...], rtol=1e-10, atol=1e-13)
    tripled = jax.grad(lambda model: 3 * streamed(model, batch))(model)
    np.testing.assert_allclose(tripled.head[...], 3 * gradient.head[...], rtol=1e-12)


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
    assert 0.01 < full.value < 0.99
    for method in (risk.counted_error, risk.projected_error):
        cheap = method(model, mixture, jax.random.key(2), 40_000)
        standard_error = jnp.hypot(full.standard_error, cheap.standard_error)
        assert abs(full.value - cheap.value) < 4 * standard_error
    assert cheap.standard_error < full.standard_error


def shaped(mixture):
    """The mixture with noise of rank three that differs between directions."""
    factor = jnp.array([[1.0, 0.0, 0.3], [0.5, 0.8, 0.0], [0.0, 0.2, 0.1], [0.7, 0.0, 0.0]])
    return dataclasses.replace(mixture, noise_factor=factor, relevance="first")


@pytest.mark.parametrize("kind", VECTOR_MODELS)
def test_projected_error_agrees_with_counting(mixture, kind):
    """Shaped noise, and a million counted examples: a bias of one percent would show."""
    contextual = shaped(mixture)
    model = kind(4, rngs=nnx.Rngs(3))
    counted = risk.counted_error(model, contextual, jax.random.key(1), 1_000_000)
    projected = risk.projected_error(model, contextual, jax.random.key(2), 200_000)
    standard_error = jnp.hypot(counted.standard_error, projected.standard_error)
    assert standard_error < 0.0015
    assert abs(counted.value - projected.value) < 4 * standard_error


def test_projected_error_of_mean_pooling_is_exact():
    """No score, so no draw: Phibar(zeta W sqrt(T / (1 - zeta)) / sigma), down to 1e-18."""
    for strength in (1.0, 5.0, 20.0):
        contextual = data.core_model(
            dim=9, context_norm=2.0, regressor_norm=strength, num_tokens=20, sparsity=0.1
        )
        model = models.MeanPooling(9, head=contextual.regressor)
        error = risk.projected_error(model, contextual, jax.random.key(0), 10)
        expected = norm.sf(0.1 * strength * np.sqrt(20 / 0.9))
        np.testing.assert_allclose(error.value, expected, rtol=1e-4)
        assert error.standard_error <= 1e-6 * expected
    assert expected < 1e-18


def test_projected_error_resolves_what_cannot_be_counted():
    """Errors near 1e-12 from a thousand examples, with a known relative error."""
    contextual = data.core_model(
        dim=50, context_norm=2.0, regressor_norm=3.0, num_tokens=50, sparsity=0.2
    )
    model = models.PromptAttention(50, head=contextual.regressor, prompt=0.1 * contextual.context)
    error = risk.projected_error(model, contextual, jax.random.key(0), 1000)
    again = risk.projected_error(model, contextual, jax.random.key(1), 100_000)
    assert 1e-14 < again.value < 1e-9
    assert error.standard_error < 0.5 * error.value
    assert abs(error.value - again.value) < 4 * jnp.hypot(
        error.standard_error, again.standard_error
    )


def test_projected_error_without_noise_counts_ties(mixture):
    """With nothing left to chance an example is an error or not."""
    silent = dataclasses.replace(mixture, noise_std=0.0)
    zero = models.PromptAttention(4, head=jnp.zeros(4), prompt=jnp.ones(4))
    assert risk.projected_error(zero, silent, jax.random.key(0), 10).value == 1
    good = models.MeanPooling(4, head=jnp.ones(4))
    projected = risk.projected_error(good, silent, jax.random.key(0), 1000)
    counted = risk.counted_error(good, silent, jax.random.key(0), 1000)
    assert abs(projected.value - counted.value) < 4 * 2**0.5 * counted.standard_error


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
