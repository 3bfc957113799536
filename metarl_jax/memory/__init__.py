"""Memories: sequence models behind one record."""

from metarl_jax.memory.base import Memory, MemoryInput, unroll_by_steps
from metarl_jax.memory.gru import gru
from metarl_jax.memory.memoryless import memoryless

__all__ = ["Memory", "MemoryInput", "gru", "memoryless", "unroll_by_steps"]
