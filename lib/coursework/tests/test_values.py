"""Values cross the pipe as kind, shape and bytes; nothing else gets through."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from coursework import Key, Made, values

GOOD = values.pack(np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    "array",
    [np.arange(6.0).reshape(2, 3), np.array(True), np.array("word"), np.zeros((0, 3)), 1j, 7],
)
def test_what_goes_in_comes_out(array):
    array = np.asarray(array)
    out = values.unpack(values.pack(array))
    assert out.dtype == array.dtype
    np.testing.assert_array_equal(out, array)


def test_tuples_and_half_precision():
    first, second = values.unpack_result(
        values.pack_result((jnp.ones(2, jnp.bfloat16), [1.0, 2.0]))
    )
    assert first.dtype == np.float32
    np.testing.assert_array_equal(second, [1, 2])


@pytest.mark.parametrize("result", [object(), None, {"a": 1}, [object()], print])
def test_objects_do_not_get_out(result):
    with pytest.raises(TypeError, match="expected numbers"):
        values.pack_result(result)


def test_large_values_do_not_get_out():
    with pytest.raises(ValueError, match="expected at most"):
        values.pack(np.zeros(1 << 20))


@pytest.mark.parametrize(
    "forged",
    [
        {},
        3,
        {**GOOD, "dtype": "O"},
        {**GOOD, "dtype": "O8"},
        {**GOOD, "dtype": "i4,i4"},
        {**GOOD, "dtype": "(1000000,)f8"},
        {**GOOD, "dtype": "nonsense"},
        {**GOOD, "dtype": "f8" * 100},
        {**GOOD, "dtype": "("},
        {**GOOD, "shape": [6, -1]},
        {**GOOD, "shape": [2, 4]},
        {**GOOD, "shape": [1 << 40, 0]},
        {**GOOD, "shape": [1] * 40 + [6]},
        {**GOOD, "shape": [True, 6]},
        {**GOOD, "shape": "23"},
        {**GOOD, "bytes": "!!"},
        {**GOOD, "bytes": 5},
    ],
)
def test_forged_descriptions_are_refused(forged):
    with pytest.raises(ValueError):  # noqa: PT011, the message depends on the forgery
        values.unpack_result(forged)


def test_arguments_arrive():
    packed = values.pack_argument((np.ones((2, 1)), 3, "word", None, (1.5, Key(4))))
    array, number, word, nothing, (real, key) = values.unpack_argument(packed)
    assert isinstance(array, jax.Array)
    assert (array.shape, number, word, nothing, real) == ((2, 1), 3, "word", None, 1.5)
    assert jax.random.key_data(key).tolist() == jax.random.key_data(jax.random.key(4)).tolist()
    made = values.unpack_argument(values.pack_argument(Made("fractions.Fraction", numerator=3)))
    assert made == 3
    with pytest.raises(TypeError, match="cannot be set"):
        values.pack_argument({1})
