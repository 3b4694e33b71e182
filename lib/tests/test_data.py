"""The sampler has the moments of D1 and the projections of D3, and refuses what makes no sense."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from prompt_attention import data

FACTOR = jnp.array([[1.0, 0.2], [0.0, 0.5], [-0.4, 0.3], [0.6, -1.0]])


def settings(mixture):
    """Models that differ in every option, by name."""
    return {
        "core": data.core_model(
            dim=4, context_norm=2.0, regressor_norm=1.0, num_tokens=10, sparsity=0.2
        ),
        "correlated": data.core_model(
            dim=4,
            context_norm=2.0,
            regressor_norm=1.0,
            num_tokens=5,
            sparsity=0.6,
            correlation=-0.7,
        ),
        "mixture": mixture,
        "first": dataclasses.replace(mixture, relevance="first"),
        "factor": dataclasses.replace(mixture, noise_factor=FACTOR),
        "rademacher": dataclasses.replace(mixture, noise_law=jax.random.rademacher),
        "discrete": dataclasses.replace(mixture, noise_std=0.0),
    }


NAMES = ["core", "correlated", "mixture", "first", "factor", "rademacher", "discrete"]


def conditional_groups(batch, contextual):
    """Split a batch into its (label, nuisance) groups."""
    for label in (-1.0, 1.0):
        for nuisance in contextual.nuisance:
            group = (batch.labels == label) & (batch.nuisance == nuisance).all(axis=1)
            yield label, nuisance, np.asarray(batch.tokens)[group]


def assert_within_four_standard_errors(draws, expected):
    """Two-sided, per entry, from the spread of the draws; exact entries are equal to rounding."""
    draws = np.asarray(draws, np.float64)
    standard_error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    np.testing.assert_array_less(
        abs(draws.mean(axis=0) - np.asarray(expected)), 4 * standard_error + 2e-6
    )


def test_tokens_are_the_definition(mixture):
    """The definition written out once more, one token at a time, on the discrete dataset."""
    batch = dataclasses.replace(mixture, noise_std=0.0).sample(jax.random.key(0), 50)
    q, w = [1.5, 0.5, 0.0, -0.5], [0.3, -1.0, 0.8, 0.2]
    for tokens, y, relevant, (dq, dw) in zip(*map(np.asarray, batch), strict=True):
        for x, is_relevant in zip(tokens, relevant, strict=True):
            pull, vote = (1.0, y) if is_relevant else (-dq, -dw * y)
            expected = [pull * a + vote * b for a, b in zip(q, w, strict=True)]
            np.testing.assert_allclose(x, expected, atol=1e-6)


def test_mean_token_of_a_known_model():
    """T = 4, one relevant token: (q* + y w*)/4 + 3/4 (-dq q* - dw y w*), by hand."""
    contextual = data.ContextualModel(
        context=jnp.array([4.0, 0.0]),
        regressor=jnp.array([0.0, 8.0]),
        num_tokens=4,
        sparsity=0.25,
        nuisance=((1.0, 0.5),),
        noise_std=2.0,
    )
    np.testing.assert_allclose(contextual.mean_token(-1.0, (1.0, 0.5)), [1 - 3, -2 + 3])
    np.testing.assert_allclose(contextual.mean_token_covariance(), 0.75 / 4 * 4 * np.eye(2))
    gap = np.array([8.0, -12.0])
    expected = 3 / 16 * np.outer(gap, gap) + 0.75 * 0.75 * 4 * np.eye(2)
    np.testing.assert_allclose(contextual.token_covariance(-1.0, (1.0, 0.5)), expected)


@pytest.mark.parametrize("name", NAMES)
def test_mean_token_matches_sampler(mixture, name):
    contextual = settings(mixture)[name]
    batch = contextual.sample(jax.random.key(1), 40_000)
    for label, nuisance, tokens in conditional_groups(batch, contextual):
        expected = contextual.mean_token(label, nuisance)
        assert_within_four_standard_errors(tokens.mean(axis=1), expected)


@pytest.mark.parametrize("name", NAMES)
def test_mean_token_covariance_matches_sampler(mixture, name):
    contextual = settings(mixture)[name]
    batch = contextual.sample(jax.random.key(2), 40_000)
    for label, nuisance, tokens in conditional_groups(batch, contextual):
        centred = tokens.mean(axis=1) - np.asarray(contextual.mean_token(label, nuisance))
        products = centred[:, :, None] * centred[:, None, :]
        assert_within_four_standard_errors(products, contextual.mean_token_covariance())


def test_shared_noise_breaks_the_covariance_of_the_mean_token(mixture):
    """The twin of D1: with one noise vector for all tokens the variance is (1 - zeta)^2 sigma^2."""
    contextual = dataclasses.replace(mixture, noise_law=data.shared_noise)
    batch = contextual.sample(jax.random.key(2), 40_000)
    expected = (1 - contextual.sparsity) ** 2 * contextual.noise_covariance
    for label, nuisance, tokens in conditional_groups(batch, contextual):
        centred = tokens.mean(axis=1) - np.asarray(contextual.mean_token(label, nuisance))
        products = centred[:, :, None] * centred[:, None, :]
        assert_within_four_standard_errors(products, expected)
        with pytest.raises(AssertionError):
            assert_within_four_standard_errors(products, contextual.mean_token_covariance())


@pytest.mark.parametrize("name", NAMES)
def test_token_covariance_matches_sampler(mixture, name):
    contextual = settings(mixture)[name]
    batch = contextual.sample(jax.random.key(3), 40_000)
    for label, nuisance, tokens in conditional_groups(batch, contextual):
        centred = tokens - tokens.mean(axis=1, keepdims=True)
        covariances = np.einsum("ntd,nte->nde", centred, centred) / contextual.num_tokens
        expected = contextual.token_covariance(label, nuisance)
        assert_within_four_standard_errors(covariances, expected)


@pytest.mark.parametrize("name", NAMES)
def test_labels_and_nuisance_have_their_probabilities(mixture, name):
    contextual = settings(mixture)[name]
    batch = contextual.sample(jax.random.key(4), 40_000)
    assert set(np.unique(batch.labels)) == {-1.0, 1.0}
    assert_within_four_standard_errors(batch.labels > 0, contextual.positive_rate)
    for pair, probability in zip(contextual.nuisance, contextual.nuisance_weights, strict=True):
        assert_within_four_standard_errors((batch.nuisance == pair).all(axis=1), probability)


@pytest.mark.parametrize("relevance", ["random", "first"])
def test_relevant_set(mixture, relevance):
    contextual = dataclasses.replace(mixture, relevance=relevance)
    batch = contextual.sample(jax.random.key(5), 20_000)
    assert (batch.relevant.sum(axis=1) == contextual.num_relevant).all()
    expected = jax.vmap(contextual.relevant_token)(batch.labels)[:, None]
    differs = jnp.any(batch.tokens != expected, axis=-1)
    np.testing.assert_array_equal(differs, ~batch.relevant)
    if relevance == "first":
        assert batch.relevant[:, : contextual.num_relevant].all()
    else:
        assert_within_four_standard_errors(batch.relevant, np.full(10, contextual.sparsity))
        pairs = batch.relevant[:, :1] & batch.relevant[:, 1:]
        assert_within_four_standard_errors(pairs, np.full(9, 3 * 2 / (10 * 9)))


@pytest.mark.parametrize("name", ["core", "correlated", "mixture", "first", "factor"])
@pytest.mark.parametrize("num_directions", [1, 2, 6])
def test_projections_have_the_law_of_projected_tokens(mixture, name, num_directions):
    contextual = settings(mixture)[name]
    directions = jax.random.normal(jax.random.key(6), (num_directions, contextual.dim))
    small = contextual.project(directions)
    assert small.dim == num_directions
    for label, nuisance in [(1.0, (0.0, 0.0)), (-1.0, (1.5, -0.5))]:
        np.testing.assert_allclose(
            small.mean_token(label, nuisance),
            directions @ contextual.mean_token(label, nuisance),
            atol=1e-5,
        )
    np.testing.assert_allclose(
        small.noise_covariance,
        directions @ contextual.noise_covariance @ directions.T,
        atol=1e-4,
    )
    full = contextual.sample(jax.random.key(7), 20_000)
    drawn = contextual.sample_projections(jax.random.key(8), 20_000, directions)
    for moment in (jnp.tanh, jnp.square, jnp.cos):
        a = moment(full.tokens @ directions.T).mean(axis=1)
        b = moment(drawn.tokens).mean(axis=1)
        assert_within_four_standard_errors(a - b, np.zeros(num_directions))


def test_projected_noise_is_fresh_for_every_token(mixture):
    batch = mixture.sample_projections(jax.random.key(0), 500, jnp.eye(2, 4))
    noise = np.asarray(batch.tokens)[~np.asarray(batch.relevant)]
    assert len(np.unique(noise, axis=0)) == len(noise)


def test_same_key_same_numbers_and_jit_changes_nothing(dtype, mixture):
    contextual = dataclasses.replace(mixture, context=mixture.context.astype(dtype))
    first = contextual.sample(jax.random.key(9), 7)
    assert first.tokens.dtype == first.labels.dtype == dtype
    again = contextual.sample(jax.random.key(9), 7)
    jitted = jax.jit(data.ContextualModel.sample, static_argnums=2)(
        contextual, jax.random.key(9), 7
    )
    other = contextual.sample(jax.random.key(10), 7)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), first, jitted)
    assert not np.array_equal(first.tokens, other.tokens)


def test_given_labels_take_the_place_of_drawn_ones(mixture):
    key, labels = jax.random.key(12), jnp.array([1.0, -1.0, -1.0, 1.0, 1.0])
    drawn, given = mixture.sample(key, 5), mixture.sample(key, 5, labels)
    np.testing.assert_array_equal(given.labels, labels)
    assert not np.array_equal(drawn.labels, labels)
    shift = (labels - drawn.labels)[:, None, None] * mixture.regressor
    weights = jnp.where(drawn.relevant, 1.0, -drawn.nuisance[:, 1:])[..., None]
    np.testing.assert_allclose(given.tokens - drawn.tokens, weights * shift, atol=1e-6)
    np.testing.assert_array_equal(mixture.sample(key, 5, drawn.labels).tokens, drawn.tokens)
    with pytest.raises(ValueError, match=re.escape("labels must have shape [4], got (5,)")):
        mixture.sample(key, 4, labels)


def test_vmap_over_keys_and_over_parameters(mixture):
    keys = jax.random.split(jax.random.key(11), 3)
    stacked = jax.vmap(lambda key: mixture.sample(key, 5).tokens)(keys)
    for key, tokens in zip(keys, stacked, strict=True):
        np.testing.assert_allclose(tokens, mixture.sample(key, 5).tokens, rtol=1e-6)
    stds = jnp.array([0.0, 1.0, 2.0])

    def spread(std):
        return dataclasses.replace(mixture, noise_std=std).noise_covariance[0, 0]

    np.testing.assert_allclose(jax.vmap(spread)(stds), stds**2)
    np.testing.assert_allclose(jax.grad(spread)(1.5), 3.0)


def test_a_model_may_be_made_and_checked_inside_jit(mixture):
    """What is known while tracing is checked, what is traced is not."""

    @jax.jit
    def mean(context):
        return dataclasses.replace(mixture, context=context).mean_token(1.0, (0.0, 0.0))

    np.testing.assert_allclose(mean(mixture.context), mixture.mean_token(1.0, (0.0, 0.0)))
    with pytest.raises(ValueError, match="positive_rate must lie in"):
        jax.jit(lambda c: dataclasses.replace(mixture, context=c, positive_rate=2.0))(jnp.ones(4))


def test_core_model_has_the_norms_and_the_correlation_asked_for():
    contextual = data.core_model(
        dim=7,
        context_norm=3.0,
        regressor_norm=0.5,
        correlation=0.25,
        num_tokens=8,
        sparsity=0.25,
        noise_std=2.0,
    )
    np.testing.assert_allclose(contextual.context_norm, 3.0, rtol=1e-6)
    np.testing.assert_allclose(contextual.regressor_norm, 0.5, rtol=1e-6)
    np.testing.assert_allclose(contextual.correlation, 0.25, rtol=1e-6)
    assert contextual.dim == 7
    assert contextual.num_relevant == 2


@pytest.mark.parametrize("num_tokens", [2, 3, 49, 110])
def test_every_fraction_of_the_tokens_is_a_valid_sparsity(num_tokens):
    for relevant in range(1, num_tokens):
        contextual = data.ContextualModel(
            context=jnp.ones(2),
            regressor=jnp.ones(2),
            num_tokens=num_tokens,
            sparsity=relevant / num_tokens,
        )
        assert contextual.num_relevant == relevant


VALID = {"context": jnp.ones(3), "regressor": jnp.ones(3), "num_tokens": 10, "sparsity": 0.2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sparsity": 0.0}, "sparsity must lie in (0, 1), got 0.0"),
        ({"sparsity": 1.0}, "sparsity must lie in (0, 1), got 1.0"),
        ({"sparsity": float("nan")}, "sparsity must lie in (0, 1), got nan"),
        ({"sparsity": 0.25}, "0.25 * 10 = 2.5; the nearest sparsity that fits is 0.2 (2 of 10"),
        ({"sparsity": 0.01}, "the nearest sparsity that fits is 0.1 (1 of 10 tokens)"),
        ({"sparsity": 0.99}, "the nearest sparsity that fits is 0.9 (9 of 10 tokens)"),
        ({"num_tokens": 1}, "num_tokens must be a whole number >= 2, got 1"),
        ({"context": jnp.ones(2)}, "vectors of the same length, got shapes (2,) and (3,)"),
        ({"context": jnp.array([1.0, jnp.nan, 0.0])}, "context must be finite, got"),
        ({"regressor": jnp.array([1.0, jnp.inf, 0.0])}, "regressor must be finite, got"),
        ({"noise_std": -1.0}, "noise_std must be finite and >= 0, got -1.0"),
        ({"noise_std": float("inf")}, "noise_std must be finite and >= 0, got inf"),
        ({"positive_rate": 1.5}, "positive_rate must lie in [0, 1], got 1.5"),
        ({"nuisance": ((0.0, 1.0), (-0.5, 0.0))}, "dq in nuisance must be >= 0, got -0.5"),
        ({"nuisance": ((0.0, 1.0, 2.0),)}, "pairs (dq, dw), shape [m, 2] with m >= 1, got shape"),
        ({"nuisance": (0.0, 0.0)}, "got shape (2,); write ((dq, dw),) for a single pair"),
        ({"noise_std": jnp.array([1.0, 2.0])}, "noise_std must be one number, got shape (2,)"),
        ({"num_tokens": True}, "num_tokens must be a whole number >= 2, got True"),
        ({"nuisance": ()}, "pairs (dq, dw), shape [m, 2] with m >= 1, got shape (0,)"),
        ({"nuisance_probs": (0.5,), "nuisance": ((0, 0), (1, 1))}, "one entry for each of the 2"),
        ({"nuisance_probs": (0.5,)}, "nuisance_probs must be >= 0 and sum to one, got [0.5]"),
        (
            {"nuisance_probs": (1.5, -0.5), "nuisance": ((0, 0), (1, 1))},
            "nuisance_probs must be >= 0 and sum to one, got [ 1.5 -0.5]",
        ),
        ({"relevance": "last"}, "relevance must be 'random' or 'first', got 'last'"),
        ({"noise_factor": jnp.ones((2, 3))}, "noise_factor must have shape [3, k], got (2, 3)"),
    ],
)
def test_bad_input_is_refused_with_its_name(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        data.ContextualModel(**(VALID | changes))


CORE = {
    "dim": 3,
    "context_norm": 1.0,
    "regressor_norm": 1.0,
    "num_tokens": 10,
    "sparsity": 0.2,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"correlation": 1.2}, "correlation must lie in [-1, 1], got 1.2"),
        ({"dim": 1}, "dim must be a whole number >= 2, got 1"),
        ({"context_norm": -1.0}, "context_norm must be finite and >= 0, got -1.0"),
        ({"regressor_norm": float("nan")}, "regressor_norm must be finite and >= 0, got nan"),
    ],
)
def test_core_model_refuses_bad_input(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        data.core_model(**(CORE | changes))


def test_student_noise_has_variance_one_and_heavy_tails(dtype):
    draws = data.student_t8(jax.random.key(0), (200, 1000, 5), dtype)
    assert draws.dtype == dtype
    assert_within_four_standard_errors(draws.ravel(), 0)
    assert_within_four_standard_errors(draws.ravel() ** 2, 1)
    # the share beyond 5, from the t distribution's tail at 5 / sqrt(3/4); normal noise has 6e-7
    assert_within_four_standard_errors(abs(draws.ravel()) > 5, 2 * stats.t.sf(5 / 0.75**0.5, 8))


def test_nuisance_may_be_replaced_by_more_values_of_equal_chance(mixture):
    core = dataclasses.replace(mixture, nuisance=((0.0, 0.0),), nuisance_probs=None)
    two = dataclasses.replace(core, nuisance=((0.0, 0.0), (1.0, 1.0)))
    np.testing.assert_allclose(two.nuisance_weights, [0.5, 0.5])


def test_numpy_integers_are_whole_numbers(mixture):
    contextual = dataclasses.replace(mixture, num_tokens=np.int64(20))
    assert contextual.sample(jax.random.key(0), np.int64(5)).tokens.shape == (5, 20, 4)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (jnp.ones(3), "labels must have shape [2], got (3,)"),
        (jnp.array([0.0, 1.0]), "labels must be +1 or -1, got [0. 1.]"),
    ],
)
def test_bad_labels_are_refused(mixture, labels, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        mixture.sample(jax.random.key(0), 2, labels)


def test_moments_want_one_pair(mixture):
    with pytest.raises(ValueError, match=re.escape("one pair (dq, dw), got shape (1, 2)")):
        mixture.mean_token(1.0, ((0.0, 0.0),))


@pytest.mark.parametrize("num_examples", [0, -3])
def test_no_examples_is_refused(mixture, num_examples):
    message = f"num_examples must be a whole number >= 1, got {num_examples}"
    with pytest.raises(ValueError, match=re.escape(message)):
        mixture.sample(jax.random.key(0), num_examples)


def test_projections_are_refused_where_they_would_not_be_exact(mixture):
    with pytest.raises(
        ValueError, match=re.escape("directions must have shape [k, 4], got (2, 3)")
    ):
        mixture.sample_projections(jax.random.key(0), 5, jnp.ones((2, 3)))
    rademacher = dataclasses.replace(mixture, noise_law=jax.random.rademacher)
    with pytest.raises(ValueError, match="exact for Gaussian noise only"):
        rademacher.project(jnp.eye(4))


@pytest.mark.parametrize(
    ("assumption", "message"),
    [
        ("core", "Result G1 assumes the core dataset (nuisance = (0, 0))"),
        ("discrete", "Result G1 assumes the discrete dataset (noise_std = 0)"),
        ("orthogonal", "Result G1 assumes a context orthogonal to the regressor"),
        ("isotropic", "Result G1 assumes isotropic noise"),
        ("gaussian", "Result G1 assumes Gaussian noise"),
        ("symmetric", "Result G1 assumes labels of equal chance (positive_rate = 0.5)"),
    ],
)
def test_broken_assumptions_are_named(mixture, assumption, message):
    core = data.core_model(**CORE, noise_std=0.0)
    core.assume("Result G1", "core", "discrete", "orthogonal", "isotropic", "gaussian")
    core.assume("Result G1", "symmetric")
    with pytest.raises(ValueError, match="names out of .*'gaussian'.*, got 'convex'"):
        core.assume("Result G1", "convex")
    broken = dataclasses.replace(mixture, noise_factor=FACTOR, noise_law=jax.random.rademacher)
    with pytest.raises(ValueError, match=re.escape(message)):
        broken.assume("Result G1", assumption)


def test_assumptions_are_checked_within_a_traced_function_too():
    """What a jitted function closes over is concrete and is checked; an argument is not."""
    names = ("core", "discrete", "orthogonal", "isotropic", "gaussian", "symmetric")
    good = data.core_model(**CORE, noise_std=0.0)
    bad = data.core_model(**CORE, noise_std=0.0, correlation=0.5)

    def checked(model, x):
        model.assume("Result G1", *names)
        return x

    assert jax.jit(lambda x: checked(good, x))(1.0) == 1
    assert jax.jit(checked)(bad, 1.0) == 1
    with pytest.raises(ValueError, match="orthogonal to the regressor"):
        jax.jit(lambda x: checked(bad, x))(1.0)
