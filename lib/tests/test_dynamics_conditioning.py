"""Conditioned training has the law of training on tokens in full (S2)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import ks_2samp

from prompt_attention import data, dynamics, models, risk, training
from prompt_attention.dynamics import conditioning
from prompt_attention.dynamics.conditioning import DeferredMatrix

RUNS = 2000
FAMILY_WISE = 1e-3  # chance that a right program fails a comparison of many statistics
STATISTICS = 14


def statistics(contextual, w1, q1, w2):
    """Numbers that the steps leave: how vectors lie to each other, and how long they are."""
    q_star, w_star = contextual.context, contextual.regressor
    pairs = [(w1, w_star), (w1, q_star), (w1, w1), (q1, q_star), (q1, w_star), (q1, q1), (q1, w1)]
    pairs += [(w2, w_star), (w2, q_star), (w2, w2), (w2, q1), (w2, w1)]
    ratios = [(q1 @ q1) / (q1 @ w1), (q1 @ w1) / (w1 @ w1)]
    return jnp.stack([u @ v for u, v in pairs] + ratios)


def drawn(seed, take, runs=RUNS):
    """Statistics of many runs, one row each, without their last digits."""
    return np.round(jax.lax.map(take, jax.random.split(jax.random.key(seed), runs)), 4)


def smallest_p_value(one, other):
    """Of a two-sample test for each statistic."""
    assert one.shape == other.shape
    assert np.isfinite([one, other]).all()
    return min(ks_2samp(a, b).pvalue for a, b in zip(one.T, other.T, strict=True))


# ---- the matrix -----------------------------------------------------------------------------


def test_products_are_those_of_one_matrix(float64):
    """Linear in each argument and adjoint to each other, in whatever order they are asked for."""
    x, other_x = jax.random.normal(jax.random.key(1), (2, 6))
    c, other_c = jax.random.normal(jax.random.key(2), (2, 9))
    Z = DeferredMatrix.of(jax.random.key(0), (9, 6), (4, 4), jnp.float64)
    Zx, Z = Z.times(x)
    Zc, Z = Z.transposed_times(c)
    Z_other_c, Z = Z.transposed_times(other_c)
    Z_other_x, Z = Z.times(other_x)
    Z_sum, Z = Z.times(2 * x - 3 * other_x)
    Zc_sum, Z = Z.transposed_times(c + other_c)
    np.testing.assert_allclose(Z_sum, 2 * Zx - 3 * Z_other_x, atol=1e-12)
    np.testing.assert_allclose(Zc_sum, Zc + Z_other_c, atol=1e-12)
    for a, Za in [(x, Zx), (other_x, Z_other_x)]:
        for b, Zb in [(c, Zc), (other_c, Z_other_c)]:
            np.testing.assert_allclose(b @ Za, Zb @ a, atol=1e-12)
    np.testing.assert_array_equal(Z.times(jnp.zeros(6))[0], 0)


def test_a_matrix_revealed_on_the_way_is_gaussian():
    """Each direction is chosen by the last product; mean and covariance of all entries after it."""

    def revealed(key):
        Z = DeferredMatrix.of(key, (3, 2), (4, 2), jnp.result_type(float))
        c, Z = Z.times(jnp.array([1.0, 2.0]))
        x, Z = Z.transposed_times(c)
        c, Z = Z.times(x / jnp.linalg.norm(x))
        _, Z = Z.transposed_times(jnp.sin(c))
        columns = []
        for e in jnp.eye(2):
            column, Z = Z.times(e)
            columns.append(column)
        return jnp.concatenate(columns)

    entries = np.asarray(jax.vmap(revealed)(jax.random.split(jax.random.key(0), 40_000)))
    products = entries[:, :, None] * entries[:, None]
    for draws, expected in [(entries, 0), (products, np.eye(6)), (products**2, 1 + 2 * np.eye(6))]:
        error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
        np.testing.assert_array_less(abs(draws.mean(axis=0) - expected), 4.5 * error)


# ---- three steps ----------------------------------------------------------------------------


def general(dim, **changes):
    """Vectors in general position, two nuisances, labels of unequal chance."""
    context = 1.5 * jnp.eye(dim)[0] + 0.4 * jnp.eye(dim)[2]
    setting = {
        "context": context,
        "regressor": jnp.eye(dim)[1] - 0.5 * jnp.eye(dim)[0],
        "num_tokens": 10,
        "sparsity": 0.2,
        "noise_std": 1.2,
        "positive_rate": 0.7,
        "nuisance": ((0.0, 0.0), (0.3, 0.6)),
    }
    return data.ContextualModel(**(setting | changes))


def core(dim):
    return data.core_model(
        dim=dim, context_norm=1.5, regressor_norm=1.0, num_tokens=10, sparsity=0.2, noise_std=1.0
    )


def shaped(dim):
    """Noise that is stronger in some directions, and of lower rank than the tokens."""
    scale = jnp.linspace(2.0, 0.5, dim)[:, None]
    return dataclasses.replace(general(dim), noise_factor=(scale * jnp.eye(dim))[:, : dim // 2])


SHARED = {"shared_batch": True}
SETTINGS = {  # the data, n, d, options, and room in a batch for examples that weigh nothing
    "core, many dimensions": (core, 8, 120, {}, 3),
    "general, large first step": (general, 40, 20, {"step_size": 0.5}, 0),
    "balanced shared batch, many dimensions": (core, 8, 120, {"balanced": True} | SHARED, 0),
    "shared batch, shaped noise": (shaped, 20, 20, SHARED, 5),
}


def steps_of(contextual, n, method, **options):
    """A function from a key to the statistics of three steps."""

    def take(key):
        steps = dynamics.three_steps(key, contextual, n, method=method, **options)
        return statistics(contextual, *steps)

    return take


@pytest.mark.parametrize("name", SETTINGS)
def test_conditioned_steps_have_the_law_of_direct_ones(name):
    make, n, dim, options, spare = SETTINGS[name]
    contextual = make(dim)
    given = {"step_size": 0.0, "balanced": False, "shared_batch": False} | options

    def conditioned_steps(key):
        step_size = given["step_size"]
        static = {k: given[k] for k in ("balanced", "shared_batch")} | {"room": n + spare}
        steps = conditioning.three_steps(key, contextual, n, None, step_size, **static)
        return statistics(contextual, *steps)

    direct = drawn(0, steps_of(contextual, n, "direct", **options))
    conditioned = drawn(1, conditioned_steps)
    assert smallest_p_value(direct, conditioned) > FAMILY_WISE / (STATISTICS * len(SETTINGS))


def test_a_shared_batch_is_not_three_fresh_ones():
    """The twin: the comparison sees the difference."""
    fresh = drawn(3, steps_of(core(60), 8, "conditioned"))
    shared = drawn(3, steps_of(core(60), 8, "conditioned", shared_batch=True))
    assert smallest_p_value(fresh, shared) < 1e-12


def plain(dim):
    """Two tokens, one of them noise, and one label: what is left to chance is the noise."""
    return dataclasses.replace(
        core(dim), num_tokens=2, sparsity=0.5, positive_rate=1.0, noise_std=2.0
    )


@pytest.mark.parametrize(
    ("dim", "n", "norm", "planted"),
    [(600, 60, None, (1, 3, 5)), (10, 1500, None, (2,)), (10, 1500, 0.75, (4,))],
    ids=["Z' c, many d", "Z w1, many n", "Z q1, many n"],
)
def test_one_percent_in_one_product_is_noticed(monkeypatch, dim, n, norm, planted):
    """Each product of the three steps comes out one percent too large in turn; none at last.

    The steps are Z 0 and Z' c, Z w1 and Z' c, Z q1 and Z' c. Where the vectors that show it are
    long, their length varies little, and one percent is much.
    """
    contextual, right = plain(dim), conditioning._reveal
    options = {"room": n, "balanced": False, "shared_batch": False}

    def unrolled(step, state, inputs):
        results = []
        for at in range(3):
            state, result = step(state, jax.tree.map(lambda x, at=at: x[at], inputs))
            results.append(result)
        return state, jnp.stack(results)

    @jax.jit
    def with_factors(keys, factors):
        def take(key):
            left = iter(factors)

            def biased(*arguments):
                product, side = right(*arguments)
                return product * next(left), side

            monkeypatch.setattr(conditioning, "_reveal", biased)
            monkeypatch.setattr(conditioning.jax.lax, "scan", unrolled)
            steps = conditioning.three_steps.__wrapped__  # not what was compiled before
            found = steps(key, contextual, n, norm, 0.0, **options)
            monkeypatch.undo()
            assert next(left, None) is None
            return statistics(contextual, *found)

        return jax.lax.map(take, keys)

    direct = drawn(0, steps_of(contextual, n, "direct", prompt_norm=norm), 2 * RUNS)
    keys = jax.random.split(jax.random.key(1), 2 * RUNS)

    def p_value(product):
        factors = jnp.ones(6) if product is None else jnp.ones(6).at[product].set(1.01)
        return smallest_p_value(direct, np.round(with_factors(keys, factors), 4))

    for product in planted:
        assert p_value(product) < FAMILY_WISE / STATISTICS
    assert p_value(None) > FAMILY_WISE / STATISTICS


def test_a_million_dimensions_fit():
    """Tokens in full would take 3 n T d floats, 36 GB; the alignment is that of G1."""
    contextual = data.core_model(
        dim=1_000_000, context_norm=2.0, regressor_norm=2.0, num_tokens=50, sparsity=0.1
    )
    steps = dynamics.three_steps(jax.random.key(0), contextual, 60, method="conditioned")
    expected = dynamics.head_alignment(contextual, 60)
    reached = dynamics.alignment(steps.first_head, contextual.regressor)
    # <w1, w*> has relative spread nu / (zeta W) of 0.09; two of them in a square, four deviations.
    np.testing.assert_allclose(reached, expected, rtol=8 * 0.09)
    assert steps.head.shape == (1_000_000,)


@pytest.mark.parametrize("method", ["direct", "conditioned"])
def test_several_sizes_are_simulated_by_one_program(method):
    """In the order given; a size alone and among others, where the room is the same."""
    options = {"balanced": True, "method": method, "num_test": 50}
    several = dynamics.simulate(jax.random.key(0), core(30), [12, 60, 6], 3, **options)
    alone = dynamics.simulate(jax.random.key(0), core(30), 60, 3, **options)
    for field, expected in zip(several, alone, strict=True):
        assert field.shape == (3, 3)
        np.testing.assert_allclose(field[1], expected, rtol=1e-4)
    means = several.head_alignment.mean(axis=1)
    assert means[2] < means[0] < means[1]


@pytest.mark.parametrize("repeats", [2047, 2048, 2049])
def test_the_program_has_room_for_any_number_of_runs(repeats):
    """Each run is made once: none is missing at the edge of the room, and none is another's."""
    found = dynamics.simulate(jax.random.key(0), core(5), 2, repeats, num_test=0).head_alignment
    few = dynamics.simulate(jax.random.key(0), core(5), [2, 4], 3, num_test=0).head_alignment
    assert found.shape == (repeats,)
    assert len(np.unique(found)) > 0.99 * repeats
    assert (found > 0).all()
    np.testing.assert_allclose(few[0], found[:3], rtol=1e-5)
    assert not np.isclose(few[1], few[0], rtol=1e-3).any()


# ---- any number of steps --------------------------------------------------------------------


@pytest.mark.parametrize("shared", [True, False])
def test_conditioned_descent_has_the_law_of_training(shared):
    """Four steps on one batch, and on fresh ones, from a model in general position."""
    contextual, n, num_steps, optimizer = general(20), 12, 4, optax.sgd(0.3)
    start = models.PromptAttention(
        20, head=0.2 * jnp.ones(20), prompt=0.5 * jnp.eye(20)[0] - 0.2 * jnp.eye(20)[3]
    )

    def summary(model, losses):
        w, q = model.head[...], model.prompt[...]
        found = statistics(contextual, start.head[...], q, w)
        return jnp.concatenate([found[jnp.array([3, 4, 5, 6, 7, 8, 9, 10, 11])], losses])

    def conditioned(key):
        options = {"shared_batch": shared}
        return summary(
            *dynamics.conditioned_descent(key, start, contextual, n, num_steps, 0.3, **options)
        )

    def direct(key):
        keys = jax.random.split(key, num_steps)
        keys = keys[jnp.zeros(num_steps, int)] if shared else keys
        end, (losses, _) = training.descend(
            lambda model, key: risk.squared_loss(model, contextual.sample(key, n)),
            training.start(start, optimizer),
            optimizer,
            keys,
        )
        return summary(end.params, losses)

    assert smallest_p_value(drawn(0, direct), drawn(1, conditioned)) > FAMILY_WISE / 26


# ---- what is refused ------------------------------------------------------------------------


def test_what_cannot_be_conditioned_is_refused():
    key, signs = jax.random.key(0), dataclasses.replace(core(5), noise_law=jax.random.rademacher)
    with pytest.raises(ValueError, match='"conditioned" .* assumes Gaussian noise'):
        dynamics.three_steps(key, signs, 4, method="conditioned")
    with pytest.raises(ValueError, match="method must be 'direct' or 'conditioned', got 'quick'"):
        dynamics.simulate(key, core(5), 4, 2, method="quick")
