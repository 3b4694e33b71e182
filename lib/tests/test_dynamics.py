"""The laws of the three steps hold on full tokens; gaps close as n and d grow (G1 to G4)."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from prompt_attention import data, dynamics, models, risk


def core(**changes):
    """A core dataset in which every number differs from one."""
    setting = {
        "dim": 40,
        "context_norm": 2.0,
        "regressor_norm": 1.5,
        "num_tokens": 10,
        "sparsity": 0.2,
        "noise_std": 0.8,
    }
    return data.core_model(**(setting | changes))


def fast_key(seed):
    """A key of the generator that compiles and runs fastest."""
    return jax.random.key(seed, impl="rbg")


def mean_and_error(draws):
    """Mean and standard error of independent draws."""
    draws = np.asarray(draws, np.float64)
    return draws.mean(), draws.std(ddof=1) / np.sqrt(len(draws))


# ---- the steps ------------------------------------------------------------------------------


def test_steps_are_gradients(float64, mixture):
    """Each step against jax.grad of the squared loss on the same batch, in double precision."""
    batch = mixture.sample(jax.random.key(0), 7)
    batch = jax.tree.map(lambda x: x.astype(float) if x.dtype == jnp.float32 else x, batch)
    w, q = jax.random.normal(jax.random.key(1), (2, 4))

    def loss(head, prompt):
        return risk.squared_loss(models.PromptAttention(4, head=head, prompt=prompt), batch)

    def mean(descent, *vectors):
        one = lambda X, y: descent(X, y, *vectors)  # noqa: E731
        return jax.vmap(one)(batch.tokens, batch.labels).mean(axis=0)

    np.testing.assert_allclose(
        mean(dynamics.head_descent, q), -jax.grad(loss)(jnp.zeros(4), q), rtol=1e-12
    )
    np.testing.assert_allclose(
        mean(dynamics.prompt_descent, w, 1.0), -jax.grad(loss, 1)(w, jnp.zeros(4)), rtol=1e-12
    )
    small = -jax.grad(loss, 1)(1e-6 * w, jnp.zeros(4)) / 1e-6
    np.testing.assert_allclose(mean(dynamics.prompt_descent, w, 0.0), small, rtol=1e-4)


def test_three_steps_are_chained_on_fresh_batches():
    """With two tokens and no noise every step can be written by hand."""
    contextual = core(dim=3, num_tokens=2, sparsity=0.5, noise_std=0.0)
    steps = dynamics.three_steps(jax.random.key(0), contextual, 6, balanced=True)
    W2 = 1.5**2
    np.testing.assert_allclose(steps.first_head, contextual.regressor / 2, rtol=1e-5, atol=1e-6)
    # Chat = r r' / 4 and <r, w1> = y W^2 / 2.
    np.testing.assert_allclose(steps.prompt, W2 / 8 * contextual.context, rtol=1e-5, atol=1e-6)
    mass = 1 / (1 + np.exp(-W2 / 8 * 4))
    np.testing.assert_allclose(steps.head, mass * contextual.regressor, rtol=1e-5, atol=1e-6)
    damped = dynamics.three_steps(
        jax.random.key(0), contextual, 6, balanced=True, step_size=0.5, prompt_norm=3.0
    )
    np.testing.assert_allclose(damped.prompt, [3.0, 0.0, 0.0], rtol=1e-5, atol=1e-6)
    noisy = dynamics.three_steps(jax.random.key(0), core(), 6)
    assert abs(noisy.first_head - noisy.head).max() > 0.1


def test_first_head_has_its_exact_law():
    """Components of w1 along w*, q* and the rest: mean and variance, for random labels."""
    contextual, n, repeats = core(dim=5), 6, 4000
    keys = jax.random.split(fast_key(3), repeats)
    heads = jax.lax.map(lambda key: dynamics.three_steps(key, contextual, n).first_head, keys)
    zeta, Q, W, var = 0.2, 2.0, 1.5, 0.8**2 * 0.8 / (10 * n)
    mean = np.array([0.0, zeta * W, 0, 0, 0])
    variance = np.array([var + (zeta * Q) ** 2 / n, var, var, var, var])
    centred = np.asarray(heads, np.float64) - mean
    for powers, expected in [(centred, 0.0), (centred**2, variance)]:
        error = powers.std(axis=0, ddof=1) / np.sqrt(repeats)
        np.testing.assert_array_less(abs(powers.mean(axis=0) - expected), 4 * error)


def test_sample_size_and_chunks_are_counted_exactly():
    """Where n fills no chunk: the examples beyond n do not enter, and balance is exact."""
    contextual = core(noise_std=0.0)
    for n in (1, 3, 300):
        steps = dynamics.three_steps(jax.random.key(n), contextual, n)
        along = steps.first_head @ contextual.context / 4 / 0.2  # the mean label
        assert abs(along * n - np.round(along * n)) < 1e-3 * n
        np.testing.assert_allclose(steps.first_head[1], 0.2 * 1.5, rtol=1e-5)
    steps = dynamics.three_steps(jax.random.key(0), contextual, 298, balanced=True)
    np.testing.assert_allclose(steps.first_head[0], 0.0, atol=1e-6)


# ---- G1 and G2 ------------------------------------------------------------------------------

PROMPT_NORM = 0.8
SETTINGS = {
    "plain": ({}, 40, True),
    "random labels": ({"context_norm": 4.0}, 40, False),
    "few tokens": ({"num_tokens": 4, "sparsity": 0.25, "noise_std": 0.5}, 60, True),
    "many tokens": ({"num_tokens": 40, "sparsity": 0.05}, 100, False),
    "dense": ({"sparsity": 0.6, "noise_std": 2.0}, 40, False),
    "weak label": ({"regressor_norm": 0.5}, 200, True),
    "strong label": ({"regressor_norm": 5.0, "noise_std": 2.0}, 20, False),
    "long": ({"num_tokens": 80, "dim": 30, "noise_std": 1.5}, 20, False),
}


@pytest.fixture(scope="module", params=SETTINGS)
def measured(request):
    """A setting and what 400 runs of the three steps gave."""
    changes, n, balanced = SETTINGS[request.param]
    contextual = core(**changes)
    runs = dynamics.simulate(
        fast_key(11), contextual, n, 400, prompt_norm=PROMPT_NORM, balanced=balanced, num_test=0
    )
    return contextual, n, balanced, runs


def test_head_alignment_is_measured(measured):
    """Four standard errors, and 1/d for what is left out at finite d."""
    contextual, n, balanced, runs = measured
    value, error = mean_and_error(runs.head_alignment)
    expected = dynamics.head_alignment(contextual, n, balanced=balanced)
    assert abs(value - expected) < 4 * error + 1 / contextual.dim


def test_prompt_alignment_is_measured(measured):
    """Four standard errors, and 1/d for the fluctuation of the quotient."""
    contextual, n, balanced, runs = measured
    value, error = mean_and_error(runs.prompt_alignment)
    expected = dynamics.prompt_alignment(contextual, n, balanced=balanced)
    assert abs(value - expected) < 4 * error + 1 / contextual.dim


def test_second_head_alignment_is_measured(measured):
    """The law at the alignment that each run reached; 1/d + 1/n for what is left out."""
    contextual, n, balanced, runs = measured
    value, error = mean_and_error(runs.second_head_alignment)

    def law(reached):
        return dynamics.second_head_alignment(
            fast_key(12), contextual, n, PROMPT_NORM, reached, 1000, balanced=balanced
        )

    laws = jax.jit(lambda reached: jax.lax.map(law, reached))(runs.prompt_alignment[:100])
    own = mean_and_error(laws.value)[1]
    tolerance = 4 * np.hypot(error, own) + 1 / contextual.dim + 1 / n
    assert abs(value - laws.value.mean()) < tolerance


@pytest.mark.parametrize(("balanced", "context_norm"), [(True, 2.0), (False, 2.0), (False, 0.5)])
def test_moments_of_the_prompt_are_exact(balanced, context_norm):
    """Numerator and denominator of G2 for tiny n, T, d: no finite-size term at all.

    A weak context leaves the noise to itself: only there does kappa tell.
    """
    small = {"dim": 3, "num_tokens": 5, "sparsity": 0.4, "regressor_norm": 0.9, "noise_std": 1.1}
    contextual = core(context_norm=context_norm, **small)
    keys = jax.random.split(fast_key(5), 40_000)
    run = jax.jit(
        lambda keys: jax.lax.map(
            lambda key: dynamics.three_steps(key, contextual, 4, balanced=balanced).prompt, keys
        )
    )
    prompts = np.asarray(run(keys), np.float64)
    along, total = prompts[:, 0] ** 2, (prompts**2).sum(axis=1)
    ratio = along.mean() / total.mean()
    error = (along - ratio * total).std() / total.mean() / np.sqrt(len(keys))
    expected = dynamics.prompt_alignment(contextual, 4, balanced=balanced)
    assert error < 0.005
    assert abs(ratio - expected) < 4 * error


def test_gaps_shrink_with_the_dimension():
    """G1, G3w and the limit of G2 at d/n and T fixed, over three sizes, 9-fold in all."""
    gaps = []
    for d in (5, 15, 45):
        contextual = core(dim=d, num_tokens=5, sparsity=0.4, regressor_norm=0.7, noise_std=1.0)
        n = 2 * d
        runs = dynamics.simulate(
            fast_key(d), contextual, n, 45_000 // d, prompt_norm=0.8, balanced=True, num_test=0
        )
        head, head_error = mean_and_error(runs.head_alignment)
        prompt, prompt_error = mean_and_error(runs.prompt_alignment)
        second, second_error = mean_and_error(runs.second_head_alignment)
        limit = dynamics.limiting_prompt_alignment(contextual, n)
        second_limit, limit_error = dynamics.second_head_alignment(
            fast_key(0), contextual, n, 0.8, limit, 40_000, balanced=True
        )
        gaps.append(
            [
                abs(head - dynamics.head_alignment(contextual, n, balanced=True)),
                abs(prompt - limit),
                abs(prompt - dynamics.prompt_alignment(contextual, n, balanced=True)),
                abs(second - second_limit),
            ]
        )
        assert max(head_error, prompt_error, second_error, limit_error) < 0.005
    first, second, third = np.array(gaps)
    assert (first > second).all()
    assert (second > third).all()
    assert (third < first / 2).all()


def test_head_alignment_takes_any_noise():
    """G1 needs second moments only: Rademacher noise of a tilted shape."""
    factor = jnp.diag(jnp.linspace(0.2, 3.0, 40))
    contextual = dataclasses.replace(core(), noise_factor=factor, noise_law=jax.random.rademacher)
    runs = dynamics.simulate(fast_key(2), contextual, 20, 300, balanced=True, num_test=0)
    value, error = mean_and_error(runs.head_alignment)
    expected = dynamics.head_alignment(contextual, 20, balanced=True)
    isotropic = dynamics.head_alignment(core(), 20, balanced=True)
    assert abs(value - expected) < 4 * error + 1 / 40
    assert abs(value - isotropic) > 4 * error + 1 / 40


def test_correlated_vectors_break_the_prompt():
    """The twin of G2: at correlation 0.6 the prompt tilts as its population value does."""
    runs = dynamics.simulate(
        fast_key(4), core(correlation=0.6), 400, 100, balanced=True, num_test=0
    )
    value, error = mean_and_error(runs.prompt_alignment)
    orthogonal = dynamics.prompt_alignment(core(), 400, balanced=True)
    assert orthogonal - value > 0.05 + 4 * error
    tilted = dynamics.population_prompt_alignment(0.6)
    assert abs(value / orthogonal - tilted) < 4 * error + 1 / 40
    with pytest.raises(ValueError, match="Result G2 assumes a context orthogonal"):
        dynamics.prompt_alignment(core(correlation=0.6), 400)


def test_voting_noise_turns_head_and_prompt_away():
    """The twin of G1: past dw = zeta / (1 - zeta) = 1/4 the mean token votes the wrong way."""
    for vote, side in ((0.15, 1), (0.35, -1)):
        contextual = dataclasses.replace(core(), nuisance=((0.0, vote),))
        steps = dynamics.three_steps(fast_key(8), contextual, 4000, balanced=True)
        signal = 0.2 - 0.8 * vote
        spread = 4 * np.sqrt(0.8**2 * 0.8 / (10 * 4000))
        along = steps.first_head @ contextual.regressor / contextual.regressor_norm
        assert abs(along - signal * 1.5) < spread
        population = 0.2 * 0.8 * (1 + vote) * signal * 1.5**2 * 2.0
        reached = steps.prompt @ contextual.context / contextual.context_norm
        assert np.sign(reached) == np.sign(population) == side
        assert abs(reached / population - 1) < 0.1
    with pytest.raises(ValueError, match="Result G1 assumes the core dataset"):
        dynamics.head_alignment(contextual, 4000)


# ---- G3 -------------------------------------------------------------------------------------


ATTENDED = {
    "plain": ({}, 1.0, 0.9),
    "long prompt": ({}, 4.0, 0.9),
    "no prompt": ({}, 0.0, 0.5),
    "badly aligned": ({"context_norm": 4.0}, 1.5, 0.1),
    "sparse": ({"num_tokens": 40, "sparsity": 0.05}, 2.0, 0.7),
    "dense": ({"sparsity": 0.8, "noise_std": 2.0}, 0.7, 1.0),
    "loud": ({"noise_std": 3.0, "context_norm": 3.0}, 1.0, 0.8),
}


@pytest.mark.parametrize("name", ATTENDED)
def test_attention_on_tokens_is_measured(name):
    """Mass and squared weights from scores alone against the softmax of full tokens."""
    changes, beta, alignment = ATTENDED[name]
    contextual = core(**changes)
    along, across = beta * np.sqrt(alignment), beta * np.sqrt(1 - alignment)
    prompt = along * jnp.eye(40)[0] + across * jnp.eye(40)[3]
    tokens, _, relevant, _ = contextual.sample(fast_key(1), 4000)
    scores = np.float64(tokens) @ np.float64(prompt)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    mass, mass_error = mean_and_error((weights * relevant).sum(axis=1))
    spread, spread_error = mean_and_error((weights**2 * ~relevant).sum(axis=1))
    drawn = dynamics.attention_mass(fast_key(2), contextual, beta, alignment, 4000)
    assert abs(mass - drawn.value) <= 4 * np.hypot(mass_error, drawn.standard_error) + 1e-6
    head = dynamics.second_head_alignment(
        fast_key(3), contextual, 50, beta, alignment, 4000, balanced=True
    )
    signal = (mass * 1.5) ** 2
    expected = signal / (signal + float(contextual.noise_std) ** 2 * spread * 40 / 50)
    relative = np.hypot(2 * mass_error / mass, spread_error / spread)
    error = np.hypot(expected * (1 - expected) * relative, head.standard_error)
    assert abs(head.value - expected) < 4 * error + 1e-6


def test_attention_mass_of_the_learned_prompt():
    """From scores alone against the three steps' own prompt, at the alignment that it has."""
    contextual = core(dim=60, num_tokens=20, noise_std=1.0)
    runs = dynamics.simulate(
        fast_key(6), contextual, 120, 40, prompt_norm=2.0, balanced=True, num_test=1000
    )
    value, error = mean_and_error(runs.attention_mass)
    predicted = dynamics.attention_mass(
        fast_key(7), contextual, 2.0, runs.prompt_alignment.mean(), 20_000
    )
    assert 0.3 < value < 0.9
    tolerance = 4 * np.hypot(error, predicted.standard_error) + 1 / 60
    assert abs(value - predicted.value) < tolerance


def test_second_head_has_its_limits():
    """Without a prompt it is G1; in long contexts the gain in sample size tends to its law."""
    contextual = core()
    without = dynamics.second_head_alignment(
        fast_key(0), contextual, jnp.arange(9, 99), 0, 1, 2, balanced=True
    )
    np.testing.assert_allclose(
        without.value, dynamics.head_alignment(contextual, np.arange(9, 99), balanced=True), 1e-5
    )
    gaps, beta = [], 0.6  # at the best norm c Q / (2 sigma^2) of sigma = 1.25 and c^2 = 0.88
    for num_tokens in (10, 100, 1000):
        longer = core(num_tokens=num_tokens, noise_std=1.25)
        half = dynamics.samples_for_alignment(longer, 0.5, balanced=True)
        reached, error = dynamics.second_head_alignment(
            fast_key(1), longer, half, beta, 0.88, 20_000, balanced=True
        )
        gain = np.exp(2 * beta * np.sqrt(0.88) * 2 - 2 * (beta * 1.25) ** 2)
        gaps.append(abs(reached - gain / (1 + gain)))
        assert error < 0.003
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.01


def test_attention_mass_has_its_three_limits():
    """Norm zero, norm infinity, and ever longer contexts."""
    contextual = core(noise_std=1.0)
    none = dynamics.attention_mass(fast_key(0), contextual, 0.0, 0.9, 10)
    np.testing.assert_allclose(none.value, 0.2, rtol=1e-5)
    hard = dynamics.attention_mass(fast_key(1), contextual, 1e4, 0.9, 20_000)
    expected = norm.cdf(np.sqrt(0.9) * 2) ** 8
    np.testing.assert_allclose(dynamics.hard_attention_mass(contextual, 0.9), expected, rtol=1e-5)
    assert abs(hard.value - expected) < 4 * hard.standard_error
    gaps = []
    for num_tokens in (10, 100, 1000):
        longer = core(num_tokens=num_tokens, noise_std=1.0)
        mass = dynamics.attention_mass(fast_key(2), longer, 1.5, 0.9, 4000)
        gaps.append(abs(mass.value - dynamics.limiting_attention_mass(longer, 1.5, 0.9)))
        assert mass.standard_error < 0.005
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.01


def test_long_context_limit_fails_beyond_freezing():
    """Past the freezing norm the limit says nearly nothing is left; the drawn mass disagrees."""
    contextual = core(num_tokens=1000, noise_std=1.0)
    norm_beyond = 1.5 * float(dynamics.freezing_norm(contextual))
    np.testing.assert_allclose(norm_beyond, 1.5 * np.sqrt(2 * np.log(800)), rtol=1e-6)
    mass = dynamics.attention_mass(fast_key(0), contextual, norm_beyond, 1.0, 2000)
    limit = dynamics.limiting_attention_mass(contextual, norm_beyond, 1.0)
    assert limit < 0.05
    assert mass.value - limit > 0.1 + 4 * mass.standard_error


# ---- G4 -------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [0.1, 0.5, 0.9])
def test_sample_sizes_invert_the_alignments(float64, target):
    contextual = core()
    for balanced in (True, False):
        n = dynamics.samples_for_alignment(contextual, target, balanced=balanced)
        reached = dynamics.head_alignment(contextual, n, balanced=balanced)
        np.testing.assert_allclose(reached, target, rtol=1e-6)
    n = dynamics.samples_for_prompt_alignment(contextual, target)
    np.testing.assert_allclose(dynamics.limiting_prompt_alignment(contextual, n), target, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "values", "tokens"),
    [
        ("dim", (20, 40, 80), 20),
        ("num_tokens", (20, 40, 80), 20),
        ("sparsity", (0.1, 0.2, 0.4), 20),
    ],
)
def test_measured_exponents(name, values, tokens):
    """Of the sample size for alignment 1/2 of head and prompt: the slope that theory has there."""
    setting = {"dim": 40, "num_tokens": tokens, "regressor_norm": 0.7, "noise_std": 1.0}
    crossings, theory = {"head": [], "prompt": []}, {"head": [], "prompt": []}
    for seed, value in enumerate(values):
        contextual = core(**(setting | {name: value}))
        half = float(dynamics.samples_for_alignment(contextual, 0.5, balanced=True))
        theory["head"].append(half)
        theory["prompt"].append(float(dynamics.samples_for_prompt_alignment(contextual, 0.5)))
        grid = [2 * max(1, round(half * share / 2)) for share in (0.35, 0.7, 1.4)]
        runs = [
            dynamics.simulate(fast_key(seed), contextual, n, 48, balanced=True, num_test=0)
            for n in grid
        ]
        for part, found in crossings.items():
            drawn = np.stack([getattr(run, f"{part}_alignment") for run in runs], axis=1)
            found.append(dynamics.crossing(grid, drawn, 0.5))
    for part, found in crossings.items():
        places, errors = zip(*found, strict=True)
        slope = dynamics.exponent(values, places, errors)
        expected = dynamics.exponent(values, theory[part])
        assert slope.standard_error < 0.15
        # At finite d the crossing lies about 1/d lower in log n, which moves the slope over d from
        # 20 to 80 by (1/20 - 1/80) / log 4 = 0.03; coarse grids bend the line by as much.
        assert abs(slope.value - expected.value) < 4 * slope.standard_error + 0.05


def test_exponent_and_crossing_on_known_curves():
    x = np.array([1.0, 2.0, 5.0])
    slope = dynamics.exponent(x, 3 * x**-1.7, [0.1, 0.2, 0.1])
    np.testing.assert_allclose(slope.value, -1.7, rtol=1e-10)
    rng = np.random.default_rng(0)
    noisy = [
        dynamics.exponent(x, np.exp(0.1 * rng.standard_normal(3)), [0.1] * 3).value
        for _ in range(4000)
    ]
    np.testing.assert_allclose(
        np.std(noisy), dynamics.exponent(x, x, [0.1] * 3).standard_error, rtol=0.05
    )
    grid = np.array([10.0, 20.0, 40.0])
    values = 0.4 * np.log(grid / 10) + 0.08 * rng.standard_normal((500, 50, 3))
    found = [dynamics.crossing(grid, v, 0.4 * np.log(2.5)) for v in values]
    logs = np.log([f.location for f in found])
    np.testing.assert_allclose(logs.mean(), np.log(25), atol=4 * logs.std() / np.sqrt(500))
    np.testing.assert_allclose(logs.std(), np.mean([f.relative_error for f in found]), rtol=0.15)
    with pytest.raises(ValueError, match="must cross the level 9.0 on the grid"):
        dynamics.crossing(grid, values[0], 9.0)
    with pytest.raises(ValueError, match="two or more positive numbers"):
        dynamics.exponent([1.0, 2.0], [0.0, 1.0])


def test_simulate_takes_numpys_whole_numbers_and_computes_no_nan():
    expected = dynamics.simulate(jax.random.key(0), core(), 4, 3, num_test=11)
    with jax.debug_nans(True):
        seen = dynamics.simulate(jax.random.key(0), core(), np.int64(4), np.int64(3), num_test=11)
    jax.tree.map(np.testing.assert_array_equal, seen, expected)


# ---- what is refused ------------------------------------------------------------------------

NUISANCE = dataclasses.replace(core(), nuisance=((0.0, 1.0),))
STILL = models.PromptAttention(40, head=jnp.zeros(40), prompt=jnp.zeros(40))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: dynamics.three_steps(jax.random.key(0), core(), 0),
            "num_examples must be a whole",
        ),
        (
            lambda: dynamics.simulate(jax.random.key(0), core(), [], 2),
            "num_examples must be a size or several, got none",
        ),
        (
            lambda: dynamics.simulate(jax.random.key(0), core(), 4, 0),
            "num_repeats must be a whole number >= 1, got 0",
        ),
        (
            lambda: dynamics.simulate(jax.random.key(0), core(), -1, 2),
            "num_examples must be a whole number >= 1, got -1",
        ),
        (
            lambda: dynamics.conditioned_descent(jax.random.key(0), STILL, core(), 0, 2, 0.1),
            "num_examples must be a whole number >= 1, got 0",
        ),
        (
            lambda: dynamics.conditioned_descent(jax.random.key(0), STILL, core(), 4, 0, 0.1),
            "num_steps must be a whole number >= 1, got 0",
        ),
        (
            lambda: dynamics.three_steps(jax.random.key(0), core(), 4, prompt_norm=-1.0),
            "prompt_norm must be >= 0, got -1.0",
        ),
        (
            lambda: dynamics.three_steps(jax.random.key(0), core(), 5, balanced=True),
            "num_examples must be even for balanced labels, got 5",
        ),
        (
            lambda: dynamics.three_steps(
                jax.random.key(0),
                dataclasses.replace(core(), positive_rate=0.3),
                4,
                balanced=True,
            ),
            "balanced=True assumes labels of equal chance",
        ),
        (lambda: dynamics.head_alignment(core(), 0), "num_examples must be > 0, got 0"),
        (lambda: dynamics.prompt_alignment(core(), -2.0), "num_examples must be > 0, got -2.0"),
        (lambda: dynamics.head_alignment(NUISANCE, 5), "Result G1 assumes the core dataset"),
        (lambda: dynamics.prompt_alignment(NUISANCE, 5), "Result G2 assumes the core dataset"),
        (
            lambda: dynamics.limiting_prompt_alignment(
                dataclasses.replace(core(), noise_law=jax.random.rademacher), 5
            ),
            "Result G2 assumes Gaussian noise",
        ),
        (
            lambda: dynamics.limiting_attention_mass(core(), -1.0, 0.5),
            "prompt_norm must be >= 0, got -1.0",
        ),
        (
            lambda: dynamics.attention_mass(jax.random.key(0), core(), 1.0, 1.5, 5),
            "alignment, a squared cosine, must lie in [0, 1], got 1.5",
        ),
        (
            lambda: dynamics.attention_mass(jax.random.key(0), core(), 1.0, 0.5, 1),
            "num_draws must be a whole number >= 2, got 1",
        ),
        (
            lambda: dynamics.attention_mass(jax.random.key(0), NUISANCE, 1.0, 0.5, 5),
            "Result G3 assumes the core dataset",
        ),
        (
            lambda: dynamics.second_head_alignment(jax.random.key(0), core(), 0, 1.0, 0.5, 5),
            "num_examples must be > 0, got 0",
        ),
        (
            lambda: dynamics.second_head_alignment(jax.random.key(0), NUISANCE, 5, 1.0, 0.5, 5),
            "Result G3w assumes the core dataset",
        ),
        (lambda: dynamics.samples_for_alignment(core(), 1.0), "target must lie in (0, 1), got 1.0"),
        (
            lambda: dynamics.samples_for_alignment(core(correlation=0.5), 0.5),
            "Result G4 assumes a context orthogonal",
        ),
    ],
)
def test_bad_input_is_refused_with_its_name(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_formulas_can_be_traced():
    contextual = core()
    for formula in (dynamics.head_alignment, dynamics.prompt_alignment):
        np.testing.assert_allclose(
            jax.jit(formula)(contextual, jnp.array([10.0, 20.0])),
            formula(contextual, np.array([10, 20])),
            rtol=1e-6,
        )
    slope = jax.grad(lambda n: dynamics.head_alignment(contextual, n))(30.0)
    assert slope > 0
