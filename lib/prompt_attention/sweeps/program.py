"""One compiled loop over the runs of a cell, on all devices of a host at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PRNGKeyArray, PyTree


class Program:
    """A function of (key, parameters), compiled for a chunk of seeds on each device.

    A device takes its seeds in a loop whose length is not known to the compiler, so that the loop's
    body, and with it every bit of a result, is the same for every length.

    Args:
        function: what to run.
        static: parameters that are compiled in.
        values: parameters that are traced; their numbers serve as an example.
        key: a key of the kind that will be used.
        devices: devices of this host.
        seeds: the most runs that will be asked for.
        memory_limit: bytes for a device; chunks shrink until the program fits.
        batch: seeds that go side by side through `vmap`.

    Raises:
        MemoryError: even a chunk of one batch does not fit.
    """

    def __init__(
        self,
        function: Callable[..., PyTree],
        static: Mapping[str, Any],
        values: Mapping[str, Any],
        key: PRNGKeyArray,
        devices: Sequence[jax.Device],
        seeds: int,
        memory_limit: int,
        batch: int,
    ):
        mesh = Mesh(np.asarray(devices), ("seeds",))
        self._everywhere = NamedSharding(mesh, PartitionSpec())
        self._spread = NamedSharding(mesh, PartitionSpec("seeds"))
        self._num_devices, self._batch = len(devices), batch

        def one(key, values, seed):
            return function(jax.random.fold_in(key, seed), **static, **values)

        def device_part(key, values, seeds, count):
            return _loop(lambda seed: one(key, values, seed), seeds.reshape(-1, batch), count[0])

        spread, everywhere = PartitionSpec("seeds"), PartitionSpec()
        program = jax.jit(
            jax.shard_map(
                device_part,
                mesh=mesh,
                in_specs=(everywhere, everywhere, spread, spread),
                out_specs=spread,
                check_vma=False,
            )
        )
        example = jax.eval_shape(one, key, _arrays(values), np.uint32(0))
        run_bytes = 4 + sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(example))
        most = -(-seeds // (len(devices) * batch))
        blocks = min(most, max(1, memory_limit // (run_bytes * batch)))
        while True:
            self._chunk = blocks * batch
            inputs = self._inputs(key, values, np.arange(1))
            self._compiled = program.lower(*inputs).compile()
            needed = _needed(self._compiled)
            if needed <= memory_limit:
                break
            if blocks == 1:
                raise MemoryError(
                    f"{batch} runs side by side need {needed:,} bytes on a device, memory_limit is "
                    f"{memory_limit:,}"
                )
            blocks //= 2

    def __call__(
        self,
        key: PRNGKeyArray,
        values: Mapping[str, Any],
        seeds: int,
        tick: Callable[[int], Any] = lambda runs: None,
    ) -> PyTree:
        """The results for seeds 0 to seeds - 1, stacked; `tick` hears how many have come."""
        results = []
        capacity = self._num_devices * self._chunk
        for start in range(0, seeds, capacity):
            part = np.arange(start, min(start + capacity, seeds))
            padded = self._compiled(*self._inputs(key, values, part))
            results.append(jax.tree.map(lambda x, part=part: self._unpad(x, part), padded))
            tick(len(part))
        return jax.tree.map(lambda *parts: np.concatenate(parts), *results)

    def _inputs(self, key, values, part):
        """Key and parameters everywhere; to each device its seeds and how many batches they are."""
        shares = np.array_split(part, self._num_devices)
        seeds = np.zeros((self._num_devices, self._chunk), np.uint32)
        for row, share in zip(seeds, shares, strict=True):
            row[: len(share)] = share
        counts = np.array([-(-len(share) // self._batch) for share in shares], np.int32)
        return (
            jax.device_put(key, self._everywhere),
            jax.device_put(_arrays(values), self._everywhere),
            jax.device_put(seeds.ravel(), self._spread),
            jax.device_put(counts, self._spread),
        )

    def _unpad(self, padded, part):
        rows = np.asarray(padded).reshape(self._num_devices, self._chunk, *padded.shape[1:])
        shares = np.array_split(part, self._num_devices)
        return np.concatenate([r[: len(share)] for r, share in zip(rows, shares, strict=True)])


def _loop(one, blocks, count):
    """Stack one(seed) over the first `count` rows of seeds; the rest stays zero."""
    batch = blocks.shape[1]

    def several(seeds):
        return jax.vmap(one)(seeds) if batch > 1 else jax.tree.map(_row, one(seeds[0]))

    def step(i, results):
        return jax.tree.map(lambda all, new: all.at[i].set(new), results, several(blocks[i]))

    shapes = jax.eval_shape(several, blocks[0])
    empty = jax.tree.map(lambda x: jnp.zeros((len(blocks), *x.shape), x.dtype), shapes)
    results = jax.lax.fori_loop(0, count, step, empty)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), results)


def _row(x):
    return jnp.asarray(x)[None]


def _arrays(values):
    return {name: jnp.asarray(value) for name, value in values.items()}


def _needed(compiled):
    """Bytes that a compiled program takes on a device; zero where the backend does not say."""
    memory = compiled.memory_analysis()
    if memory is None:
        return 0
    return memory.temp_size_in_bytes + memory.output_size_in_bytes + memory.argument_size_in_bytes
