"""The long short-term memory.

    i = σ(W_i x + U_i h + b_i)
    f = σ(W_f x + U_f h + b_f + 1)
    g = tanh(W_g x + U_g h + b_g)
    o = σ(W_o x + U_o h + b_o)
    c' = f ⊙ c + i ⊙ g
    h' = o ⊙ tanh(c')

Hochreiter & Schmidhuber 1997, "Long short-term memory", with the forget gate of Gers et al. 2000,
"Learning to forget", whose bias begins at 1 (Jozefowicz et al. 2015, "An empirical exploration of
recurrent network architectures", section 2.2).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from metarl_jax.checks import require_positive
from metarl_jax.memory.base import Memory, MemoryInput, recorded
from metarl_jax.memory.cell import Cell, concatenate_input, memory_of
from metarl_jax.memory.remat import save_for_backward
from metarl_jax.types import Array

FORGET_BIAS = 1.0


class LSTMState(struct.PyTreeNode):
    """What an LSTM carries."""

    h: Array  # [..., M] float32, its output
    c: Array  # [..., M] float32, its cells


class _LSTM(Cell):
    hidden_size: int

    def setup(self) -> None:
        self.input_gates = nn.Dense(4 * self.hidden_size)
        self.state_gates = nn.Dense(
            4 * self.hidden_size, use_bias=False, kernel_init=nn.initializers.orthogonal()
        )

    def project(self, x: MemoryInput) -> Array:
        """W x + b of the four gates: [..., 4 M]."""
        return self.input_gates(concatenate_input(x))

    def recur(self, state: LSTMState, projected: Array, /) -> tuple[LSTMState, Array]:
        """One step of the recurrence; y is h'."""
        gates = save_for_backward(projected + self.state_gates(state.h))
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        kept = jax.nn.sigmoid(f + FORGET_BIAS) * state.c
        c = kept + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return LSTMState(h, c), h


@recorded
def lstm(hidden_size: int = 128) -> Memory:
    """An LSTM memory; y is its output h.

    Args:
        hidden_size: M, units of h and of c, at least 1.

    Raises:
        ConfigurationError: hidden_size is less than 1.
    """
    require_positive("an LSTM's hidden size", hidden_size, usual="64 to 256")
    zero: Any = np.zeros((hidden_size,), np.float32)
    return memory_of("lstm", _LSTM(hidden_size), LSTMState(zero, zero))
