"""The explorables' formulas agree with Python, and their pictures are sound."""

import dataclasses
import itertools
import json
import math
import subprocess
from xml.etree import ElementTree

import jax
import numpy as np
import pytest

from bookext.explorable import SHARED, STATIC, script_of, static_picture
from bookext.node import find_node
from prompt_attention import data, dynamics, expressivity, performance

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
    grid = list(
        itertools.product(
            np.linspace(0.02, 0.9, 7), (1, -1), np.linspace(0, 3, 9), np.arange(-3, 4)
        )
    )
    calls = [["formulas.meanToken", *map(float, point)] for point in grid]
    expected = [
        (z * 2 - (1 - z) * dq * 2, z * y * 1.5 - (1 - z) * dw * y * 1.5) for z, y, dq, dw in grid
    ]
    np.testing.assert_allclose(call(script_of("moments"), calls), expected, rtol=0, atol=1e-12)


def test_mean_token_deviation_is_that_of_an_average():
    grid = [
        (k / T, sigma, T) for T in range(10, 201, 10) for k in (1, T // 2) for sigma in (0, 1, 2)
    ]
    calls = [["formulas.meanTokenDeviation", *point] for point in grid]
    # T - k independent terms of standard deviation sigma / T
    expected = [math.sqrt(round(T * (1 - z))) * sigma / T for z, sigma, T in grid]
    np.testing.assert_allclose(call(script_of("moments"), calls), expected, rtol=1e-12)


def test_softmax():
    scores = np.random.default_rng(0).normal(scale=5, size=(50, 20))
    exact = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    calls = [["formulas.softmax", row] for row in scores.tolist()]
    np.testing.assert_allclose(call(script_of("attention"), calls), exact, rtol=1e-12)


def test_softmax_does_not_overflow():
    assert call(script_of("attention"), [["formulas.softmax", [2000, 0]]]) == [[1, 0]]


def test_noiseless_mass():
    grid = list(
        itertools.product(np.linspace(0.02, 0.9, 12), np.linspace(0, 6, 13), np.linspace(0, 4, 9))
    )
    calls = [["formulas.noiselessMass", *map(float, point)] for point in grid]
    expected = [z * math.exp(t * Q) / (z * math.exp(t * Q) + 1 - z) for z, t, Q in grid]
    np.testing.assert_allclose(call(script_of("attention"), calls), expected, rtol=1e-12)


def test_drawn_mass_without_noise_is_the_formula():
    states = [
        {"prompt": t, "context": 2, "sparsity": 0.1, "noise": 0, "tokens": 50} for t in (0, 1, 3, 6)
    ]
    drawn = call(script_of("attention"), [["sample", state] for state in states])
    for answer, state in zip(drawn, states, strict=True):
        odds = 9 * math.exp(-2 * state["prompt"])
        assert answer["mass"] == pytest.approx(1 / (1 + odds), rel=1e-12)


@pytest.mark.parametrize("tokens", [10, 50, 200])
@pytest.mark.parametrize("sparsity", [0.02, 0.5, 0.9])
def test_both_explorables_count_relevant_tokens_alike(tokens, sparsity):
    asked = [["formulas.numRelevant", sparsity, tokens]]
    (moments,) = call(script_of("moments"), asked)
    (attention,) = call(script_of("attention"), asked)
    assert moments == attention == min(tokens - 1, max(1, round(sparsity * tokens)))


def test_thresholds():
    """The map's curves are those of the library, in double precision."""
    sparsity = [0.05, 0.11, 0.2, 0.33, 0.45, 0.49, 0.5, 0.63, 0.95]
    for name, threshold in [
        ("linear", expressivity.linear_threshold),
        ("mean", expressivity.mean_pooling_threshold),
        ("selfAttention", expressivity.self_attention_threshold),
    ]:
        drawn = call(script_of("thresholds"), [[f"formulas.{name}", zeta] for zeta in sparsity])
        np.testing.assert_allclose(drawn, threshold(np.array(sparsity)), rtol=1e-5)


@pytest.mark.parametrize(("sparsity", "strength"), [(0.2, 2.0), (0.1, 20.0), (0.7, 1.0)])
def test_scale_that_the_joint_dataset_asks_for(sparsity, strength):
    (scale,) = call(script_of("thresholds"), [["formulas.promptScale", sparsity, strength]])
    expected = expressivity.prompt_scale_threshold(
        np.array([1.0, 0.0]), np.array([0.0, 1.0]), sparsity, expressivity.joint_nuisance(strength)
    )
    assert scale == pytest.approx(float(expected), rel=1e-5)


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


@pytest.fixture
def plane():
    """The dataset of the explorable `flow`, as a function of sparsity and nuisance."""

    def make(sparsity, dw):
        core = data.core_model(
            dim=2,
            context_norm=1.0,
            regressor_norm=1.0,
            num_tokens=20,
            sparsity=sparsity,
            noise_std=0.0,
        )
        return dataclasses.replace(core, nuisance=((0.0, dw),))

    return make


FLOWS = [(0.2, 0.8, 0.4, 0.0), (0.2, 0.8, -0.4, 1.0), (0.6, 0.0, -1.0, -1.0), (0.05, 3.0, 2.0, 2.0)]


@pytest.mark.parametrize(("sparsity", "dw", "b", "c"), FLOWS)
def test_flow_has_the_velocity_and_the_path_of_the_library(plane, sparsity, dw, b, c):
    contextual = plane(sparsity, dw)
    velocity, loss, path = call(
        script_of("flow"),
        [
            ["formulas.velocity", sparsity, dw, b, c],
            ["formulas.loss", sparsity, dw, b, c],
            ["formulas.path", sparsity, dw, b, c, 3],
        ],
    )
    state = [0.0, b, c, 0.0]
    np.testing.assert_allclose(velocity, dynamics.flow_velocity(contextual, state)[1:3], rtol=1e-6)
    np.testing.assert_allclose(loss, dynamics.population_loss(contextual, state), rtol=1e-6)
    flow = dynamics.population_flow(contextual, state, [3.0])
    np.testing.assert_allclose(path[-1], [flow.b[-1], flow.c[-1]], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("sparsity", "dw"), [(0.2, 0.8), (0.05, 3.0), (0.5, 0.1)])
def test_flow_is_parted_where_the_library_says(plane, sparsity, dw):
    contextual = plane(sparsity, dw)
    scores = [-2.0, 0.0, 1.5, 4.0]
    saddle, *heads = call(
        script_of("flow"),
        [["formulas.saddle", sparsity, dw]]
        + [["formulas.turningHead", sparsity, dw, c] for c in scores],
    )
    assert saddle == pytest.approx(float(dynamics.flow_saddle(contextual).c), rel=1e-6)
    expected = dynamics.turning_head(contextual, np.array(scores))
    np.testing.assert_allclose(heads, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["prompt-scale", "double-descent"])
def test_normal_tail(name):
    x = np.linspace(-4, 12, 33)
    answers = call(script_of(name), [["formulas.tail", value] for value in x])
    np.testing.assert_allclose(answers, [math.erfc(v / math.sqrt(2)) / 2 for v in x], rtol=3e-7)


def test_long_context_formula_of_both_explorables_is_the_library_s():
    contextual = data.core_model(
        dim=9, context_norm=1.5, regressor_norm=0.7, num_tokens=50, sparsity=0.1
    )
    taus = [0.0, 0.4, 1.1, 2.5]
    expected = performance.long_context_snr(contextual, np.array(taus))
    for name in ("prompt-scale", "double-descent"):
        calls = [["formulas.longContextSnr", tau, 1.5, 0.7, 0.1, 50] for tau in taus]
        np.testing.assert_allclose(call(script_of(name), calls), expected, rtol=1e-5)


def test_prompt_scale_has_the_errors_of_the_library():
    """Its 120 draws stand for the expectation, within four of their standard errors."""
    contextual = data.core_model(
        dim=101, context_norm=2.0, regressor_norm=1.0, num_tokens=50, sparsity=0.1
    )
    state = {"context": 2, "regressor": 1, "sparsity": 0.1, "tokens": 50, "samples": 1}
    answer, frozen, error = call(
        script_of("prompt-scale"),
        [["sample", state], ["formulas.freezingScale", 45], ["formulas.gradientHeadError", 2, 3]],
    )
    scales = np.array(answer["scales"])
    law = performance.known_prompt_error(jax.random.key(0), contextual, scales, 100)
    spread = np.asarray(law.standard_error) * math.sqrt(10_000 / 120)
    assert (abs(np.array(answer["errors"]) - law.value) < 4 * spread + 1e-4).all()
    assert frozen == pytest.approx(float(performance.freezing_scale(45)), rel=1e-6)
    assert error == pytest.approx(float(performance.gradient_head_error(2.0, 3.0)), rel=1e-5)


def test_mass_and_spread_of_given_scores():
    noise = np.random.default_rng(1).normal(size=20)
    for tau, context in ((0.0, 2.0), (1.3, 2.0), (30.0, 5.0)):
        scores = np.concatenate([np.full(5, tau * context), tau * noise])
        weights = np.exp(scores - scores.max())
        weights /= weights.sum()
        expected = [weights[:5].sum(), (weights[5:] ** 2).sum()]
        asked = ["formulas.massAndSpread", tau, context, 5, noise.tolist()]
        (answer,) = call(script_of("prompt-scale"), [asked])
        np.testing.assert_allclose(answer, expected, rtol=1e-9, atol=1e-300)


def test_double_descent_has_the_errors_of_the_library():
    grid = list(itertools.product((0.3, 2.0, 4.0), (0.1, 1.0, 7.0), (0.0, 1e-4, 0.3, 100.0)))
    answers = call(script_of("double-descent"), [["formulas.ridgeError", *point] for point in grid])
    expected = [float(performance.ridge_error(*point)) for point in grid]
    np.testing.assert_allclose(answers, expected, rtol=1e-4)
    (gradient,) = call(script_of("double-descent"), [["formulas.ridgeError", 2, 1, "infinite"]])
    assert gradient == pytest.approx(float(performance.gradient_head_error(2.0, 1.0)), rel=1e-5)
