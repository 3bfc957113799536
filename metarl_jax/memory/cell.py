"""Recurrent cells as memories: one product with the input, one with the state.

The product with the input is free of the recurrence: an unroll takes it for all steps at once.
"""

from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarl_jax.memory.base import Memory, MemoryInput, wide
from metarl_jax.types import Array, Key, PyTree


class Cell(Protocol):
    """A flax module of these two methods, of which `__call__` is one after the other."""

    def project(self, x: MemoryInput) -> Array:
        """The input's share of the gates: [..., G]."""
        ...

    def recur(self, carry: PyTree, projected: Array) -> tuple[PyTree, Array]:
        """One step of the recurrence: the new carry, and y [..., M]."""
        ...


def joined(x: MemoryInput) -> Array:
    """[..., D + D']: the embeddings of transition and observation, side by side."""
    return jnp.concatenate([x.transition, x.observation], axis=-1)


def entrance(size: int) -> nn.Dense:
    """The layer from `joined` to a stream of residuals that is normed on its way.

    A meta-episode begins with the blank transition, whose embedding is 0 before training: the norm
    of a 0 multiplies gradients by a thousand, and little else is left of them once they are
    clipped. So the biases do not begin at 0.
    """
    return nn.Dense(size, bias_init=nn.initializers.normal(0.5))


def memory_of(name: str, cell: nn.Module, zero: PyTree) -> Memory:
    """The memory of a cell.

    Args:
        name: of the memory.
        cell: a `Cell`.
        zero: the initial carry of one task, of numpy arrays: none of jax's is made before it runs.
    """
    kind: Any = type(cell)

    def init(key: Key, x: MemoryInput) -> PyTree:
        return cell.init(key, wide(zero, x.transition.shape[:-1]), x)

    def initial_carry(key: Key) -> PyTree:
        del key
        return jax.tree.map(jnp.asarray, zero)

    def step(params: PyTree, carry: PyTree, x: MemoryInput) -> tuple[PyTree, Array]:
        result: Any = cell.apply(params, carry, x)
        return result

    def unroll(params: PyTree, carry: PyTree, xs: MemoryInput) -> tuple[PyTree, Array]:
        def recur(carry: PyTree, projected: Array) -> tuple[PyTree, Array]:
            result: Any = cell.apply(params, carry, projected, method=kind.recur)
            return result

        # Not recomputed: an unroll is of small batches, of PPO, for which that was a loss.
        projected: Any = cell.apply(params, xs, method=kind.project)
        return jax.lax.scan(recur, carry, projected)

    return Memory(name, init, initial_carry, step, unroll)
