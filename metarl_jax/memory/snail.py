"""SNAIL: temporal convolutions that gather, and attention that finds again.

    dense block, dilation d:   x_t ↦ [x_t, tanh(W_f [x_{t-d}, x_t]) ⊙ σ(W_g [x_{t-d}, x_t])]
    convolutions:              dense blocks of d = 1, 2, 4, … < max(W, 2), one after the other
    attention:                 x_t ↦ [x_t, Σ_{t-W < s ≤ t} softmax_s(q_t · k_s / √d) v_s]
    y_t:                       L times convolutions, then attention

To act takes a ring of the last d rows for each dense block, and one of W keys and values for each
attention.

Reference:
    Mishra, Rohaninejad, Chen, Abbeel (2018), "A simple neural attentive meta-learner", section 3,
    figure 2 and appendix C.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from metarl_jax.checks import require_positive
from metarl_jax.memory.base import Memory, MemoryInput, recorded
from metarl_jax.memory.cell import concatenate_input
from metarl_jax.memory.ring import extended, may_see, oldest, push, recall, windowed_memory, written
from metarl_jax.types import Array


class SNAILState(struct.PyTreeNode):
    """What SNAIL carries."""

    rings: tuple[Array, ...]  # [..., d, D] of each dense block, [..., W, 2 F] of each attention
    time: Array  # [...] int32, steps so far


class _DenseBlock(nn.Module):
    """Its carry is a ring [d, D]."""

    dilation: int
    filters: int

    @nn.compact
    def convolve(self, past: Array, x: Array) -> Array:
        gates = nn.Dense(2 * self.filters)(jnp.concatenate([past, x], axis=-1))
        f, g = jnp.split(gates, 2, axis=-1)
        return jnp.concatenate([x, jnp.tanh(f) * jax.nn.sigmoid(g)], axis=-1)

    def step(self, ring: Array, time: Array, x: Array) -> tuple[Array, Array]:
        return push(ring, time, x[0]), self.convolve(oldest(ring, time)[None], x)

    def unroll(self, ring: Array, time: Array, xs: Array) -> tuple[Array, Array]:
        sequence, ring = extended(ring, time, xs)
        return ring, self.convolve(sequence[: len(xs)], xs)


class _Attention(nn.Module):
    """Its carry is a ring [W, K + V] of keys and values."""

    key_size: int
    value_size: int

    def setup(self) -> None:
        self.queries = nn.Dense(self.key_size)
        self.memories = nn.Dense(self.key_size + self.value_size)

    def step(self, ring: Array, time: Array, x: Array) -> tuple[Array, Array]:
        ring = push(ring, time, self.memories(x)[0])
        k, v = jnp.split(ring, [self.key_size], axis=-1)
        read = recall(self.queries(x)[0], k, v, written(len(ring), time))
        return ring, jnp.concatenate([x, read[None]], axis=-1)

    def unroll(self, ring: Array, time: Array, xs: Array) -> tuple[Array, Array]:
        context_length = len(ring)
        sequence, ring = extended(ring, time, self.memories(xs))
        k, v = jnp.split(sequence, [self.key_size], axis=-1)
        scores = self.queries(xs) @ k.T / jnp.sqrt(jnp.float32(self.key_size))
        weights = jax.nn.softmax(scores, where=may_see(context_length, len(xs), time), axis=-1)
        return ring, jnp.concatenate([xs, weights @ v], axis=-1)


class _SNAIL(nn.Module):
    context_length: int
    filters: int
    num_layers: int

    def setup(self) -> None:
        self.enter = nn.Dense(self.filters)
        self.blocks = [block for _ in range(self.num_layers) for block in self._layer()]

    def _layer(self) -> list[Any]:
        convolutions = [_DenseBlock(d, self.filters) for d in dilations(self.context_length)]
        return [*convolutions, _Attention(self.filters, self.filters)]

    def __call__(
        self, state: SNAILState, xs: MemoryInput, *, over_time: bool
    ) -> tuple[SNAILState, Array]:
        """Of one task: a step [D], or T of them [T, D]."""
        y = self.enter(concatenate_input(xs))
        y = y if over_time else y[None]
        after = []
        for block, ring in zip(self.blocks, state.rings, strict=True):
            ring, y = (block.unroll if over_time else block.step)(ring, state.time, y)
            after.append(ring)
        return SNAILState(tuple(after), state.time + len(y)), y if over_time else y[0]


def dilations(context_length: int) -> tuple[int, ...]:
    """1, 2, 4, … below the window: together they see all of it."""
    return tuple(2**i for i in range(max(1, (context_length - 1).bit_length())))


@recorded
def snail(context_length: int, filters: int = 32, *, num_layers: int = 2) -> Memory:
    """A SNAIL memory; y is all channels, [..., F (1 + L (C + 1))] for C dilations.

    Args:
        context_length: W, the steps that its attention sees and its dilations span; the length of a
            meta-episode sees all.
        filters: F, of each dense block; keys and values have as many.
        num_layers: L, of convolutions followed by attention.

    Raises:
        ConfigurationError: a size is less than 1.
    """
    require_positive("SNAIL's context length", context_length, usual="a meta-episode's length")
    require_positive("SNAIL's number of filters", filters, usual="16 to 32")
    require_positive("SNAIL's number of layers", num_layers, usual="2")
    module = _SNAIL(context_length, filters, num_layers)

    def initial_carry() -> SNAILState:
        rings, channels = [], filters
        for _ in range(num_layers):
            for dilation in dilations(context_length):
                rings.append(jnp.zeros((dilation, channels), jnp.float32))
                channels += filters
            rings.append(jnp.zeros((context_length, 2 * filters), jnp.float32))
            channels += filters
        return SNAILState(tuple(rings), jnp.zeros((), jnp.int32))

    return windowed_memory("snail", module, initial_carry, context_length)
