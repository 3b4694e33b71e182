"""The transformer is what its equations say, and a method moves what it declares, nothing else."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from prompt_attention import models
from prompt_attention.data import checks
from prompt_attention.vision import adaptation, canvases, transformer
from prompt_attention.vision.adaptation import METHODS, Adapted, Method, PatchAttention
from prompt_attention.vision.transformer import Additions, Shape, VisionTransformer

SHAPE = Shape(num_tokens=4, patch_dim=6, num_classes=3, width=8, layers=2, heads=2, hidden=12)
ADDING = {name: method for name, method in METHODS.items() if not method.one_layer}


@pytest.fixture(scope="module")
def backbone():
    """A transformer with every weight away from its start."""
    model = VisionTransformer(SHAPE, rngs=nnx.Rngs(0))
    leaves, structure = jax.tree.flatten(model)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [x + 0.3 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, moved)


@pytest.fixture(scope="module")
def labelled():
    """Twelve canvases of noise whose classes take turns."""
    tokens = jax.random.normal(jax.random.key(2), (12, 4, 6))
    labels = jnp.arange(12) % 3
    return canvases.Canvases(tokens, labels, jnp.arange(4) < jnp.array([[1], [2]] * 6))


def by_hand(model, X, additions=None):
    """The forward pass in NumPy, loop by loop: scores, and the attention of what is read."""
    w = {name: np.float64(v[...]) for name, v in vars(model).items() if isinstance(v, nnx.Param)}

    def norm(x, scale):
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6) * scale

    def softmax(x):
        e = np.exp(x - x.max())
        return e / e.sum()

    tokens = [w["class_token"], *(np.float64(X) @ w["embedding"] + w["positions"])]
    T, d, heads = len(X), len(w["class_token"]), model.shape.heads
    c, seen = d // heads, []
    for layer in range(model.shape.layers):
        query, value = w["query"][layer], w["value"][layer]
        if additions is not None:
            prompts = np.float64(additions.prompts[...])
            if layer == 0 or len(prompts) > 1:
                tokens = [*tokens[: T + 1], *prompts[layer]]
            down, up = np.float64(additions.down[...]), np.float64(additions.up[...])
            query, value = (
                query + down[layer, 0] @ up[layer, 0],
                value + down[layer, 1] @ up[layer, 1],
            )
        x = norm(np.stack(tokens), w["attention_scale"][layer])
        q, k, v = x @ query, x @ w["key"][layer], x @ value
        mixed, weights = np.zeros_like(x), np.zeros((heads, len(x), len(x)))
        for h in range(heads):
            part = slice(h * c, (h + 1) * c)
            for i in range(len(x)):
                weights[h, i] = softmax(k[:, part] @ q[i, part] / np.sqrt(c))
                mixed[i, part] = weights[h, i] @ v[:, part]
        reads = slice(T + 1, None) if additions is not None and additions.reader else slice(1)
        seen.append(weights[:, reads].mean(axis=1))
        after = np.stack(tokens) + mixed @ w["out"][layer]
        hidden = norm(after, w["perceptron_scale"][layer]) @ w["expand"][layer]
        hidden = np.float64(jax.nn.gelu(hidden + w["expand_bias"][layer]))
        tokens = list(after + hidden @ w["contract"][layer] + w["contract_bias"][layer])
    last = norm(np.stack(tokens)[reads].mean(axis=0), w["last_scale"])
    return last @ w["head"] + w["head_bias"], np.stack(seen)


READERS = Method(num_prompts=3, reader=True, learning_rate=1.0)


@pytest.mark.parametrize(
    "method", [None, *(METHODS[name] for name in ("prompts", "deep prompts", "low rank")), READERS]
)
def test_transformer_is_its_equations(backbone, labelled, method):
    X, additions = labelled.tokens[0], None
    if method is not None:
        additions = Adapted(method, backbone, rngs=nnx.Rngs(3)).additions
        up = additions.up[...]
        additions.up = nnx.Param(up + jax.random.normal(jax.random.key(4), up.shape))
    scores, attention = by_hand(backbone, X, additions)
    np.testing.assert_allclose(backbone(X, additions), scores, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(backbone.attention(X, additions), attention, rtol=2e-4, atol=1e-6)


def test_features_are_what_a_layer_sees(backbone, labelled):
    X = labelled.tokens[0]
    embedded = X @ backbone.embedding[...] + backbone.positions[...]
    size = jnp.sqrt((embedded**2).mean(axis=1, keepdims=True))
    expected = embedded / size * backbone.attention_scale[0]
    np.testing.assert_allclose(backbone.features(X, 0), expected, rtol=1e-4)
    assert (backbone.features(X, 1) != backbone.features(X, 0)).all()
    found = adaptation.features(backbone, labelled, 1)
    np.testing.assert_allclose(found.tokens[0], backbone.features(X, 1), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found.labels, labelled.labels)


@pytest.mark.parametrize("method", [Method(learning_rate=1.0), METHODS["low rank"]])
def test_no_prompts_and_updates_of_rank_zero_are_the_frozen_model(backbone, labelled, method):
    """Rank zero, and rank two before its first step, too."""
    model = Adapted(method, backbone, rngs=nnx.Rngs(3))
    for X in labelled.tokens:
        np.testing.assert_array_equal(model(X), backbone(X))
        np.testing.assert_array_equal(model.attention(X), backbone.attention(X))


def test_prompts_do_change_the_model(backbone, labelled):
    model = Adapted(METHODS["prompts"], backbone, rngs=nnx.Rngs(3))
    assert (abs(model(labelled.tokens[0]) - backbone(labelled.tokens[0])) > 1e-4).all()


@pytest.mark.parametrize("name", ["prompts", "deep prompts"])
def test_no_prompt_changes_how_the_first_layer_ranks_patches(backbone, labelled, name):
    """It takes the same share from every patch; in the second layer the ranks do change."""
    model = Adapted(METHODS[name], backbone, rngs=nnx.Rngs(3))
    model.additions.prompts[...] *= 5.0
    X = labelled.tokens[0]
    shares = []
    for weights in (model.attention(X), backbone.attention(X)):
        patches = weights[..., 1:5]
        shares.append(patches / patches.sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(shares[0][0], shares[1][0], rtol=1e-5)
    assert (abs(shares[0][1] - shares[1][1]) > 1e-3).any()


def changed(before, after):
    """Names of the parameters that differ in any bit."""
    pairs = zip(
        nnx.to_flat_state(nnx.state(before)), nnx.to_flat_state(nnx.state(after)), strict=True
    )
    return {path for (path, a), (_, b) in pairs if not np.array_equal(a[...], b[...])}


@pytest.mark.parametrize("name", ADDING)
def test_only_declared_parameters_move(backbone, labelled, name):
    """Bit by bit; and all of the declared ones do move."""
    key, method = jax.random.key(5), METHODS[name]
    start = Adapted(method, backbone, rngs=nnx.Rngs(jax.random.split(key)[0]))
    before = jax.tree.map(jnp.copy, backbone)
    end, losses = adaptation.fit(key, method, backbone, labelled, 4, num_steps=20, batch_size=6)
    head = {("backbone", "head"), ("backbone", "head_bias")}
    extra = {
        "head": set(),
        "prompts": {("additions", "prompts")},
        "deep prompts": {("additions", "prompts")},
        "prompt as reader": {("additions", "prompts")},
        "low rank": {("additions", "down"), ("additions", "up")},
        "everything": {
            ("backbone", n) for n, v in vars(backbone).items() if isinstance(v, nnx.Param)
        },
    }
    moved = changed(start, end)
    assert moved == head | extra[name]
    jax.tree.map(np.testing.assert_array_equal, before, backbone)
    sizes = {path: v[...].size for path, v in nnx.to_flat_state(nnx.state(end))}
    assert adaptation.num_trained(method, end) == sum(sizes[path] for path in moved)
    assert losses.shape == (20,)


def test_fits_see_only_the_canvases_they_may_use(backbone, labelled):
    """With one canvas of each class the others may hold anything."""
    spoiled = labelled._replace(tokens=labelled.tokens.at[3:].set(jnp.nan))
    run = {"num_steps": 5, "batch_size": 6}
    key, method = jax.random.key(6), METHODS["head"]
    clean = adaptation.fit(key, method, backbone, labelled, 1, **run)
    np.testing.assert_array_equal(
        clean.losses, adaptation.fit(key, method, backbone, spoiled, 1, **run).losses
    )
    assert np.isnan(adaptation.fit(key, method, backbone, spoiled, 4, **run).losses).any()


def test_a_fit_is_adam_with_a_cosine_schedule(backbone, labelled):
    """Three steps on the head, one after the other, with a rate in place of the method's."""
    key, method, rate = jax.random.key(5), METHODS["head"], 0.2
    run = {"learning_rate": rate, "num_steps": 3, "batch_size": 6}
    found = adaptation.fit(key, method, backbone, labelled, 4, **run).model.backbone
    batches = jax.random.randint(jax.random.split(key)[1], (3, 6), 0, 12)
    head, bias = backbone.head[...], backbone.head_bias[...]
    adam = optax.adam(optax.cosine_decay_schedule(rate, 3))
    state = adam.init((head, bias))
    for members in batches:

        def loss(weights, members=members):
            model = jax.tree.map(lambda leaf: leaf, backbone)
            model.head, model.head_bias = map(nnx.Param, weights)
            return adaptation.cross_entropy(model, jax.tree.map(lambda x: x[members], labelled))

        step, state = adam.update(jax.grad(loss)((head, bias)), state)
        head, bias = head + step[0], bias + step[1]
    np.testing.assert_allclose(found.head[...], head, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.head_bias[...], bias, rtol=1e-4, atol=1e-5)


def test_a_reader_starts_near_the_class_token(backbone):
    start = Adapted(METHODS["prompt as reader"], backbone, rngs=nnx.Rngs(3))
    away = jnp.linalg.norm(start.additions.prompts[0, 0] - backbone.class_token[...])
    assert 0 < away < 0.3 * jnp.linalg.norm(backbone.class_token[...])


@pytest.fixture
def one_layer(labelled):
    model = PatchAttention(6, 3, rngs=nnx.Rngs(7))
    model.bias[...] = jnp.array([0.5, -1.0, 2.0])
    return model, labelled.tokens[0]


def test_patch_attention_is_the_layer_of_d2(one_layer):
    """A frozen head whose prompt row has the same query gives the score of every class (D2)."""
    model, X = one_layer
    layer = models.PromptTunedLayer(6, head_dim=6, num_prompts=1, rngs=nnx.Rngs(8))
    for matrix in (layer.query, layer.key, layer.value):
        matrix[...] += 2 * jnp.eye(6)  # far from singular
    W_Q, W_K, W_V = (np.float64(m[...]) for m in (layer.query, layer.key, layer.value))
    layer.prompt[...] = jnp.asarray(np.linalg.solve(W_K @ W_Q.T, model.prompt[...]))[None]
    for c, score in enumerate(model(X)):
        layer.head[...] = jnp.asarray(np.linalg.solve(W_V, model.heads[c]))[None]
        np.testing.assert_allclose(layer(X) + model.bias[c], score, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(layer.attention(X)[0], model.attention(X), rtol=1e-3)


def test_patch_attention_trains_all_of_its_parameters(backbone, labelled):
    method = METHODS["one layer"]
    seen = adaptation.features(backbone, labelled, 0)
    run = adaptation.fit(jax.random.key(9), method, backbone, seen, 4, num_steps=400, batch_size=12)
    assert adaptation.num_trained(method, run.model) == 8 + 3 * 8 + 3
    assert adaptation.accuracy(run.model, seen) > 0.9
    assert run.losses[-5:].mean() < run.losses[:5].mean()


def test_attention_mass_is_a_share_of_the_patches(backbone, labelled):
    model = Adapted(METHODS["prompts"], backbone, rngs=nnx.Rngs(3))
    shares = []
    for X, _, relevant in zip(*labelled, strict=True):
        weights = np.asarray(model.attention(X))[..., 1:5]
        shares.append((weights[..., relevant].sum(-1) / weights.sum(-1)).mean(axis=1))
    np.testing.assert_allclose(adaptation.attention_mass(model, labelled), shares, rtol=1e-5)


def test_accuracy_counts():
    tokens = jnp.eye(3)[jnp.array([0, 1, 2, 2])][:, None]
    four = canvases.Canvases(tokens, jnp.array([0, 1, 2, 0]), jnp.ones((4, 1), bool))
    model = PatchAttention(3, 3, rngs=nnx.Rngs(0))
    model.heads[...] = jnp.eye(3)
    assert adaptation.accuracy(model, four) == 0.75
    expected = -np.log(np.exp([1, 1, 1, 0]) / (np.e + 2)).mean()
    np.testing.assert_allclose(adaptation.cross_entropy(model, four), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Shape(width=30), "heads must divide width 30, got 4"),
        (lambda: Shape(layers=0), "layers must be a whole number >= 1, got 0"),
        (
            lambda: Additions(SHAPE, num_prompts=-1, rngs=nnx.Rngs(0)),
            "num_prompts must be a whole number >= 0, got -1",
        ),
        (
            lambda: Additions(SHAPE, reader=True, rngs=nnx.Rngs(0)),
            "reader needs num_prompts >= 1, got 0",
        ),
        (
            lambda: VisionTransformer(SHAPE, rngs=nnx.Rngs(0))(jnp.zeros((3, 6))),
            "a canvas must have shape [4, 6], got [3, 6]",
        ),
        (
            lambda: VisionTransformer(SHAPE, rngs=nnx.Rngs(0)).features(jnp.zeros((4, 6)), 2),
            "layer must lie in 0..1, got 2",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(Exception, match=re.escape(message)) as caught:
        make()
    raised_in = str(caught.traceback[-1].path).replace("/", ".")
    assert transformer.__name__ in raised_in or checks.__name__ in raised_in
