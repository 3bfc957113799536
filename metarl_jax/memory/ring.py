"""A ring of the last W rows, and memories that look back as far as it goes.

Row p of a sequence lies in slot p mod W: to act is to overwrite one slot, whatever W.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarl_jax.memory.base import Memory, MemoryInput, first_input
from metarl_jax.types import Array, Key, PyTree


def push(ring: Array, time: Array, row: Array) -> Array:
    """The ring [W, ...] after row number `time` has taken the place of the oldest."""
    return ring.at[time % ring.shape[0]].set(row)


def oldest(ring: Array, time: Array) -> Array:
    """Row number `time - W`; of zeros where there was none."""
    return ring[time % ring.shape[0]]


def ages(context_length: int, time: Array) -> Array:
    """[W]: how many rows before number `time` a slot was written; 0 for that very row."""
    return (time - jnp.arange(context_length, dtype=jnp.int32)) % context_length


def extended(ring: Array, time: Array, rows: Array) -> tuple[Array, Array]:
    """Rows `time` to `time + T - 1` after those in the ring.

    Args:
        ring: [W, ...] before row number `time`.
        time: [] int32.
        rows: [T, ...].

    Returns:
        [W + T, ...] rows `time - W` to `time + T - 1`, and the ring after them.
    """
    context_length = ring.shape[0]
    sequence = jnp.concatenate([jnp.roll(ring, -(time % context_length), axis=0), rows])
    after = time + rows.shape[0]
    return sequence, jnp.roll(sequence[-context_length:], after % context_length, axis=0)


def may_see(context_length: int, length: int, time: Array) -> Array:
    """[T, W + T] bool: which rows of an `extended` sequence each of its last T steps may see.

    Those of the last W steps, its own among them, that there have been.
    """
    row = jnp.arange(context_length + length, dtype=jnp.int32)[None]
    ago = (context_length + jnp.arange(length, dtype=jnp.int32))[:, None] - row
    return (ago >= 0) & (ago < context_length) & (row >= context_length - time)


def written(context_length: int, time: Array) -> Array:
    """[W] bool: which slots hold a row, once row number `time` is in."""
    return ages(context_length, time) <= time


def recall(query: Array, keys: Array, values: Array, seen: Array) -> Array:
    """Attention of one step: Σ_s softmax_s(query · key_s / √d) value_s over the slots seen.

    A sum and no product of matrices: those would copy the whole ring before they read it, which
    took 2.4 times as long on a CPU.

    Args:
        query: [..., d].
        keys: [W, ..., d].
        values: [W, ..., D].
        seen: [W] bool.

    Returns:
        [..., D].
    """
    scores = jnp.sum(query[None] * keys, axis=-1) / jnp.sqrt(jnp.float32(query.shape[-1]))
    seen = seen.reshape(seen.shape + (1,) * (scores.ndim - 1))
    weights = jax.nn.softmax(scores, where=seen, axis=0)
    return jnp.sum(weights[..., None] * values, axis=0)


def windowed_memory(
    name: str, module: nn.Module, initial_carry: Callable[[], PyTree], context_length: int
) -> Memory:
    """The memory of a module of one task, over however many axes there are before the last.

    Args:
        name: of the memory.
        module: called with (carry, x, over_time=...): a step [D], or T of them [T, D].
        initial_carry: makes that of one task.
        context_length: steps that each of its layers looks back.
    """

    def init(key: Key, x: MemoryInput) -> PyTree:
        return module.init(key, initial_carry(), first_input(x), over_time=False)

    def run(params: PyTree, carry: PyTree, xs: MemoryInput, *, over_time: bool) -> Any:
        mapped: Any = partial(module.apply, params, over_time=over_time)
        for _ in range(xs.transition.ndim - 1 - over_time):
            axes = int(over_time)
            mapped = jax.vmap(mapped, in_axes=(0, axes), out_axes=(0, axes))
        return mapped(carry, xs)

    return Memory(
        name,
        init,
        initial_carry=lambda key: initial_carry(),
        step=partial(run, over_time=False),
        unroll=partial(run, over_time=True),
        parallel=True,
        context_length=context_length,
    )
