"""The gated recurrent unit, with one product for the input and one for the state.

    r = σ(W_r x + U_r h + b_r)
    z = σ(W_z x + U_z h + b_z)
    n = tanh(W_n x + b_n + r ⊙ (U_n h + c_n))
    h' = (1 - z) ⊙ n + z ⊙ h

Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder", eqs. 5-8, with the
reset gate applied after the product (as cuDNN does), so that the three products with h are one.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.checks import require_positive
from metarl_jax.memory.base import Memory, MemoryInput, recorded
from metarl_jax.memory.cell import Cell, concatenate_input, memory_of
from metarl_jax.memory.remat import save_for_backward
from metarl_jax.types import Array


class _GRU(Cell):
    hidden_size: int

    def setup(self) -> None:
        self.input_gates = nn.Dense(3 * self.hidden_size)
        self.state_gates = nn.Dense(
            3 * self.hidden_size, use_bias=False, kernel_init=nn.initializers.orthogonal()
        )
        self.candidate_bias = self.param(
            "candidate_bias", nn.initializers.zeros_init(), (self.hidden_size,), jnp.float32
        )

    def project(self, x: MemoryInput) -> Array:
        """W x + b of the three gates: [..., 3 M]."""
        return self.input_gates(concatenate_input(x))

    def recur(self, h: Array, projected: Array, /) -> tuple[Array, Array]:
        """One step of the recurrence: h' twice, as carry and as y."""
        x_r, x_z, x_n = jnp.split(projected, 3, axis=-1)
        h_r, h_z, h_n = jnp.split(self.state_gates(h), 3, axis=-1)
        reset = jax.nn.sigmoid(save_for_backward(x_r + h_r))
        update = jax.nn.sigmoid(save_for_backward(x_z + h_z))
        bias = self.candidate_bias.reshape((1,) * (h.ndim - 1) + (-1,))
        candidate = jnp.tanh(save_for_backward(x_n) + reset * (save_for_backward(h_n) + bias))
        h = (1 - update) * candidate + update * h
        return h, h


@recorded
def gru(hidden_size: int = 128) -> Memory:
    """A GRU memory; y is its state.

    Args:
        hidden_size: M, units of the state, at least 1.

    Raises:
        ConfigurationError: hidden_size is less than 1.
    """
    require_positive("a GRU's hidden size", hidden_size, usual="64 to 256")
    return memory_of("gru", _GRU(hidden_size), np.zeros((hidden_size,), np.float32))
