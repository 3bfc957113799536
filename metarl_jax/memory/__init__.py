"""Memories: sequence models behind one record."""

from metarl_jax.memory.base import Memory, MemoryInput, unroll_by_steps
from metarl_jax.memory.conformance import check_memory
from metarl_jax.memory.context_set import context_set, kl_to_prior
from metarl_jax.memory.gru import gru
from metarl_jax.memory.laws import LawReport
from metarl_jax.memory.linear_recurrence import linear_recurrence
from metarl_jax.memory.lstm import lstm
from metarl_jax.memory.memoryless import memoryless
from metarl_jax.memory.settings import GRU, LSTM, SNAIL, ContextSet, LinearRecurrence, Transformer
from metarl_jax.memory.snail import snail
from metarl_jax.memory.stack import stacked
from metarl_jax.memory.transformer import transformer

__all__ = [
    "GRU",
    "LSTM",
    "SNAIL",
    "ContextSet",
    "LawReport",
    "LinearRecurrence",
    "Memory",
    "MemoryInput",
    "Transformer",
    "check_memory",
    "context_set",
    "gru",
    "kl_to_prior",
    "linear_recurrence",
    "lstm",
    "memoryless",
    "snail",
    "stacked",
    "transformer",
    "unroll_by_steps",
]
