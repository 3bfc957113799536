"""Nothing remembered: the lower line of every comparison."""

import jax.numpy as jnp

from metarl_jax.memory.base import Memory, MemoryInput, recorded
from metarl_jax.types import Array, Key, PyTree


@recorded
def memoryless() -> Memory:
    """The memory without memory: y is empty, so the policy's heads see the observation alone."""

    def init(key: Key, x: MemoryInput) -> PyTree:
        del key, x
        return ()

    def initial_carry(key: Key) -> tuple[()]:
        del key
        return ()

    def step(params: PyTree, carry: tuple[()], x: MemoryInput) -> tuple[tuple[()], Array]:
        del params
        return carry, jnp.zeros((*x.observation.shape[:-1], 0), x.observation.dtype)

    # Already free of time, `step` is its own unroll.
    return Memory("memoryless", init, initial_carry, step, step)
