"""A ring of the last W rows, and functions of one task over any leading axes.

Row p of a sequence lies in slot p mod W: to act is to overwrite one slot, whatever W.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from metarl_jax.types import Array


def push(ring: Array, time: Array, row: Array) -> Array:
    """The ring [W, ...] after row number `time` has taken the place of the oldest."""
    return ring.at[time % ring.shape[0]].set(row)


def oldest(ring: Array, time: Array) -> Array:
    """Row number `time - W`; of zeros where there was none."""
    return ring[time % ring.shape[0]]


def ages(window: int, time: Array) -> Array:
    """[W]: how many rows before number `time` a slot was written; 0 for that very row."""
    return (time - jnp.arange(window)) % window


def extended(ring: Array, time: Array, rows: Array) -> tuple[Array, Array]:
    """Rows `time` to `time + T - 1` after those in the ring.

    Args:
        ring: [W, ...] before row number `time`.
        time: [] int32.
        rows: [T, ...].

    Returns:
        [W + T, ...] rows `time - W` to `time + T - 1`, and the ring after them.
    """
    window = ring.shape[0]
    sequence = jnp.concatenate([jnp.roll(ring, -(time % window), axis=0), rows])
    after = time + rows.shape[0]
    return sequence, jnp.roll(sequence[-window:], after % window, axis=0)


def over_leading_axes(
    function: Callable[..., Any], params: Any, carry: Any, xs: Any, *, time_axes: int
) -> Any:
    """A function of one task, over however many axes there are before the last of `xs`.

    Args:
        function: (params, carry, x) -> (carry, y).
        params: the same for all.
        carry: [..., ...].
        xs: its leaves are [..., D], with a time axis first or not.
        time_axes: 1 where they have one, else 0; of y likewise.
    """
    mapped = lambda carry, xs: function(params, carry, xs)
    for _ in range(jax.tree.leaves(xs)[0].ndim - 1 - time_axes):
        mapped = jax.vmap(mapped, in_axes=(0, time_axes), out_axes=(0, time_axes))
    return mapped(carry, xs)
