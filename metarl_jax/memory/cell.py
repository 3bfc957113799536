"""Recurrent cells as memories: one product with the input, one with the state.

The product with the input is free of the recurrence: an unroll takes it for all steps at once.
"""

from abc import ABC, abstractmethod
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarl_jax.memory.base import Memory, MemoryInput, first_input
from metarl_jax.types import Array, Key, PyTree


class Cell(nn.Module, ABC):
    """A recurrent cell in two parts."""

    @abstractmethod
    def project(self, x: MemoryInput) -> Array:
        """The input's share of the gates: [..., G]."""

    @abstractmethod
    def recur(self, carry: Any, projected: Array, /) -> tuple[Any, Array]:
        """One step of the recurrence: the new carry, and y [..., M]."""

    def __call__(self, carry: Any, x: MemoryInput) -> tuple[Any, Array]:
        """One step: one part after the other."""
        return self.recur(carry, self.project(x))


def concatenate_input(x: MemoryInput) -> Array:
    """[..., D + D']: the embeddings of transition and observation, side by side."""
    return jnp.concatenate([x.transition, x.observation], axis=-1)


def memory_of(name: str, cell: Cell, zero: PyTree) -> Memory:
    """The memory of a cell.

    Args:
        name: of the memory.
        cell: with its sizes.
        zero: the initial carry of one task, of numpy arrays: none of jax's is made before it runs.
    """

    def init(key: Key, x: MemoryInput) -> PyTree:
        return cell.init(key, zero, first_input(x))

    def initial_carry(key: Key) -> PyTree:
        del key
        return jax.tree.map(jnp.asarray, zero)

    def step(params: PyTree, carry: PyTree, x: MemoryInput) -> tuple[PyTree, Array]:
        result: Any = cell.apply(params, carry, x)
        return result

    def unroll(params: PyTree, carry: PyTree, xs: MemoryInput) -> tuple[PyTree, Array]:
        def recur(carry: PyTree, projected: Array) -> tuple[PyTree, Array]:
            result: Any = cell.apply(params, carry, projected, method="recur")
            return result

        # Not remat: an unroll is of small batches, of PPO, for which that was a loss.
        projected: Any = cell.apply(params, xs, method="project")
        return jax.lax.scan(recur, carry, projected)

    return Memory(name, init, initial_carry, step, unroll)
