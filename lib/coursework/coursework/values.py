"""Values on the way into the sandbox and out of it: kind, shape and bytes, never pickles.

The sandbox runs this file too, so it imports numpy and the standard library only.
"""

import base64
import importlib
import math

import numpy as np

NUMBERS = "biufcU"  # kinds of numpy types that may pass: truth values, numbers, words
LARGEST = 1 << 22  # bytes of one value
LONGEST_DTYPE = 12  # characters; a list of a million fields would take long to refuse


def pack(array: np.ndarray) -> dict:
    """Describe an array as JSON.

    Raises:
        TypeError: its entries are objects or other things that have no fixed bytes.
        ValueError: it is larger than 4 MiB.
    """
    if array.dtype.kind == "V":  # bfloat16 and its like, which numpy itself does not know
        array = array.astype(np.float32)
    if array.dtype.kind not in NUMBERS:
        raise TypeError(f"expected numbers, got an array of {array.dtype}")
    if array.nbytes > LARGEST:
        raise ValueError(f"expected at most {LARGEST} bytes, got {array.nbytes}")
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "bytes": data}


def unpack(packed: dict) -> np.ndarray:
    """The array that `pack` described; distrusts what it is given.

    Raises:
        ValueError: anything does not fit.
    """
    try:
        if len(packed["dtype"]) > LONGEST_DTYPE:
            raise ValueError("unknown kind of array")
        dtype, shape = np.dtype(str(packed["dtype"])), packed["shape"]
        data = base64.b64decode(packed["bytes"], validate=True)
        if dtype.kind not in NUMBERS or dtype.subdtype is not None or dtype.names is not None:
            raise ValueError("unknown kind of array")
        if len(shape) > 16 or not all(type(n) is int and 0 <= n <= LARGEST for n in shape):
            raise ValueError("impossible shape")
        if len(data) > LARGEST or math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError("shape and bytes do not fit")
        return np.frombuffer(data, dtype).reshape(shape)
    except (KeyError, TypeError, AttributeError, SyntaxError) as error:
        raise ValueError(f"not an array: {type(error).__name__}") from None


def pack_result(result) -> list[dict] | dict:
    """Describe what a function returned: an array, or the arrays of a tuple."""
    if isinstance(result, tuple):
        return [pack(np.asarray(part)) for part in result]
    return pack(np.asarray(result))


def unpack_result(packed) -> np.ndarray | list[np.ndarray]:
    """What `pack_result` described."""
    if isinstance(packed, list):
        if len(packed) > 64:
            raise ValueError("too many arrays")
        return [unpack(part) for part in packed]
    return unpack(packed)


def pack_argument(argument):
    """Describe an argument of a case as JSON.

    Raises:
        TypeError: it is none of arrays, numbers, strings, None, tuples, keys and made objects.
    """
    if argument is None or isinstance(argument, bool | int | float | str):
        return {"plain": argument}
    if isinstance(argument, np.ndarray | np.generic):
        return {"array": pack(np.asarray(argument))}
    if isinstance(argument, tuple | list):
        return {"tuple": [pack_argument(part) for part in argument]}
    if hasattr(argument, "seed"):
        return {"key": argument.seed}
    if hasattr(argument, "factory"):
        keywords = {name: pack_argument(part) for name, part in argument.keywords.items()}
        return {"made": argument.factory, "keywords": keywords}
    raise TypeError(f"an argument of a case cannot be {type(argument).__name__}")


def unpack_argument(packed: dict):
    """The argument itself; arrays and keys are jax's."""
    import jax

    (kind, content), *_ = packed.items()
    if kind == "plain":
        return content
    if kind == "array":
        return jax.numpy.asarray(unpack(content))
    if kind == "tuple":
        return tuple(unpack_argument(part) for part in content)
    if kind == "key":
        return jax.random.key(content)
    module, _, name = content.rpartition(".")
    factory = getattr(importlib.import_module(module), name)
    return factory(**{name: unpack_argument(part) for name, part in packed["keywords"].items()})
