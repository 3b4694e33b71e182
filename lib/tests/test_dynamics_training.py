"""Training is plain gradient descent, goes on from a checkpoint bit for bit, and G6 is seen."""

import dataclasses
import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from scipy.optimize import minimize

from prompt_attention import data, dynamics, models, risk, training
from prompt_attention.dynamics import trajectory

KINDS = [
    models.PromptAttention,
    models.SelfAttention,
    models.LinearPromptAttention,
    models.MeanPooling,
]
DIM = 4


@pytest.fixture
def ordered(mixture):
    """A model with every option away from its default, but the relevant tokens come first."""
    return dataclasses.replace(mixture, relevance="first")


@pytest.fixture
def stream(ordered):
    """Six fresh examples for every step."""
    return dynamics.Stream(jax.random.key(1), ordered, 6)


@pytest.mark.parametrize("kind", KINDS)
def test_training_is_gradient_descent_on_fresh_batches(ordered, stream, kind):
    """Against the loop that anyone would write, with its record."""
    model = start = kind(DIM, rngs=nnx.Rngs(0))
    observe = dynamics.observing(ordered)
    run = dynamics.train(start, optax.sgd(0.1), stream, 5, loss=risk.logistic_loss, record=observe)
    for step in range(5):
        batch = ordered.sample(jax.random.fold_in(jax.random.key(1), step), 6)
        loss, slope = jax.value_and_grad(risk.logistic_loss)(model, batch)
        np.testing.assert_allclose(run.losses[step], loss, rtol=1e-5)
        np.testing.assert_allclose(
            run.records.error[step], risk.error_rate(model, batch).value, rtol=1e-6
        )
        head = np.asarray(model.head[...])
        cosine = head @ ordered.regressor / np.linalg.norm(head) / ordered.regressor_norm
        np.testing.assert_allclose(run.records.head_alignment[step], cosine**2, rtol=1e-4)
        weights = np.stack([np.asarray(model.attention(X)) for X in batch.tokens])
        weights = weights.mean(axis=1) if weights.ndim == 3 else weights
        mass = (weights * batch.relevant).sum(axis=1).mean()
        np.testing.assert_allclose(run.records.attention_mass[step], mass, rtol=1e-4, atol=1e-6)
        model = jax.tree.map(lambda p, g: p - 0.1 * g, model, slope)
    ends = zip(jax.tree.leaves(model), jax.tree.leaves(run.model), strict=True)
    for a, b in ends:
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    has_prompt = kind in (models.PromptAttention, models.LinearPromptAttention)
    assert np.isfinite(run.records.prompt_alignment).all() == has_prompt


def test_one_batch_serves_all_steps(mixture):
    batch = mixture.sample(jax.random.key(0), 20)
    model = models.MeanPooling(DIM, head=jnp.zeros(DIM))
    run = dynamics.train(model, optax.sgd(0.5), batch, 3000)
    pooled = np.float64(batch.tokens).mean(axis=1)
    expected, *_ = np.linalg.lstsq(pooled, np.float64(batch.labels), rcond=None)
    np.testing.assert_allclose(run.model.head[...], expected, atol=1e-3)
    assert (np.diff(run.losses) <= 1e-6).all()


def test_resuming_equals_no_interruption(ordered, stream, tmp_path):
    """Bit for bit, with Adam's moments, stopped inside a segment and taken up twice."""
    model = models.PromptAttention(DIM, rngs=nnx.Rngs(0))
    observe, optimizer = dynamics.observing(ordered), optax.adam(0.05)

    def run(num_steps, checkpoint):
        return dynamics.train(
            model,
            optimizer,
            stream,
            num_steps,
            record=observe,
            checkpoint=checkpoint,
            segment=8,
        )

    whole = run(24, None)
    run(5, tmp_path / "run")
    run(16, tmp_path / "run")
    resumed = run(24, tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)
    again = run(24, tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, again, whole)
    assert whole.losses.shape == (24,)
    with pytest.raises(
        ValueError, match=re.escape("checkpoint is at step 24, beyond num_steps = 7")
    ):
        run(7, tmp_path / "run")


def test_segments_change_nothing(stream):
    model = models.PromptAttention(DIM, rngs=nnx.Rngs(0))
    runs = [
        dynamics.train(model, optax.adam(0.05), stream, 12, segment=segment) for segment in (5, 100)
    ]
    jax.tree.map(np.testing.assert_array_equal, *runs)
    nothing = dynamics.train(model, optax.adam(0.05), stream, 0)
    assert nothing.losses.shape == (0,)
    np.testing.assert_array_equal(nothing.model.head[...], model.head[...])


@pytest.mark.parametrize("kind", KINDS)
def test_record_takes_no_second_pass_and_keeps_no_batch(ordered, stream, kind):
    """In the compiled steps: as many products over all tokens with a record as without."""
    descent = training.start(kind(DIM, rngs=nnx.Rngs(0)), optax.sgd(0.1))

    def compiled(record, num_steps):
        steps = functools.partial(
            trajectory._advance,
            steps=jnp.arange(num_steps),
            batches=stream,
            record=trajectory._as_pytree(record),
            loss=risk.squared_loss,
            optimizer=optax.sgd(0.1),
        )
        return jax.jit(steps).lower(descent).compile()

    def passes(record):
        """Products and exponentials with a result for each of the 6 * 10 tokens, or several."""
        result = r"= f(?:32|64)\[([\d,]+)\]\S* (?:dot|exponential)\("
        shapes = re.findall(result, compiled(record, 8).as_text())
        return sum(math.prod(map(int, shape.split(","))) >= 60 for shape in shapes)

    observe = dynamics.observing(ordered)
    assert passes(observe) == passes(lambda model, batch: None) > 0
    few, many = (compiled(observe, n).memory_analysis().temp_size_in_bytes for n in (10, 1000))
    batch_bytes = 6 * 10 * DIM * jnp.zeros(()).nbytes
    assert many < few + 10 * batch_bytes


def test_progress_is_shown_when_asked_for(stream, capsys):
    model = models.MeanPooling(DIM, head=jnp.zeros(DIM))
    dynamics.train(model, optax.sgd(0.1), stream, 4, segment=2, progress=True)
    assert "4/4" in capsys.readouterr().err
    dynamics.train(model, optax.sgd(0.1), stream, 4, segment=2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_steps": -1}, "num_steps must be a whole number >= 0, got -1"),
        ({"segment": 0}, "segment must be a whole number >= 1, got 0"),
    ],
)
def test_bad_runs_are_refused(stream, changes, message):
    options = {"num_steps": 3} | changes
    model = models.MeanPooling(DIM, head=jnp.zeros(DIM))
    with pytest.raises(ValueError, match=re.escape(message)):
        dynamics.train(model, optax.sgd(0.1), stream, **options)


# ---- G6 -------------------------------------------------------------------------------------


def separable_batch(num_examples=8):
    """Tokens that a prompt near the context separates."""
    contextual = data.core_model(
        dim=10, context_norm=1.5, regressor_norm=2.0, num_tokens=8, sparsity=0.25, noise_std=0.5
    )
    return contextual, contextual.sample(jax.random.key(0), num_examples)


def test_max_margin_direction_solves_its_program():
    """Against a general solver on the constraints as they stand."""
    _, batch = separable_batch()
    q = dynamics.max_margin_direction(batch)
    X, relevant = np.float64(batch.tokens), np.asarray(batch.relevant)
    gaps = np.concatenate([x[r][0] - x[~r] for x, r in zip(X, relevant, strict=True)])
    found = minimize(
        lambda v: v @ v / 2,
        20 * q,
        jac=lambda v: v,
        constraints={"type": "ineq", "fun": lambda v: gaps @ v - 1, "jac": lambda v: gaps},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert found.success
    np.testing.assert_allclose(q, found.x / np.linalg.norm(found.x), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(q), 1.0)


def test_inseparable_tokens_are_refused():
    _, batch = separable_batch()
    twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), batch)
    opposed = twice._replace(relevant=jnp.concatenate([batch.relevant, ~batch.relevant]))
    with pytest.raises(ValueError, match="for these 16 examples in 10 dimensions there is none"):
        dynamics.max_margin_direction(opposed)


def late_run(contextual, batch, loss, optimizer):
    """The directions of the prompt over 1001 steps from a head of zero, and the last model."""

    def direction(model, batch):
        return model.prompt[...] / jnp.linalg.norm(model.prompt[...])

    model = models.PromptAttention(
        contextual.dim, head=jnp.zeros(contextual.dim), prompt=1e-3 * contextual.context
    )
    run = dynamics.train(model, optimizer, batch, 1001, loss=loss, record=direction)
    return np.asarray(run.records), run.model


def test_late_training_turns_to_the_max_margin_direction():
    """With the head held, the angle to it closes over three times; the angle to q* opens."""
    contextual, batch = separable_batch()
    target = dynamics.max_margin_direction(batch)

    def loss(model, batch):
        held = models.PromptAttention(
            contextual.dim, head=contextual.regressor, prompt=model.prompt[...]
        )
        return risk.logistic_loss(held, batch)

    optimizer = optax.chain(optax.normalize_by_update_norm(), optax.sgd(0.1))
    directions, _ = late_run(contextual, batch, loss, optimizer)
    to_margin = directions[[20, 200, 1000]] @ target
    assert to_margin[0] < to_margin[1] < to_margin[2]
    assert to_margin[2] > 0.98
    to_context = directions[[20, 1000]] @ np.asarray(contextual.context) / contextual.context_norm
    assert to_context[1] < to_context[0] - 0.02


@pytest.mark.parametrize(("seed", "kept"), [(0, 1), (7, 0)])
def test_where_a_noise_token_stays_on_top_its_margin_is_maximised(seed, kept):
    """G6 where tokens are hard to separate: the prompt's end is that of what it has on top."""
    contextual = data.core_model(
        dim=20,
        context_norm=1.0,
        regressor_norm=2.0,
        num_tokens=8,
        sparsity=0.25,
        noise_std=0.5,
    )
    batch = contextual.sample(jax.random.key(seed), 30)

    def loss(model, batch):
        held = models.PromptAttention(20, head=contextual.regressor, prompt=model.prompt[...])
        return risk.logistic_loss(held, batch)

    model = models.PromptAttention(20, head=jnp.zeros(20), prompt=1e-3 * contextual.context)
    optimizer = optax.chain(optax.normalize_by_update_norm(), optax.sgd(0.05))
    prompt = dynamics.train(model, optimizer, batch, 3000, loss=loss).model.prompt[...]
    prompt = np.asarray(prompt) / np.linalg.norm(prompt)
    top, relevant = (batch.tokens @ prompt).argmax(axis=1), np.array(batch.relevant)
    lost = np.flatnonzero(~relevant[np.arange(30), top])
    assert len(lost) == kept
    # The noise token that is on top reads the label right, less strongly than a relevant one.
    values = batch.labels[lost] * (batch.tokens[lost, top[lost]] @ contextual.regressor)
    assert ((values > 0) & (values < 4)).all()
    to_relevant = prompt @ dynamics.max_margin_direction(batch)
    relevant[lost] = np.arange(8) == top[lost, None]
    to_top = prompt @ dynamics.max_margin_direction(batch._replace(relevant=relevant))
    assert to_top > 0.99
    assert (to_relevant > 0.99) == (not kept)


def test_a_trained_head_stops_the_prompt_short():
    """The twin of G6: the head grows, the loss vanishes, and the prompt stays where it is."""
    contextual, batch = separable_batch()
    target = dynamics.max_margin_direction(batch)
    directions, model = late_run(contextual, batch, risk.logistic_loss, optax.sgd(0.5))
    assert risk.logistic_loss(model, batch) < 0.01
    to_margin = directions[[200, 1000]] @ target
    assert to_margin[1] < 0.97
    assert abs(to_margin[1] - to_margin[0]) < 0.02
