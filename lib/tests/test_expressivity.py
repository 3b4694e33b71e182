"""Each model fails from its threshold on and not before it; the separating prompt never fails."""

import dataclasses
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from flax import nnx
from scipy.special import expit

from prompt_attention import data, expressivity, models, risk

SPARSITIES = np.array([0.01, 0.05, 0.2, 0.35, 0.45, 0.5, 0.6, 0.9, 0.99])
KINDS = [
    models.PromptAttention,
    models.SelfAttention,
    models.LinearPromptAttention,
    models.MeanPooling,
]
CONTEXT = jnp.array([1.5, 0.5, 0.0])
REGRESSOR = jnp.array([0.4, -1.0, 0.8])  # neither orthogonal to the context nor of its length


def discrete(nuisance, sparsity=0.2, **changes):
    """A discrete dataset in general position, ten tokens."""
    settings = {"context": CONTEXT, "regressor": REGRESSOR, "num_tokens": 10, "noise_std": 0.0}
    return data.ContextualModel(**settings | {"nuisance": nuisance, "sparsity": sparsity} | changes)


def opposed(strength):
    """The nuisance of E2."""
    return ((0.0, 0.0), (strength, -strength))


def aligned(strength):
    """The nuisance of E3."""
    return ((0.0, 0.0), (strength, strength))


@partial(jax.jit, static_argnums=(0, 2))
def _random_errors(kind, support, num):
    dim = support.tokens.shape[-1]
    shapes = [(dim, dim) if kind is models.SelfAttention else (dim,)]
    shapes = [(dim,)] + shapes * (kind is not models.MeanPooling)

    def error(key):
        size_key, *keys = jax.random.split(key, 1 + len(shapes))
        sizes = 10 ** jax.random.uniform(size_key, (len(shapes),), minval=-2, maxval=2)
        drawn = zip(keys, shapes, sizes, strict=True)
        values = [size * jax.random.normal(key, shape) for key, shape, size in drawn]
        second = {models.SelfAttention: "weights", models.MeanPooling: ""}.get(kind, "prompt")
        names = ["head", second][: len(values)]
        model = kind(dim, **dict(zip(names, values, strict=True)))
        return expressivity.support_error(model, support)

    return jax.vmap(error)(jax.random.split(jax.random.key(0), num))


def random_errors(kind, contextual, num=20_000):
    """Exact errors of models with random parameters of sizes 0.01 to 100."""
    return _random_errors(kind, expressivity.Support.of(contextual), num)


def directions():
    """The parts of q* and w* that are orthogonal to the other one."""
    q, w = CONTEXT, REGRESSOR
    return q - (q @ w) / (w @ w) * w, w - (q @ w) / (q @ q) * q


def self_attention_with_score(score):
    """Self-attention with <r, W r> = score for both labels and <v, r> of the label's sign."""
    q, w = directions()
    return models.SelfAttention(3, head=w, weights=score * jnp.outer(q, q) / (q @ CONTEXT) ** 2)


def masses(sparsity, strength, x):
    """M as in E3, in NumPy, as a function of x = s (1 + Delta)."""
    L = np.log(sparsity / (1 - sparsity))
    return sparsity * expit(L + x) + (1 - sparsity) * expit(L - strength * x)


def searched_mass(sparsity, strength):
    """The largest M on a fine grid of x, and where."""
    half = np.geomspace(1e-6, 1e6, 20_001)
    x = np.concatenate([-half[::-1], [0.0], half])
    M = masses(sparsity, strength, x)
    best = np.argmax(M)
    bracket = x[max(best - 1, 0)], x[min(best + 1, len(x) - 1)]
    found = scipy.optimize.minimize_scalar(
        lambda x: -masses(sparsity, strength, x), bounds=bracket, method="bounded"
    )
    return (-found.fun, found.x) if -found.fun > M[best] else (M[best], x[best])


# --- thresholds ------------------------------------------------------------------------------


def test_thresholds_are_strengths_and_not_their_squares():
    zeta = jnp.array([0.2, 0.5, 0.8])
    np.testing.assert_allclose(expressivity.linear_threshold(zeta), [0.5, 1, 2], rtol=1e-6)
    np.testing.assert_allclose(expressivity.mean_pooling_threshold(zeta), [0.25, 1, 4], rtol=1e-6)
    sharp = expressivity.self_attention_threshold(zeta)
    np.testing.assert_allclose(sharp, [4.158512, 1, 4], rtol=3e-6)


@pytest.mark.parametrize("sparsity", [0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.48, 0.5, 0.7, 0.99])
def test_self_attention_threshold_is_the_root_that_a_search_finds(sparsity, float64):
    k = sparsity / (1 - sparsity)
    if k < 1:
        root = scipy.optimize.brentq(
            lambda delta: searched_mass(sparsity, delta)[0] - delta / (1 + delta),
            1 / k,
            1 / k + 1 + k,
            xtol=1e-12,
        )
    else:
        root = k
    threshold = expressivity.self_attention_threshold(sparsity)
    np.testing.assert_allclose(threshold, root, rtol=1e-6)
    # Beyond it the failure never ends, before it never begins: the set of failures is one interval.
    ratios = np.concatenate([np.geomspace(0.02, 0.9999, 60), np.geomspace(1.0001, 50, 60)])
    fails = [searched_mass(sparsity, delta)[0] <= delta / (1 + delta) for delta in ratios * root]
    np.testing.assert_array_equal(fails, ratios > 1)


def test_attention_mass_bound_is_the_largest_mass(float64):
    """All regimes of strength against odds, on a grid."""
    strengths = np.geomspace(0.01, 100, 13)
    bound = expressivity.attention_mass_bound(SPARSITIES[:, None], strengths)
    found = [[searched_mass(z, delta)[0] for delta in strengths] for z in SPARSITIES]
    np.testing.assert_allclose(bound, found, rtol=1e-9)


def test_mass_of_a_score_is_the_mass_of_the_model(float64):
    zeta, delta = 0.3, 1.7
    r = (CONTEXT + REGRESSOR).astype(float)
    tokens = jnp.where(jnp.arange(10)[:, None] < 3, r, -delta * r)
    for score in (-2.0, -0.3, 0.0, 0.4, 3.0):
        weights = score * jnp.outer(r, r) / (r @ r) ** 2
        model = models.SelfAttention(3, head=r, weights=weights)
        attention = model.attention(tokens).mean(axis=0)
        np.testing.assert_allclose(
            expressivity.self_attention_mass(zeta, delta, score), attention[:3].sum(), rtol=1e-10
        )


def test_simple_threshold_is_sufficient(float64):
    zeta = np.linspace(0.01, 0.99, 99)
    simple = expressivity.simple_self_attention_threshold(zeta)
    np.testing.assert_allclose(simple, 1 / np.minimum(zeta * (1 - zeta), (1 - zeta) ** 2) - 1)
    assert (simple >= expressivity.self_attention_threshold(zeta)).all()


# --- E2 to E5: each model from both sides of its threshold -------------------------------------


@pytest.mark.parametrize("sparsity", [0.1, 0.2, 0.5, 0.7])
def test_linear_attention_fails_from_its_threshold_on(sparsity):
    threshold = float(expressivity.linear_threshold(sparsity))
    q, w = directions()

    def error(strength, head, prompt):
        model = models.LinearPromptAttention(3, head=head, prompt=prompt)
        return expressivity.discrete_error(model, discrete(opposed(strength), sparsity))

    assert error(0.999 * threshold, w, q) == 0  # A = 0, B > 0
    assert error(1.001 * threshold, w, q) == 0.5
    # A between |kappa| B / p and B: the bound is reached.
    kappa, p = sparsity - (1 - sparsity) * 4 * threshold**2, 4 * (1 - sparsity) * threshold**2
    tilt = (abs(kappa) / (p + sparsity) + 1) / 2 * (w @ REGRESSOR) / (q @ CONTEXT)
    assert error(2 * threshold, w + tilt * q, q) == 0.25
    for factor in (1.001, 1.5, 10):
        contextual = discrete(opposed(factor * threshold), sparsity)
        assert random_errors(models.LinearPromptAttention, contextual).min() >= 0.25
    contextual = discrete(opposed(0.5 * threshold), sparsity)
    assert random_errors(models.LinearPromptAttention, contextual).min() == 0


@pytest.mark.parametrize("sparsity", [0.1, 0.2, 0.4, 0.5, 0.7])
def test_self_attention_fails_from_its_threshold_on(sparsity):
    threshold = float(expressivity.self_attention_threshold(sparsity))

    def error(strength, score):
        model = self_attention_with_score(score)
        return expressivity.discrete_error(model, discrete(aligned(strength), sparsity))

    below, above = 0.999 * threshold, 1.001 * threshold
    best_score = searched_mass(sparsity, below)[1] / (1 + below)
    assert error(below, best_score) == 0
    scores = jnp.concatenate([jnp.geomspace(1e-3, 30, 1000), -jnp.geomspace(1e-3, 30, 1000)])
    assert jax.vmap(lambda score: error(above, score))(scores).min() == 0.5  # the bound, reached
    for factor in (1.001, 1.5, 10):
        contextual = discrete(aligned(factor * threshold), sparsity)
        assert random_errors(models.SelfAttention, contextual).min() >= 0.5
    contextual = discrete(aligned(0.5 * threshold), sparsity)
    assert random_errors(models.SelfAttention, contextual).min() == 0


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.7])
def test_mean_pooling_fails_from_its_threshold_on(sparsity):
    threshold = float(expressivity.mean_pooling_threshold(sparsity))
    _, w = directions()

    def error(nuisance):
        return expressivity.discrete_error(
            models.MeanPooling(3, head=w), discrete(nuisance, sparsity)
        )

    assert error(aligned(0.999 * threshold)) == 0
    assert error(aligned(threshold)) == 0.5  # a tie, though rounding makes it 1e-9
    assert error(aligned(1.001 * threshold)) == 0.5
    assert error(opposed(100 * threshold)) == 0  # E2's nuisance does it no harm
    for factor in (1.0, 1.001, 10):
        contextual = discrete(aligned(factor * threshold), sparsity)
        assert random_errors(models.MeanPooling, contextual).min() >= 0.5


@pytest.mark.parametrize("sparsity", [0.2, 0.7])
def test_only_prompt_attention_survives_the_joint_dataset(sparsity):
    """Prompt-attention at zero; the others at 1/6, 1/3 and 1/3 by name, and never below."""
    thresholds = [
        expressivity.linear_threshold(sparsity),
        expressivity.self_attention_threshold(sparsity),
        expressivity.mean_pooling_threshold(sparsity),
    ]
    strength = 1.05 * float(max(thresholds))
    joint = discrete(expressivity.joint_nuisance(strength), sparsity)
    least = expressivity.least_errors(sparsity, strength)
    np.testing.assert_allclose(least, [0, 1 / 3, 1 / 6, 1 / 3], rtol=1e-6)
    q, w = directions()
    scale = 1.01 * expressivity.prompt_scale_threshold(CONTEXT, REGRESSOR, sparsity, joint.nuisance)
    head, prompt = expressivity.separating_prompt(CONTEXT, REGRESSOR, scale)
    k = sparsity / (1 - sparsity)
    ratio = (strength**2 - k) / (strength**2 + k)
    tilt = (ratio + 1) / 2 * (w @ REGRESSOR) / (q @ CONTEXT)
    reached = {
        models.PromptAttention: models.PromptAttention(3, head=head, prompt=prompt),
        models.SelfAttention: self_attention_with_score(0.5),
        models.LinearPromptAttention: models.LinearPromptAttention(3, head=w + tilt * q, prompt=q),
        models.MeanPooling: models.MeanPooling(3, head=w),
    }
    for kind, bound in zip(KINDS, least, strict=True):
        error = expressivity.discrete_error(reached[kind], joint)
        np.testing.assert_allclose(error, bound, rtol=1e-6)
        assert random_errors(kind, joint).min() >= bound - 1e-6


@pytest.mark.parametrize("sparsity", [0.1, 0.4, 0.7])
def test_twin_just_below_its_threshold_each_rival_succeeds(sparsity):
    """On the joint dataset, with parameters written down by hand, and none of it just above."""
    q, w = directions()
    for name, threshold in {
        "linear": expressivity.linear_threshold(sparsity),
        "self": expressivity.self_attention_threshold(sparsity),
        "mean": expressivity.mean_pooling_threshold(sparsity),
    }.items():
        errors = []
        for strength in (0.999 * float(threshold), 1.001 * float(threshold)):
            score = searched_mass(sparsity, strength)[1] / (1 + strength)
            model = {
                "linear": models.LinearPromptAttention(3, head=w, prompt=q),
                "self": self_attention_with_score(score),
                "mean": models.MeanPooling(3, head=w),
            }[name]
            joint = discrete(expressivity.joint_nuisance(strength), sparsity)
            errors.append(expressivity.discrete_error(model, joint))
        assert errors[0] == 0
        assert errors[1] > 0.3


def test_least_errors_change_at_the_thresholds_and_broadcast():
    zeta = jnp.array([0.2, 0.7])
    for name, threshold, least in [
        ("linear", expressivity.linear_threshold, 1 / 6),
        ("self_attention", expressivity.self_attention_threshold, 1 / 3),
        ("mean", expressivity.mean_pooling_threshold, 1 / 3),
    ]:
        strengths = threshold(zeta) * jnp.array([[0.999], [1.001]])
        errors = expressivity.least_errors(zeta, strengths)
        assert errors.prompt.shape == (2, 2)
        assert not errors.prompt.any()
        np.testing.assert_allclose(getattr(errors, name), [[0, 0], [least, least]], rtol=1e-6)


# --- E6: training ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_training_reaches_zero_exactly_where_it_can(kind):
    """On both sides of the model's own threshold, at three sparsities."""
    own = {
        models.PromptAttention: expressivity.self_attention_threshold,
        models.SelfAttention: expressivity.self_attention_threshold,
        models.LinearPromptAttention: expressivity.linear_threshold,
        models.MeanPooling: expressivity.mean_pooling_threshold,
    }[kind]
    zeta = jnp.array([0.15, 0.4, 0.75])
    strengths = own(zeta) * jnp.array([[0.93], [1.07], [3.0]])
    template = discrete(aligned(1.0), context=jnp.array([1.0, 0]), regressor=jnp.array([0.3, 1.0]))
    errors = expressivity.restarts_on_grid(
        jax.random.key(0), kind, template, zeta, strengths, num_restarts=64
    )
    bounds = expressivity.least_errors(zeta, strengths)[KINDS.index(kind)]
    assert errors.shape == (3, 3, 64)
    assert (errors.min(axis=-1) >= bounds - 1e-6).all()
    np.testing.assert_array_equal(errors.min(axis=-1) == 0, bounds == 0)


def test_restarts_are_models_with_the_errors_that_they_report():
    contextual = discrete(expressivity.joint_nuisance(0.8), 0.3)
    found = expressivity.best_of_restarts(
        jax.random.key(1), models.SelfAttention, contextual, 16, num_steps=40
    )
    assert found.errors.shape == (16,)
    assert found.models.weights[...].shape == (16, 3, 3)
    assert len(set(np.asarray(found.models.head[...][:, 0]))) == 16  # different starts
    error = expressivity.discrete_error(found.best(), contextual)
    assert error == found.errors.min()
    batch = contextual.sample(jax.random.key(2), 4000)
    sampled = risk.error_rate(found.best(), batch)
    assert abs(sampled.value - error) <= 4 * sampled.standard_error


def test_a_grid_of_one_is_best_of_restarts():
    """The shares in place of the tokens change nothing."""
    contextual = discrete(expressivity.joint_nuisance(0.8), 0.3)
    key, kind = jax.random.key(3), models.SelfAttention
    on_grid = expressivity.restarts_on_grid(key, kind, contextual, 0.3, 0.8, 16, num_steps=40)
    alone = expressivity.best_of_restarts(
        jax.random.split(key, 1)[0], kind, contextual, 16, num_steps=40
    )
    np.testing.assert_array_equal(on_grid, alone.errors)


# --- the exact error ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_discrete_error_agrees_with_samples(mixture, kind, seed):
    """Unbalanced labels, three unequal values of the nuisance."""
    contextual = dataclasses.replace(mixture, noise_std=0.0)
    model = kind(4, rngs=nnx.Rngs(seed))
    exact = jax.jit(expressivity.discrete_error)(model, contextual)
    sampled = risk.error_rate(model, contextual.sample(jax.random.key(seed), 20_000))
    assert abs(exact - sampled.value) <= 4 * sampled.standard_error + 1e-6
    assert sampled.standard_error > 0 or exact in (0, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_two_tokens_with_shares_stand_for_all(mixture, kind, float64):
    """The expected loss of the support is the loss of full tokens, weighed by hand."""
    contextual = dataclasses.replace(mixture, noise_std=0.0, relevance="first")
    model = kind(4, rngs=nnx.Rngs(5))
    loss = 0.0
    for label, rate in ((1.0, 0.3), (-1.0, 0.7)):
        for nuisance, prob in zip(contextual.nuisance, (0.5, 0.2, 0.3), strict=True):
            r, u = contextual.relevant_token(label), contextual.irrelevant_mean(label, nuisance)
            tokens = jnp.concatenate([jnp.tile(r, (3, 1)), jnp.tile(u, (7, 1))])
            loss += rate * prob * np.log1p(np.exp(-label * model(tokens)))
    support = expressivity.Support.of(contextual)
    np.testing.assert_allclose(expressivity.support_loss(model, support), loss, rtol=1e-6)


def test_a_tie_is_an_error(dtype):
    """A head orthogonal to all tokens, and margins that vanish but for rounding."""
    contextual = discrete(
        aligned(1.0),
        context=jnp.array([1, 0, 0], dtype),
        regressor=jnp.array([0.5, 1, 0], dtype),
    )
    blind = models.MeanPooling(3, head=jnp.array([0, 0, 1], dtype))
    assert expressivity.discrete_error(blind, contextual) == 1
    head, prompt = expressivity.separating_prompt(contextual.context, contextual.regressor, 0.0)
    for sparsity, strength in ((0.1, 1 / 9), (0.3, 3 / 7), (0.7, 7 / 3)):
        tie = dataclasses.replace(contextual, nuisance=aligned(strength), sparsity=sparsity)
        model = models.PromptAttention(3, head=head, prompt=prompt)
        assert expressivity.discrete_error(model, tie) == 0.5


# --- E1 and its twins --------------------------------------------------------------------------

NUISANCES = {
    "aligned": ((0.0, 0.0), (3.0, 3.0)),
    "strong at small dq": ((0.0, 5.0), (2.0, 6.0), (4.0, -9.0)),
    "strong at large dq": ((0.0, 1.0), (1.0, 40.0)),
}


@pytest.mark.parametrize("name", NUISANCES)
@pytest.mark.parametrize("sparsity", [0.1, 0.4])
def test_scale_threshold_from_both_sides(name, sparsity, dtype):
    contextual = discrete(
        NUISANCES[name], sparsity, context=CONTEXT.astype(dtype), regressor=REGRESSOR.astype(dtype)
    )
    q, w = contextual.context, contextual.regressor
    threshold = expressivity.prompt_scale_threshold(q, w, sparsity, contextual.nuisance)

    def error(scale):
        head, prompt = expressivity.separating_prompt(q, w, scale)
        model = models.PromptAttention(3, head=head, prompt=prompt)
        return expressivity.discrete_error(model, contextual)

    assert threshold > 0
    assert error(1.001 * threshold) == 0
    assert error(threshold) > 0  # a tie
    assert error(0.999 * threshold) > 0
    np.testing.assert_array_equal(jax.vmap(error)(threshold * jnp.geomspace(1.01, 30, 50)), 0)


def test_scale_threshold_below_zero_and_without_end():
    nuisance = jnp.array([[0.0, 0.1], [1.0, 0.05]])
    threshold = expressivity.prompt_scale_threshold(CONTEXT, REGRESSOR, 0.5, nuisance)
    assert threshold < 0
    mean = models.MeanPooling(3, head=directions()[1])
    assert expressivity.discrete_error(mean, discrete(nuisance, 0.5)) == 0
    helpful = jnp.array([[0.0, 0.0], [1.0, -3.0]])
    assert expressivity.prompt_scale_threshold(CONTEXT, REGRESSOR, 0.1, helpful) == -jnp.inf


def test_separating_prompt_gives_the_margin_of_the_formula(float64):
    """Against the model on full tokens, correlated vectors, in double precision."""
    scale, (Q2, W2, QW) = 0.7, (2.5, 1.8, 0.1)  # squared norms and inner product by hand
    np.testing.assert_allclose(
        [CONTEXT @ CONTEXT, REGRESSOR @ REGRESSOR, CONTEXT @ REGRESSOR], [Q2, W2, QW], rtol=1e-6
    )
    q, w = CONTEXT.astype(float), REGRESSOR.astype(float)
    shrink = 1 - (q @ w) ** 2 / (q @ q) / (w @ w)
    head, prompt = expressivity.separating_prompt(q, w, scale)
    model = models.PromptAttention(3, head=head, prompt=prompt)
    for y in (1.0, -1.0):
        for dq, dw in ((0.0, 0.0), (1.5, -0.5), (0.4, 2.0)):
            odds = 0.3 / 0.7 * np.exp(scale * (q @ q) * shrink * (1 + dq))
            M = odds / (1 + odds)
            tokens = jnp.where(jnp.arange(10)[:, None] < 3, q + y * w, -dq * q - dw * y * w)
            expected = (w @ w) * shrink * (M - (1 - M) * dw)
            np.testing.assert_allclose(y * model(tokens), expected, rtol=1e-9)


def test_twin_collinear_context_and_regressor():
    """At correlation 1 no parameters of any model do better than a coin on the core dataset."""
    core = ((0.0, 0.0), (0.0, 0.0))
    for regressor in (CONTEXT / 1.5, -CONTEXT):
        for kind in KINDS:
            assert random_errors(kind, discrete(core, regressor=regressor)).min() >= 0.5
    for kind in KINDS:
        apart = discrete(core, regressor=CONTEXT + jnp.array([-0.1, 0.2, 0.1]))
        assert random_errors(kind, apart).min() == 0


def test_scale_threshold_grows_without_bound_towards_collinearity(float64):
    nuisance = jnp.array([[0.0, 3.0]])
    gaps = np.array([1e-1, 1e-2, 1e-3])  # 1 - rho^2
    scales = [
        expressivity.prompt_scale_threshold(
            jnp.array([1.0, 0.0]), jnp.array([np.sqrt(1 - gap), np.sqrt(gap)]), 0.2, nuisance
        )
        for gap in gaps
    ]
    np.testing.assert_allclose(scales, np.log(12) / gaps, rtol=1e-9)


def test_twin_negative_context_strength():
    """With dq < -1 irrelevant tokens win the attention: no scale helps, and larger ones harm."""
    contextual = discrete(((0.0, 3.0),))

    def error(dq, scale):
        head, prompt = expressivity.separating_prompt(CONTEXT, REGRESSOR, scale)
        broken = dataclasses.replace(contextual, nuisance=jnp.stack([dq, jnp.array(3.0)])[None])
        model = models.PromptAttention(3, head=head, prompt=prompt)
        return expressivity.discrete_error(model, broken)

    scales = jnp.concatenate([jnp.zeros(1), jnp.geomspace(0.01, 100, 200)])
    strengths = jnp.array([-2.0, -1.2, -1.0, -0.5, 0.0])
    errors = jax.vmap(lambda dq: jax.vmap(lambda scale: error(dq, scale))(scales))(strengths)
    np.testing.assert_array_equal(errors[:3], 1)
    assert (errors[3:].min(axis=1) == 0).all()
    with pytest.raises(ValueError, match="dq in nuisance must be > -1"):
        expressivity.prompt_scale_threshold(CONTEXT, REGRESSOR, 0.2, jnp.array([[-1.0, 3.0]]))


# --- E1n: noise --------------------------------------------------------------------------------


def noisy(**changes):
    """A noisy dataset in general position."""
    return discrete(((0.0, 0.0), (0.5, 2.0)), 0.2, noise_std=0.8, positive_rate=0.3, **changes)


_noisy_error = jax.jit(expressivity.noisy_error, static_argnames="num_draws")


@pytest.mark.parametrize("scale", [0.0, 0.4, 2.0])
@pytest.mark.parametrize("factor", [None, ((1.0, 0.2), (0.0, 0.5), (-0.4, 0.3))])
def test_noisy_error_agrees_with_full_tokens(scale, factor):
    contextual = noisy(noise_factor=factor, regressor=jnp.array([0.9, -0.6, 0.8]))
    head, prompt = expressivity.separating_prompt(CONTEXT, contextual.regressor, scale)
    model = models.PromptAttention(3, head=head, prompt=prompt)
    sampled = risk.error_rate(model, contextual.sample(jax.random.key(0), 40_000))
    exact = _noisy_error(jax.random.key(1), contextual, scale, 2000)
    assert 0.002 < sampled.value < 0.99
    gap = abs(exact.value - sampled.value)
    assert gap < 4 * jnp.hypot(exact.standard_error, sampled.standard_error)


def test_without_noise_the_noisy_error_is_the_discrete_error():
    contextual = discrete(((0.0, 0.0), (0.5, 9.0)), 0.2)
    for scale in (0.1, 3.0):
        head, prompt = expressivity.separating_prompt(CONTEXT, REGRESSOR, scale)
        model = models.PromptAttention(3, head=head, prompt=prompt)
        error = _noisy_error(jax.random.key(0), contextual, scale, 3)
        np.testing.assert_allclose(error.value, expressivity.discrete_error(model, contextual))
        limit = expressivity.long_context_noisy_error(contextual, scale)
        np.testing.assert_allclose(limit, error.value)


def test_mass_and_output_approach_their_long_context_limits():
    """The bias of M shrinks like 1/T, distances like 1/sqrt(T): a wrong limit would stop them."""
    scale, dq, dw, num_examples = 0.6, 0.5, 2.0, 4000
    contextual = dataclasses.replace(
        noisy(regressor=jnp.array([0.9, -0.6, 0.8]), relevance="first"),
        nuisance=((dq, dw),),
        nuisance_probs=None,
    )
    q, w = (np.asarray(v, float) for v in (contextual.context, contextual.regressor))
    shrink = 1 - (q @ w) ** 2 / (q @ q) / (w @ w)
    kappa, chi = w @ w * shrink, q @ q * shrink
    M = np.asarray(expressivity.long_context_mass(contextual, scale))[0]
    exponent = scale * chi * (1 + dq) - scale**2 * 0.64 * chi / 2
    np.testing.assert_allclose(M / (1 - M), 0.25 * np.exp(exponent), rtol=1e-5)
    head, prompt = expressivity.separating_prompt(contextual.context, contextual.regressor, scale)
    model = models.PromptAttention(3, head=head, prompt=prompt)
    biases, distances = [], []
    for T in (20, 80, 320):
        longer = dataclasses.replace(contextual, num_tokens=T)
        batch = longer.sample(jax.random.key(T), num_examples)
        masses = jax.vmap(model.attention)(batch.tokens)[:, : T // 5].sum(axis=1)
        tilt = -0.64 * scale * (q @ w) * shrink
        limits = batch.labels * kappa * (M - (1 - M) * dw) + (1 - M) * tilt
        misses = np.asarray(risk.outputs(model, batch.tokens) - limits)
        biases.append([np.mean(masses) - M, np.std(masses) / np.sqrt(num_examples)])
        distances.append([np.std(masses - M), np.sqrt(np.mean(misses**2))])
    (biases, errors), distances = np.abs(biases).T, np.array(distances)
    assert biases[0] > 4 * errors[0]  # at twenty tokens the limit is visibly not reached
    assert (biases[1:] < biases[:-1] / 2 + 4 * errors[1:]).all()
    np.testing.assert_allclose(distances[1:] / distances[:-1], 0.5, rtol=0.15)


def test_error_approaches_its_long_context_limit():
    """Zero at a middle scale; too small a scale loses to the strong nuisance.

    At too large a scale all attention goes to noise, and its lean decides the core examples.
    """
    contextual = dataclasses.replace(noisy(), nuisance=((0.0, 0.0), (0.5, 1.2)))
    scales = jnp.array([0.02, 1.5, 6.0])
    limits = expressivity.long_context_noisy_error(contextual, scales)
    np.testing.assert_allclose(limits, [0.5, 0.0, 0.5 + 0.3 / 2], atol=1e-6)
    gaps = []
    for T in (20, 100, 500):
        longer = dataclasses.replace(contextual, num_tokens=T)
        errors = [_noisy_error(jax.random.key(T), longer, s, 400).value for s in scales[:2]]
        gaps.append(abs(jnp.stack(errors) - limits[:2]))
    assert (gaps[1] < 0.7 * gaps[0]).all()
    assert (gaps[2] < 0.7 * gaps[1]).all()


def test_selected_noise_can_decide_the_long_context_error():
    """With q* not orthogonal to w* attention picks noise that leans to one label."""
    leaning = data.core_model(
        dim=2,
        context_norm=1.0,
        regressor_norm=0.3,
        num_tokens=400,
        sparsity=0.05,
        correlation=0.8,
        noise_std=1.0,
    )
    limit = expressivity.long_context_noisy_error(leaning, 1.5)
    np.testing.assert_allclose(limit, 0.5)
    sampled = _noisy_error(jax.random.key(0), leaning, 1.5, 200)
    assert abs(sampled.value - limit) < 0.05
    upright = dataclasses.replace(leaning, regressor=jnp.array([0.0, 0.3]))
    assert expressivity.long_context_noisy_error(upright, 1.5) == 0


def test_best_scale_and_the_strength_it_overcomes():
    """The best scale is (1 + dq) / sigma^2; beyond the threshold not even it has zero error."""
    core = data.core_model(
        dim=2, context_norm=1.2, regressor_norm=0.8, num_tokens=10, sparsity=0.2, noise_std=0.9
    )
    scales = jnp.linspace(0.01, 5, 2000)
    dq = 0.5
    threshold = expressivity.long_context_threshold(
        dataclasses.replace(core, nuisance=((dq, 0.0),))
    )
    for factor, least in ((0.999, 0.0), (1.001, 1.0)):
        contextual = dataclasses.replace(core, nuisance=((dq, factor * float(threshold[0])),))
        mass = expressivity.long_context_mass(contextual, scales)[:, 0]
        np.testing.assert_allclose(scales[jnp.argmax(mass)], 1.5 / 0.81, atol=0.01)
        errors = expressivity.long_context_noisy_error(contextual, scales)
        assert errors.min() == least
    quiet = dataclasses.replace(core, noise_std=0.0)
    assert expressivity.long_context_threshold(quiet)[0] == jnp.inf


# --- arrays, precision, bad input --------------------------------------------------------------

THRESHOLDS = [
    expressivity.linear_threshold,
    expressivity.self_attention_threshold,
    expressivity.mean_pooling_threshold,
    expressivity.simple_self_attention_threshold,
]


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_thresholds_broadcast_and_jit(threshold, dtype):
    zeta = jnp.array([[0.1, 0.3], [0.5, 0.8]], dtype)
    values = threshold(zeta)
    assert values.dtype == dtype
    assert values.shape == (2, 2)
    one_by_one = [[threshold(z) for z in row] for row in zeta]
    rounding = 20 * jnp.finfo(dtype).eps
    np.testing.assert_allclose(values, one_by_one, rtol=rounding)
    np.testing.assert_allclose(jax.jit(threshold)(zeta), values, rtol=rounding)
    assert jnp.isnan(jax.jit(threshold)(jnp.array([-0.1, 0.0, 1.0, 2.0]))).all()


def test_two_arguments_broadcast_and_jit(dtype):
    zeta, delta = jnp.array([[0.1], [0.3], [0.8]], dtype), jnp.array([0.5, 2.0], dtype)
    for function in (
        expressivity.attention_mass_bound,
        lambda z, s: expressivity.self_attention_mass(z, s, -0.5),
    ):
        values = function(zeta, delta)
        assert values.shape == (3, 2)
        assert values.dtype == dtype
        np.testing.assert_allclose(jax.jit(function)(zeta, delta), values, rtol=1e-6)
        np.testing.assert_allclose(values[1, 1], function(zeta[1, 0], delta[1]), rtol=1e-6)
    errors = jax.jit(expressivity.least_errors)(zeta, delta)
    assert {value.shape for value in errors} == {(3, 2)}
    assert {value.dtype for value in errors} == {dtype}
    assert jnp.isnan(jax.jit(expressivity.attention_mass_bound)(0.3, jnp.array([-1.0, 0.0]))).all()


def test_prompts_jit_and_broadcast(dtype):
    q, w, nuisance = (jnp.asarray(v, dtype) for v in (CONTEXT, REGRESSOR, ((0.0, 3.0), (1.0, 2.0))))
    zeta = jnp.array([[0.1, 0.5, 0.7]], dtype)
    threshold = expressivity.prompt_scale_threshold(q, w, zeta, nuisance)
    assert threshold.shape == (1, 3)
    assert threshold.dtype == dtype
    jitted = jax.jit(expressivity.prompt_scale_threshold)(q, w, zeta, nuisance)
    np.testing.assert_allclose(jitted, threshold, rtol=1e-5)
    pair = expressivity.separating_prompt(q, w, 2.0)
    assert pair.head.dtype == pair.prompt.dtype == dtype


def test_noisy_results_jit_and_broadcast(dtype):
    contextual = noisy(context=CONTEXT.astype(dtype), regressor=REGRESSOR.astype(dtype))
    scales = jnp.array([[0.1, 0.5]], dtype)
    mass = jax.jit(expressivity.long_context_mass)(contextual, scales)
    error = jax.jit(expressivity.long_context_noisy_error)(contextual, scales)
    assert mass.shape == (1, 2, 2)
    assert error.shape == (1, 2)
    by_scale = jax.jit(jax.vmap(lambda s: _noisy_error(jax.random.key(0), contextual, s, 20)))
    together = by_scale(scales[0])
    alone = _noisy_error(jax.random.key(0), contextual, scales[0, 1], 20)
    assert mass.dtype == error.dtype == together.value.dtype == dtype
    np.testing.assert_allclose([value[1] for value in together], alone, rtol=1e-4)


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.2, 1.5, float("nan")])
def test_sparsity_outside_its_interval_is_refused(bad):
    calls = [
        *THRESHOLDS,
        lambda z: expressivity.attention_mass_bound(z, 1.0),
        lambda z: expressivity.least_errors(z, 1.0),
        lambda z: expressivity.prompt_scale_threshold(CONTEXT, REGRESSOR, z, jnp.ones((1, 2))),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=re.escape("sparsity must lie in (0, 1), got")):
            call(jnp.array([0.5, bad]))


@pytest.mark.parametrize("bad", [0.0, -1.0, float("inf")])
def test_strength_that_is_not_positive_is_refused(bad):
    for call in (
        lambda s: expressivity.attention_mass_bound(0.3, s),
        lambda s: expressivity.least_errors(0.3, s),
        expressivity.joint_nuisance,
    ):
        with pytest.raises(ValueError, match="strength must be positive and finite, got"):
            call(bad)


def test_noise_is_refused_where_the_error_would_not_be_exact():
    message = "discrete error assumes the discrete dataset"
    with pytest.raises(ValueError, match=message):
        expressivity.discrete_error(models.MeanPooling(3, head=jnp.ones(3)), noisy())
    with pytest.raises(ValueError, match=message):
        expressivity.best_of_restarts(jax.random.key(0), models.MeanPooling, noisy(), 2)


@pytest.mark.parametrize("regressor", [2 * CONTEXT, -CONTEXT, jnp.zeros(3)])
def test_collinear_vectors_are_refused(regressor):
    for call in (
        lambda: expressivity.separating_prompt(CONTEXT, regressor, 1.0),
        lambda: expressivity.prompt_scale_threshold(CONTEXT, regressor, 0.2, jnp.ones((1, 2))),
    ):
        with pytest.raises(ValueError, match="context and regressor must not be collinear"):
            call()


def test_other_models_are_refused():
    layer = models.PromptTunedLayer(3, head_dim=2, num_prompts=1, rngs=nnx.Rngs(0))
    contextual = discrete(aligned(1.0))
    with pytest.raises(ValueError, match="one of PromptAttention, .* got PromptTunedLayer"):
        expressivity.discrete_error(layer, contextual)
    with pytest.raises(ValueError, match="got PromptTunedLayer"):
        expressivity.best_of_restarts(jax.random.key(0), models.PromptTunedLayer, contextual, 2)


def test_assumptions_of_the_noisy_results_are_named():
    rough = noisy(noise_law=jax.random.rademacher)
    with pytest.raises(ValueError, match="Gaussian noise"):
        expressivity.noisy_error(jax.random.key(0), rough, 1.0, 2)
    with pytest.raises(ValueError, match="Result E1n assumes Gaussian noise"):
        expressivity.long_context_mass(rough, 1.0)
    with pytest.raises(ValueError, match="Result E1n assumes a context orthogonal"):
        expressivity.long_context_threshold(noisy())
