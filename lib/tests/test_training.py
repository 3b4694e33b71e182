"""The scan takes the steps that the formulas of gradient descent give."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from prompt_attention import models, training


def quadratic(params, target):
    """Half the squared distance."""
    return 0.5 * jnp.sum((params - target) ** 2)


def test_gradient_descent_on_a_quadratic_is_geometric():
    """The distance to the minimum shrinks by 1 - rate at every step."""
    optimizer = optax.sgd(0.25)
    target, inputs = jnp.array([1.0, -2.0]), jnp.broadcast_to(jnp.array([1.0, -2.0]), (10, 2))
    end, (losses, path) = training.descend(
        quadratic, training.start(jnp.zeros(2), optimizer), optimizer, inputs, record=lambda p: p
    )
    expected = target * (1 - 0.75 ** np.arange(11)[:, None])
    np.testing.assert_allclose(path, expected[:-1], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(end.params, expected[-1], rtol=1e-5)
    np.testing.assert_allclose(losses, 2.5 * 0.75 ** (2 * np.arange(10)), rtol=1e-5)


def test_two_halves_are_the_whole():
    """Going on from a state equals never having stopped, bit for bit, moments included."""
    optimizer = optax.adam(0.1)
    inputs = jax.random.normal(jax.random.key(0), (20, 3))
    whole, (losses, _) = training.descend(
        quadratic, training.start(jnp.ones(3), optimizer), optimizer, inputs
    )
    half, (first, _) = training.descend(
        quadratic, training.start(jnp.ones(3), optimizer), optimizer, inputs[:9]
    )
    end, (second, _) = training.descend(quadratic, half, optimizer, inputs[9:])
    np.testing.assert_array_equal(jnp.concatenate([first, second]), losses)
    jax.tree.map(np.testing.assert_array_equal, end, whole)


def test_what_the_loss_keeps_takes_the_place_of_the_record():
    """The same steps, with the parameters kept by the loss itself."""
    optimizer = optax.adam(0.1)
    inputs = jax.random.normal(jax.random.key(0), (20, 3))
    start = training.start(jnp.ones(3), optimizer)
    end, (losses, path) = training.descend(
        quadratic, start, optimizer, inputs, record=lambda params: params
    )
    end_aux, (losses_aux, path_aux) = training.descend(
        lambda params, target: (quadratic(params, target), params),
        start,
        optimizer,
        inputs,
        has_aux=True,
    )
    np.testing.assert_array_equal(path, path_aux)
    np.testing.assert_array_equal(losses, losses_aux)
    jax.tree.map(np.testing.assert_array_equal, end, end_aux)


def test_models_are_parameters_and_starts_vmap(mixture):
    """A batch of prompt-attention models descends side by side on one example."""
    tokens = mixture.sample(jax.random.key(0), 1).tokens[0]
    optimizer = optax.sgd(0.1)

    def run(head, prompt):
        model = models.PromptAttention(4, head=head, prompt=prompt)
        end, (losses, _) = training.descend(
            lambda model, _: (model(tokens) - 1.0) ** 2,
            training.start(model, optimizer),
            optimizer,
            jnp.arange(30),
        )
        return losses, end.params(tokens)

    heads, prompts = jax.random.normal(jax.random.key(1), (2, 5, 4))
    losses, outputs = jax.vmap(run)(heads, prompts)
    assert losses.shape == (5, 30)
    assert (abs(outputs - 1) < jnp.sqrt(losses[:, 0])).all()
