"""Fixtures and the settings that every test of the library shares."""

import contextlib

import jax
import jax.numpy as jnp
import pytest

# The library is not imported here: older releases of jaxtyping can no longer check it then.


@contextlib.contextmanager
def _double(wanted):
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", wanted)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Both precisions; float64 switches it on in jax for the test."""
    with _double(request.param == "float64"):
        yield jnp.dtype(request.param)


@pytest.fixture
def float64():
    """Double precision for the test."""
    with _double(True):
        yield


@pytest.fixture(scope="module")
def float32():
    """Single precision for the tests of a module, which compare with what was computed in it."""
    with _double(False):
        yield


@pytest.fixture
def ax():
    """Fresh axes without a window."""
    import matplotlib  # few tests draw

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


@pytest.fixture
def mixture():
    """A model with every option away from its default: general position, nuisance, imbalance."""
    from prompt_attention import data

    return data.ContextualModel(
        context=jnp.array([1.5, 0.5, 0.0, -0.5]),
        regressor=jnp.array([0.3, -1.0, 0.8, 0.2]),
        num_tokens=10,
        sparsity=0.3,
        noise_std=0.7,
        positive_rate=0.3,
        nuisance=((0.0, 0.0), (1.5, -0.5), (0.4, 2.0)),
        nuisance_probs=(0.5, 0.2, 0.3),
    )
