"""The answers of assignment 5 against the library's models, scikit-learn and drawn features."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize
from sklearn import datasets
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import NearestCentroid

from prompt_attention import models, risk
from prompt_attention.data import Batch


def canvases(answers, n, seed=0, painted=None):
    """Threes and eights among other digits, or among painted tiles."""
    scans = datasets.load_digits()
    tiles = {c: scans.data[scans.target == c] / 16 for c in (3, 8)}
    others = scans.data[~np.isin(scans.target, (3, 8))] / 16
    labels = np.resize([1, -1], n)
    if painted is None:
        return answers.make_canvases(tiles[3], tiles[8], others, labels, 12, 4, seed), labels, tiles
    halves = [
        answers.make_canvases(tiles[c], tiles[c], np.tile(b, (9, 1)), np.ones(n // 2), 12, 4, seed)
        for c, b in zip((3, 8), painted, strict=True)
    ]
    return np.stack(halves, axis=1).reshape(n, 12, 64), labels, tiles


def test_canvases_show_every_tile_equally_often(answers):
    plus, minus, behind = (np.arange(6.0)[:, None] + 10 * c for c in range(3))
    tokens = answers.make_canvases(plus, minus, behind, np.resize([1, -1], 6000), 5, 2, 1)[..., 0]
    tiles, counts = np.unique(tokens, return_counts=True)
    expected = np.where(tiles < 20, 3000 * 2 / 6, 6000 * 3 / 6)
    assert len(tiles) == 18
    assert (abs(counts - expected) < 4.5 * np.sqrt(expected)).all()


def test_learn_prompt_is_descent_on_the_loss_of_the_library(answers):
    tokens, labels, _ = canvases(answers, 60)
    labels = np.where(np.arange(60) % 5 == 0, 1, labels)
    found = answers.learn_prompt(tokens, labels)
    zero = jnp.zeros(64)

    def descent(part, w):
        y = jnp.asarray(labels[part] - labels[part].mean(), jnp.float32)
        nothing = jnp.zeros((len(y), 12), bool), jnp.zeros((len(y), 2))
        batch = Batch(jnp.asarray(tokens[part]), y, *nothing)

        def loss(w, q):
            return risk.squared_loss(models.PromptAttention(64, head=w, prompt=q), batch)

        step = -np.asarray(
            jax.grad(loss, argnums=0 if w is None else 1)(zero if w is None else 1e-3 * w, zero)
        )
        return step / np.linalg.norm(step)

    w = descent(slice(30), None)
    q = descent(slice(30, None), jnp.asarray(w))
    assert np.allclose(found, [w, q], atol=2e-3)


def test_attention_masses_are_those_of_the_library(answers):
    rng = np.random.default_rng(0)
    X, relevant = rng.normal(size=(8, 6, 4)), rng.random((8, 6)) < 0.4
    q = rng.normal(size=4)
    found = answers.attention_masses(X, relevant, q, np.array([1.5]))
    model = models.PromptAttention(4, head=np.zeros(4), prompt=1.5 * q)
    attention = jax.vmap(model.attention)(jnp.asarray(X))
    assert np.isclose(found[0], (np.asarray(attention) * relevant).sum(axis=1).mean(), atol=1e-5)


def test_loo_errors_are_those_of_scikit_learn(answers):
    tokens, labels, _ = canvases(answers, 31, seed=2)
    tokens = tokens + 0.05 * np.random.default_rng(3).normal(size=tokens.shape)  # no pixel is 0
    q = answers.learn_prompt(tokens, labels)[1]
    found = answers.loo_errors(tokens, labels, q, np.array([0.0, 2.0]))
    for error, tau in zip(found, (0.0, 2.0), strict=True):
        attention = jax.nn.softmax(jnp.asarray(tau * tokens @ q), axis=1)
        x = np.einsum("nt,ntd->nd", np.asarray(attention, float), tokens)
        predicted = cross_val_predict(NearestCentroid(), x, labels, cv=LeaveOneOut())
        assert np.isclose(error, np.mean(predicted != labels), atol=1e-9)


def test_separation_is_unbiased(answers):
    rng = np.random.default_rng(1)
    y = np.repeat([1.0, -1.0], [4, 9])
    shift = np.array([0.4, 0.0, 0.3])
    x = rng.normal(size=(20_000, 13, 3)) * np.where(y == 1, 1.5, 0.6)[:, None]
    x += np.where(y == 1, 1.0, 0.0)[:, None] * shift
    draws = np.array([answers.unbiased_separation(one, y) for one in x[:4000]])
    assert abs(draws.mean() - shift @ shift) < 4.5 * draws.std(ddof=1) / np.sqrt(len(draws))


def test_camouflage_turns_head_and_prompt_on_real_digits(answers):
    _, _, tiles = canvases(answers, 2)
    plus, minus = tiles[3].mean(axis=0), tiles[8].mean(axis=0)
    painted = answers.camouflage(plus, minus, 1 / 3)
    tokens, labels, _ = canvases(answers, 600, painted=painted)
    w, q = answers.learn_prompt(tokens, labels)
    w_star, q_star = (plus - minus) / 2, (plus + minus) / 2 - painted.mean(axis=0)
    assert w @ w_star < 0
    assert q @ q_star < 0
    grey = np.full((2, 64), painted.mean())
    w, q = answers.learn_prompt(*canvases(answers, 600, painted=grey)[:2])
    assert w @ w_star > 0, "the twin: a background without a vote"
    assert q @ q_star > 0


def test_no_less_contrast_turns_the_head(answers):
    rng = np.random.default_rng(2)
    plus, minus = rng.uniform(size=(2, 10))
    zeta, w = 0.3, (plus - minus) / 2
    vote = -np.append(np.concatenate([w, -w]), 0.0)[None] * (1 - zeta) / 2
    eye, one = np.eye(10), np.ones((10, 1))
    best = optimize.linprog(
        np.append(np.zeros(20), 1.0),
        A_ub=np.concatenate([np.hstack([eye, -eye, -one]), np.hstack([-eye, eye, -one]), -vote]),
        b_ub=np.append(np.zeros(20), -zeta * w @ w),
        bounds=[(0, 1)] * 21,
    )
    tiles = answers.camouflage(plus, minus, zeta)
    contrast = abs(tiles[0] - tiles[1]).max()
    assert best.fun < contrast < 1.05 * best.fun
