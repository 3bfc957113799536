"""The gated recurrent unit, with one product for the input and one for the state.

    r = σ(W_r x + U_r h + b_r)
    z = σ(W_z x + U_z h + b_z)
    n = tanh(W_n x + b_n + r ⊙ (U_n h + c_n))
    h' = (1 - z) ⊙ n + z ⊙ h

Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder", eqs. 5-8, with the
reset gate applied after the product (as cuDNN does), so that the three products with h are one.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarl_jax.memory.base import Memory, MemoryInput
from metarl_jax.recomputation import keep
from metarl_jax.types import Array, ConfigurationError, Key, PyTree


class _GRU(nn.Module):
    hidden_size: int

    def setup(self) -> None:
        self.input_gates = nn.Dense(3 * self.hidden_size)
        self.state_gates = nn.Dense(
            3 * self.hidden_size, use_bias=False, kernel_init=nn.initializers.orthogonal()
        )
        self.candidate_bias = self.param(
            "candidate_bias", nn.initializers.zeros_init(), (self.hidden_size,)
        )

    def __call__(self, h: Array, x: MemoryInput) -> Array:
        return self.recur(h, self.project(x))

    def project(self, x: MemoryInput) -> Array:
        """The input's share of the three gates: [..., 3 M], free of the recurrence."""
        return self.input_gates(jnp.concatenate([x.transition, x.observation], axis=-1))

    def recur(self, h: Array, projected: Array) -> Array:
        """One step of the recurrence: [..., M] -> [..., M]."""
        x_r, x_z, x_n = jnp.split(projected, 3, axis=-1)
        h_r, h_z, h_n = jnp.split(self.state_gates(h), 3, axis=-1)
        reset = jax.nn.sigmoid(keep(x_r + h_r))
        update = jax.nn.sigmoid(keep(x_z + h_z))
        bias = self.candidate_bias.reshape((1,) * (h.ndim - 1) + (-1,))
        candidate = jnp.tanh(keep(x_n) + reset * (keep(h_n) + bias))
        return (1 - update) * candidate + update * h


def gru(hidden_size: int = 128) -> Memory:
    """A GRU memory; y is its state.

    Args:
        hidden_size: M, units of the state, at least 1.

    Raises:
        ConfigurationError: hidden_size is less than 1.
    """
    if hidden_size < 1:
        raise ConfigurationError(
            f"a GRU needs a hidden size of at least 1, got {hidden_size}; 64 to 256 are usual."
        )
    module = _GRU(hidden_size)

    def initial_carry(key: Key) -> Array:
        del key
        return jnp.zeros((hidden_size,), jnp.float32)

    def init(key: Key, x: MemoryInput) -> PyTree:
        h = jnp.zeros((*x.transition.shape[:-1], hidden_size), jnp.float32)
        return module.init(key, h, x)

    def step(params: PyTree, carry: Array, x: MemoryInput) -> tuple[Array, Array]:
        h: Any = module.apply(params, carry, x)
        return h, h

    def unroll(params: PyTree, carry: Array, xs: MemoryInput) -> tuple[Array, Array]:
        def recur(h: Array, projected: Array) -> tuple[Array, Array]:
            new_h: Any = module.apply(params, h, projected, method=_GRU.recur)
            return new_h, new_h

        # One large product for all steps; only the recurrence itself is sequential.
        projected: Any = module.apply(params, xs, method=_GRU.project)
        return jax.lax.scan(recur, carry, projected)

    return Memory("gru", init, initial_carry, step, unroll)
