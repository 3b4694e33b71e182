"""Each model computes its formula, D2 holds to rounding, and gradients are right."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from prompt_attention import models

KINDS = [
    models.PromptAttention,
    models.SelfAttention,
    models.LinearPromptAttention,
    models.MeanPooling,
]


def draw(kind, dim=4, seed=0):
    """A model with random parameters and one example of six tokens."""
    tokens = jax.random.normal(jax.random.key(seed), (6, dim))
    return kind(dim, rngs=nnx.Rngs(seed)), tokens


def numpy_output(model, X):
    """The definitions written once more, token by token, in NumPy float64."""
    p = {name: np.asarray(value, np.float64) for name, value in models.parameters(model).items()}
    X = np.asarray(X, np.float64)

    def softmax(scores):
        weights = np.exp(scores)
        return weights / weights.sum()

    match model:
        case models.PromptAttention():
            return p["head"] @ X.T @ softmax(X @ p["prompt"])
        case models.SelfAttention():
            return np.mean([p["head"] @ X.T @ softmax(X @ p["weights"] @ x) for x in X])
        case models.LinearPromptAttention():
            return p["head"] @ X.T @ X @ p["prompt"] / len(X)
        case models.MeanPooling():
            return p["head"] @ X.mean(axis=0)


@pytest.mark.parametrize("kind", KINDS)
def test_output_is_the_formula(kind):
    model, tokens = draw(kind)
    np.testing.assert_allclose(model(tokens), numpy_output(model, tokens), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [models.PromptAttention, models.SelfAttention, models.MeanPooling])
def test_attention_is_a_distribution_over_tokens(kind):
    model, tokens = draw(kind)
    weights = model.attention(tokens)
    assert weights.shape in [(6,), (6, 6)]
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, rtol=1e-6)


def test_linear_attention_may_be_negative():
    model = models.LinearPromptAttention(2, head=jnp.ones(2), prompt=jnp.array([1.0, 0.0]))
    weights = model.attention(jnp.array([[2.0, 1.0], [-4.0, 1.0]]))
    np.testing.assert_allclose(weights, [1.0, -2.0])


@pytest.mark.parametrize(("dim", "head_dim", "num_prompts"), [(4, 4, 1), (8, 3, 1), (5, 2, 3)])
def test_prompt_tuned_layer_is_prompt_attention(dim, head_dim, num_prompts, dtype):
    layer = models.PromptTunedLayer(
        dim, head_dim=head_dim, num_prompts=num_prompts, rngs=nnx.Rngs(1)
    )
    tokens = jax.random.normal(jax.random.key(2), (7, dim), dtype)
    parts = layer.as_prompt_attention()
    assert len(parts) == num_prompts
    rounding = 50 * jnp.finfo(dtype).eps
    np.testing.assert_allclose(layer(tokens), sum(part(tokens) for part in parts), atol=rounding)
    for row, part in zip(layer.attention(tokens), parts, strict=True):
        np.testing.assert_allclose(row, part.attention(tokens), atol=rounding)


def test_layer_is_the_row_of_a_transformer_head():
    """The layer again, as a prompt row that attends to the tokens, one product at a time."""
    layer = models.PromptTunedLayer(5, head_dim=3, num_prompts=2, rngs=nnx.Rngs(3))
    X = np.asarray(jax.random.normal(jax.random.key(4), (6, 5)), np.float64)
    W_Q, W_K, W_V, P, H = (
        np.asarray(v[...], np.float64)
        for v in (layer.query, layer.key, layer.value, layer.prompt, layer.head)
    )
    total = 0.0
    for p, h in zip(P, H, strict=True):
        scores = np.exp((p @ W_Q) @ (X @ W_K).T)
        total += h @ (scores / scores.sum() @ (X @ W_V))
    np.testing.assert_allclose(layer(jnp.asarray(X)), total, rtol=1e-5)


def test_a_prompt_row_among_the_tokens_keeps_a_share_for_itself(float64):
    """The twin of D2: the row as a key of its own mixes a constant in, by the share formula."""
    layer = models.PromptTunedLayer(5, head_dim=3, num_prompts=1, rngs=nnx.Rngs(5))
    (pair,) = layer.as_prompt_attention()
    p, q, w = (v[...] for v in (layer.prompt, pair.prompt, pair.head))
    X = jax.random.normal(jax.random.key(6), (6, 5))
    among = pair(jnp.concatenate([X, p]))
    own = np.exp(p[0] @ q)
    share = own / (own + np.exp(X @ q).sum())
    assert abs(among - layer(X)) > 1e-3
    np.testing.assert_allclose(among, (1 - share) * layer(X) + share * (p[0] @ w), rtol=1e-6)


def test_frozen_weights_get_no_gradient():
    layer = models.PromptTunedLayer(5, head_dim=3, num_prompts=2, rngs=nnx.Rngs(3))
    tokens = jax.random.normal(jax.random.key(4), (6, 5))
    by_jax = jax.grad(lambda layer: layer(tokens))(layer)
    for name in ("query", "key", "value"):
        assert not getattr(by_jax, name)[...].any()
    for name in ("prompt", "head"):
        assert getattr(by_jax, name)[...].any()
    reduced = jax.grad(lambda layer: layer.as_prompt_attention()[0](tokens))(layer)
    for name in ("query", "key", "value"):
        assert not getattr(reduced, name)[...].any()
    by_nnx = nnx.grad(lambda layer: layer(tokens))(layer)
    assert set(by_nnx) == {"prompt", "head"}


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_match_finite_differences(kind, float64):
    model, tokens = draw(kind)
    values = models.parameters(model)

    def output(values):
        return kind(4, **values)(tokens)

    gradient, step = jax.grad(output)(values), 1e-6
    for name, value in values.items():
        for index in np.ndindex(value.shape):
            up = output(values | {name: value.at[index].add(step)})
            down = output(values | {name: value.at[index].add(-step)})
            difference = (up - down) / (2 * step)
            np.testing.assert_allclose(gradient[name][index], difference, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_jit_and_vmap_change_nothing(kind, dtype):
    model, _ = draw(kind)
    batch = jax.random.normal(jax.random.key(5), (3, 6, 4), dtype)
    one_by_one = jnp.stack([model(tokens) for tokens in batch])
    together = jax.jit(jax.vmap(lambda model, X: model(X), in_axes=(None, 0)))(model, batch)
    assert together.dtype == dtype
    np.testing.assert_allclose(together, one_by_one, rtol=1e-5, atol=1e-6)


def test_models_stack_under_vmap(float64):
    """A batch of models, one for each seed, runs on one example."""
    _, tokens = draw(models.PromptAttention)
    heads, prompts = jax.random.normal(jax.random.key(6), (2, 3, 4))

    def run(head, prompt):
        return models.PromptAttention(4, head=head, prompt=prompt)(tokens)

    stacked = jax.vmap(run)(heads, prompts)
    np.testing.assert_allclose(stacked, [run(*p) for p in zip(heads, prompts, strict=True)])


def test_cost_counts_parameters_and_operations():
    T, d = 64, 32
    tokens = jnp.ones((T, d))
    prices = {kind: models.cost(draw(kind, d)[0], tokens) for kind in KINDS}
    assert prices[models.PromptAttention].parameters == 2 * d
    assert prices[models.LinearPromptAttention].parameters == 2 * d
    assert prices[models.SelfAttention].parameters == d * d + d
    assert prices[models.MeanPooling].parameters == d
    # Two products with X, of 2 T d operations each, against 2 T d^2 + 2 T^2 d for the scores.
    assert prices[models.PromptAttention].flops == pytest.approx(4 * T * d, rel=0.25)
    scores = 2 * T * d * d + 2 * T * T * d
    assert prices[models.SelfAttention].flops == pytest.approx(scores, rel=0.25)


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_of_a_wrong_dimension_are_refused(kind):
    model, _ = draw(kind)
    with pytest.raises(ValueError, match=re.escape("tokens must have shape [T, 4], got [6, 3]")):
        model(jnp.ones((6, 3)))
    with pytest.raises(ValueError, match=re.escape("tokens must have shape [T, 4], got [6, 3]")):
        model.attention(jnp.ones((6, 3)))


def test_a_batch_given_to_a_model_is_told_of_vmap():
    with pytest.raises(ValueError, match=r"got \[2, 6, 4\]; batch the model with jax.vmap"):
        models._tokens(jnp.ones((2, 6, 4)), jnp.ones(4))


def test_whole_numbers_become_floats():
    """Integer parameters can be trained."""
    model = models.MeanPooling(2, head=[1, 2])
    gradient = jax.grad(lambda model: model(jnp.array([[1.0, 0.0], [0.0, 3.0]])))(model)
    np.testing.assert_allclose(gradient.head[...], [0.5, 1.5])


def test_layer_refuses_tokens_of_a_wrong_dimension():
    layer = models.PromptTunedLayer(5, head_dim=3, num_prompts=2, rngs=nnx.Rngs(3))
    with pytest.raises(ValueError, match=re.escape("tokens must have shape [T, 5], got [6, 3]")):
        layer(jnp.ones((6, 3)))


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match=re.escape("prompt must have shape [4], got [3]")):
        models.PromptAttention(4, head=jnp.ones(4), prompt=jnp.ones(3))
    with pytest.raises(ValueError, match="prompt was not given, so rngs is needed to draw it"):
        models.PromptAttention(4, head=jnp.ones(4))
