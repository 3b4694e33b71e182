"""The explorables' formulas agree with the library, and their pictures are sound.

Each formula is compared in double precision on at least a thousand points.
"""

import dataclasses
import itertools
import json
import math
import subprocess
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bookext.explorable import SHARED, STATIC, script_of, static_picture
from bookext.node import find_node
from prompt_attention import data, dynamics, expressivity, performance
from prompt_attention.vision import experiments

pytestmark = pytest.mark.skipif(find_node() is None, reason="node is not installed")

NAMES = sorted(path.stem for path in (STATIC / "explorables").glob("*.js"))
CALL = """
const module_ = require(process.argv[1]);
const calls = JSON.parse(require("fs").readFileSync(0, "utf8"));
const answers = calls.map(([name, ...given]) => {
  const target = name.split(".").reduce((found, part) => found[part], module_);
  return target(...given);
});
process.stdout.write(JSON.stringify(answers));
"""


EXACT = {"rtol": 1e-9, "atol": 1e-300}
ZETAS = [k / 100 for k in range(5, 96, 6)]


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    """The library computes in double precision, as JavaScript does."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def core(sparsity, **given):
    """A core dataset in two dimensions, with orthogonal vectors."""
    shape = {"dim": 2, "context_norm": 2.0, "regressor_norm": 1.5, "num_tokens": 100}
    return data.core_model(sparsity=sparsity, **{**shape, **given})


def agree(script, formula, points, expected, **tolerance):
    """Compare a formula of a script with the library, on at least a thousand points."""
    assert len(points) >= 1000
    drawn = call(script, [[formula, *map(float, point)] for point in points])
    np.testing.assert_allclose(drawn, expected, **{**EXACT, **tolerance})


def call(script, calls):
    done = subprocess.run(
        [find_node(), "-e", CALL, str(script)],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def test_mean_token():
    pairs = np.array(list(itertools.product(np.linspace(0, 3, 7), np.linspace(-3, 3, 7))))
    points, expected = [], []
    for zeta, label in itertools.product(ZETAS, (1.0, -1.0)):
        contextual = core(zeta)
        means = jax.vmap(lambda delta, m=contextual, y=label: m.mean_token(y, delta))(pairs)
        axes = jnp.stack([contextual.context / 2, contextual.regressor / 1.5], axis=1)
        points += [(zeta, label, dq, dw) for dq, dw in pairs]
        expected += (means @ axes).tolist()
    agree(script_of("moments"), "formulas.meanToken", points, expected, atol=1e-12)


def test_mean_token_deviation():
    points = list(itertools.product(ZETAS, np.linspace(0.1, 2, 16), (100, 200, 300, 400)))
    expected = [
        math.sqrt(core(zeta, noise_std=sigma, num_tokens=T).mean_token_covariance()[0, 0])
        for zeta, sigma, T in points
    ]
    agree(script_of("moments"), "formulas.meanTokenDeviation", points, expected)


def test_softmax():
    scores = np.random.default_rng(0).normal(scale=5, size=(50, 20))
    exact = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    calls = [["formulas.softmax", row] for row in scores.tolist()]
    np.testing.assert_allclose(call(script_of("attention"), calls), exact, rtol=1e-12)


def test_softmax_does_not_overflow():
    assert call(script_of("attention"), [["formulas.softmax", [2000, 0]]]) == [[1, 0]]


def test_noiseless_mass():
    """The attention that a prompt along the context gives to tokens without noise."""
    scales, norms = np.linspace(0, 6, 13), np.linspace(0.5, 4, 8)
    points, expected = [], []
    for zeta, norm in itertools.product(ZETAS[::3] + [0.9] * 5, norms):
        contextual = core(zeta, context_norm=norm, noise_std=0.0)
        batch = contextual.sample(jax.random.key(0), 1)
        scores = scales[:, None] * (batch.tokens[0] @ contextual.context / norm)
        masses = jax.nn.softmax(scores) @ batch.relevant[0]
        points += [(zeta, tau, norm) for tau in scales]
        expected += masses.tolist()
    agree(script_of("attention"), "formulas.noiselessMass", points, expected)


def test_drawn_mass_without_noise_is_the_formula():
    states = [
        {"prompt": t, "context": 2, "sparsity": 0.1, "noise": 0, "tokens": 50} for t in (0, 1, 3, 6)
    ]
    drawn = call(script_of("attention"), [["sample", state] for state in states])
    for answer, state in zip(drawn, states, strict=True):
        odds = 9 * math.exp(-2 * state["prompt"])
        assert answer["mass"] == pytest.approx(1 / (1 + odds), rel=1e-12)


def test_relevant_tokens_are_counted_as_in_the_library():
    points = [(k / T, T) for T in range(10, 111) for k in range(1, T, 5)]
    expected = [core(zeta, num_tokens=T).num_relevant for zeta, T in points]
    agree(SHARED, "numRelevant", points, expected)
    assert call(SHARED, [["numRelevant", 0.001, 10], ["numRelevant", 0.99, 10]]) == [1, 9]


@pytest.mark.parametrize(
    ("formula", "threshold"),
    [
        ("linear", expressivity.linear_threshold),
        ("mean", expressivity.mean_pooling_threshold),
        ("selfAttention", expressivity.self_attention_threshold),
    ],
)
def test_thresholds(formula, threshold):
    sparsity = np.linspace(0.05, 0.95, 1001)
    points = sparsity[:, None]
    agree(script_of("thresholds"), f"formulas.{formula}", points, threshold(sparsity))


def test_scale_that_the_joint_dataset_asks_for():
    points, expected = [], []
    for strength in np.linspace(0.1, 20, 20):
        joint = expressivity.joint_nuisance(strength)
        sparsity = np.linspace(0.05, 0.95, 60)
        vectors = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
        points += [(zeta, strength) for zeta in sparsity]
        expected += expressivity.prompt_scale_threshold(*vectors, sparsity, joint).tolist()
    agree(script_of("thresholds"), "formulas.promptScale", points, expected, atol=1e-12)


def test_noise_is_standard_normal():
    (values,) = call(SHARED, [["normals", 5, 10_000]])
    assert abs(np.mean(values)) < 4 / 100
    assert abs(np.var(values) - 1) < 4 * math.sqrt(2) / 100
    assert abs(np.mean(np.power(values, 4)) - 3) < 4 * math.sqrt(96) / 100


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (-3, 3, [-2, 0, 2]), (0, 51, [0, 20, 40])],
)
def test_ticks_are_round_numbers(low, high, ticks):
    (answer,) = call(SHARED, [["niceTicks", low, high, 5 if high == 1 else 4]])
    assert answer == pytest.approx(ticks)


@pytest.mark.parametrize("name", NAMES)
def test_static_picture_is_sound(name):
    svg, text = static_picture(name, 'tokens "and" <weights>')
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == 'tokens "and" <weights>'
    assert len(root) > 20
    assert text.endswith(".")
    for word in ("NaN", "undefined", "Infinity"):
        assert word not in svg + text


CORNERS = """
const kit = require(process.argv[1]);
const figure = require(process.argv[2]);
const ends = figure.controls.map(
  (c) => (c.options ? c.options.map((o) => o.value) : [c.min, c.max]));
const states = ends.reduce((all, values) => all.flatMap((s) => values.map((v) => [...s, v])), [[]]);
for (const values of states) {
  const state = Object.fromEntries(values.map((v, i) => [figure.controls[i].name, v]));
  for (const width of [280, 720]) {
    const picture = new kit.Picture(width, width * 0.7);
    figure.draw(state, picture);
    const all = picture.markup() + figure.describe(state);
    if (/NaN|undefined|Infinity/.test(all)) throw new Error(JSON.stringify(state));
  }
}
process.stdout.write(String(states.length));
"""


@pytest.mark.parametrize("name", NAMES)
def test_no_end_of_a_slider_breaks_the_picture(name):
    done = subprocess.run(
        [find_node(), "-e", CORNERS, str(SHARED), str(script_of(name))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 4


def plane(sparsity, dw):
    """The dataset of the explorable `flow`."""
    unit = core(sparsity, context_norm=1.0, regressor_norm=1.0, noise_std=0.0)
    return dataclasses.replace(unit, nuisance=((0.0, dw),))


SPARSITY_AND_NUISANCE = list(itertools.product((0.05, 0.2, 0.5, 0.9), (0.1, 0.8, 1.7, 3.0)))


def test_velocity_and_loss_of_the_flow():
    starts = np.array(list(itertools.product(np.linspace(-3, 3, 9), np.linspace(-4, 6, 9))))
    states = np.stack([0 * starts[:, 0], *starts.T, 0 * starts[:, 0]])
    points, velocities, losses = [], [], []
    for sparsity, dw in [*SPARSITY_AND_NUISANCE, (0.3, 0.0)]:
        contextual = plane(sparsity, dw)
        points += [(sparsity, dw, b, c) for b, c in starts]
        velocities += dynamics.flow_velocity(contextual, states)[1:3].T.tolist()
        losses += np.asarray(dynamics.population_loss(contextual, states)).tolist()
    agree(script_of("flow"), "formulas.velocity", points, velocities, atol=1e-13)
    agree(script_of("flow"), "formulas.loss", points, losses, atol=1e-13)


FLOWS = [(0.2, 0.8, 0.4, 0.0), (0.2, 0.8, -0.4, 1.0), (0.6, 0.0, -1.0, -1.0), (0.05, 3.0, 2.0, 2.0)]


@pytest.mark.parametrize(("sparsity", "dw", "b", "c"), FLOWS)
def test_the_path_is_that_of_the_library(sparsity, dw, b, c):
    """Two solvers of one differential equation meet within the error of the coarser one."""
    (path,) = call(script_of("flow"), [["formulas.path", sparsity, dw, b, c, 3]])
    flow = dynamics.population_flow(plane(sparsity, dw), [0.0, b, c, 0.0], [3.0])
    np.testing.assert_allclose(path[-1], [flow.b[-1], flow.c[-1]], rtol=1e-5, atol=1e-5)


def test_flow_is_parted_where_the_library_says():
    scores = np.linspace(-3, 5, 67)
    points, heads = [], []
    for sparsity, dw in SPARSITY_AND_NUISANCE:
        contextual = plane(sparsity, dw)
        (saddle,) = call(script_of("flow"), [["formulas.saddle", sparsity, dw]])
        assert saddle == pytest.approx(float(dynamics.flow_saddle(contextual).c), rel=1e-9)
        away = scores[abs(scores - saddle) > 0.05]  # at the saddle both are a root of rounding
        points += [(sparsity, dw, c) for c in away]
        heads += dynamics.turning_head(contextual, away).tolist()
    agree(script_of("flow"), "formulas.turningHead", points, heads)


def test_normal_tail():
    x = np.linspace(-8, 36, 1001)
    agree(SHARED, "tail", x[:, None], [math.erfc(v / math.sqrt(2)) / 2 for v in x])
    x = np.linspace(-8, 18, 1001)  # beyond 20 the library's own series keeps eight digits
    agree(SHARED, "tail", x[:, None], performance.gaussian_tail(x))


def test_long_context_formula():
    taus, points, expected = np.linspace(0, 2.5, 11), [], []
    for zeta, norm, strength in itertools.product(ZETAS, (0.5, 1.5, 4.0), (0.2, 3.0)):
        contextual = core(zeta, dim=9, context_norm=norm, regressor_norm=strength)
        points += [(tau, norm, strength, zeta, 100) for tau in taus]
        expected += performance.long_context_snr(contextual, taus).tolist()
    agree(SHARED, "longContextSnr", points, expected)


def test_error_of_one_gradient_step_and_where_it_freezes():
    points = list(itertools.product(np.linspace(0.01, 8, 40), np.geomspace(0.1, 10, 30)))
    expected = performance.gradient_head_error(*np.array(points).T)
    agree(script_of("prompt-scale"), "formulas.gradientHeadError", points, expected)
    counts = np.arange(2, 1202)
    agree(
        script_of("prompt-scale"),
        "formulas.freezingScale",
        counts[:, None],
        performance.freezing_scale(counts),
    )


def test_prompt_scale_has_the_errors_of_the_library():
    """Its 120 draws stand for the expectation, within four of their standard errors."""
    contextual = data.core_model(
        dim=101, context_norm=2.0, regressor_norm=1.0, num_tokens=50, sparsity=0.1
    )
    state = {"context": 2, "regressor": 1, "sparsity": 0.1, "tokens": 50, "samples": 1}
    (answer,) = call(script_of("prompt-scale"), [["sample", state]])
    scales = np.array(answer["scales"])
    law = performance.known_prompt_error(jax.random.key(0), contextual, scales, 100)
    spread = np.asarray(law.standard_error) * math.sqrt(10_000 / 120)
    assert (abs(np.array(answer["errors"]) - law.value) < 4 * spread + 1e-4).all()


def test_mass_and_spread_of_given_scores():
    """Twenty-five draws for each of forty scales, weighed as the softmax weighs them."""
    noise = np.random.default_rng(1).normal(size=(1000, 20))
    taus = np.repeat(np.linspace(0, 30, 40), 25)
    scores = np.concatenate([np.full((1000, 5), 2.0), noise], axis=1) * taus[:, None]
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    expected = np.stack([weights[:, :5].sum(axis=1), (weights[:, 5:] ** 2).sum(axis=1)], axis=1)
    calls = [
        ["formulas.massAndSpread", tau, 2.0, 5, row]
        for tau, row in zip(taus, noise.tolist(), strict=True)
    ]
    np.testing.assert_allclose(call(script_of("prompt-scale"), calls), expected, **EXACT)


def test_double_descent_has_the_errors_of_the_library():
    ridges = (0.0, 1e-4, 1e-2, 0.3, 1.0, 100.0)
    points = list(itertools.product(np.linspace(0.1, 6, 9), np.geomspace(0.1, 10, 20), ridges))
    expected = performance.ridge_error(*np.array(points).T)
    agree(script_of("double-descent"), "formulas.ridgeError", points, expected)
    asked = [["formulas.ridgeError", snr, alpha, "infinite"] for snr, alpha, _ in points]
    expected = performance.gradient_head_error(*np.array(points)[:, :2].T)
    np.testing.assert_allclose(call(script_of("double-descent"), asked), expected, **EXACT)


def test_attention_layer_by_layer_is_that_of_the_records():
    """Means over seeds, to the digits that the picture shows."""
    (table,) = call(script_of("vision"), [["formulas.table"]])
    records, _ = experiments.read_records("relevant")
    for method, seen in table.items():
        for step, count in enumerate((1, 2, 4, 8)):
            where = {"method": method, "num_relevant": count}
            for name in ("accuracy", "mass"):
                _, means, _ = experiments.summary(records, name, "num_relevant", **where)
                np.testing.assert_allclose(seen[name][step], means[0], atol=6e-4)
