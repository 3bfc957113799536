"""The layers after the memory: an action distribution and a value.

Plain heads read the memory's output m and the embedded observation o side by side. A hypernetwork
reads m alone, and what it gives are the weights of a small network, which reads o:

    h = tanh(W(m) o + b(m)),   (W, b)(m) linear in m

Reference:
    Beck, Vuorio, Xiong, Whiteson (2023), "Recurrent hypernetworks are surprisingly strong in
    meta-RL", section 4; Beck, Jackson, Vuorio, Whiteson (2022), "Hypernetworks in
    meta-reinforcement learning", section 4 (Bias-HyperInit).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from metarl_jax.policy.distributions import (
    ActionDistribution,
    Categorical,
    DiagonalGaussian,
    Joint,
    MultiCategorical,
    bounded_log_std,
)
from metarl_jax.tasks.spaces import (
    Box,
    Dict,
    Leaf,
    MultiDiscrete,
    Space,
    Tuple,
    leaves_of,
    map_spaces,
)
from metarl_jax.types import Array

HeadName = Literal["plain", "hypernetwork"]
_Layers = Callable[[int, float], Callable[[Array], Array]]


def dense(size: int, scale: float) -> nn.Dense:
    """A layer whose weights begin orthogonal, times `scale`."""
    return nn.Dense(size, kernel_init=nn.initializers.orthogonal(scale))


class Heads(nn.Module):
    """Action distribution and value, each through its own tanh layers."""

    action_space: Space
    hidden_sizes: tuple[int, ...]
    initial_log_std: float
    generated: bool  # whether by a hypernetwork

    @nn.compact
    def __call__(self, m: Array, o: Array) -> tuple[ActionDistribution, Array]:
        layer: _Layers = _generated_by(m) if self.generated else dense
        x = o if self.generated else jnp.concatenate([m, o], axis=-1)
        value = layer(1, 1.0)(self._hidden(layer, x))[..., 0]
        actor = self._hidden(layer, x)
        paths = iter([path for path, _ in leaves_of(self.action_space)])
        parts = map_spaces(
            lambda space: self._distribution(layer, actor, next(paths), space), self.action_space
        )
        return Joint(parts) if isinstance(self.action_space, Dict | Tuple) else parts, value

    def _distribution(
        self, layer: _Layers, actor: Array, path: str, space: Leaf
    ) -> ActionDistribution:
        if isinstance(space, MultiDiscrete):
            return MultiCategorical(layer(sum(space.n), 0.01)(actor), space.n)
        if not isinstance(space, Box):
            return Categorical(layer(space.n, 0.01)(actor))
        size = math.prod(space.shape)
        mean = layer(size, 0.01)(actor)
        constant = nn.initializers.constant(self.initial_log_std)
        log_std = bounded_log_std(self.param(f"log_std{path}", constant, (size,), jnp.float32))
        log_std = log_std.reshape((1,) * (mean.ndim - 1) + (size,))
        return DiagonalGaussian(mean, jnp.broadcast_to(log_std, mean.shape))

    def _hidden(self, layer: _Layers, x: Array) -> Array:
        for size in self.hidden_sizes:
            x = jnp.tanh(layer(size, 2**0.5)(x))
        return x


class _Generated(nn.Module):
    """A layer whose weights a linear map of m gives: `dense`'s at first, whatever m."""

    size: int
    scale: float

    @nn.compact
    def __call__(self, m: Array, x: Array) -> Array:
        shape = (x.shape[-1], self.size)
        orthogonal = nn.initializers.orthogonal(self.scale)
        flat = nn.Dense(
            math.prod(shape),
            kernel_init=nn.initializers.zeros_init(),
            bias_init=lambda key, _, dtype: orthogonal(key, shape, dtype).reshape(-1),
        )(m)
        bias = nn.Dense(self.size, kernel_init=nn.initializers.zeros_init())(m)
        weights = flat.reshape(*flat.shape[:-1], *shape)
        return jnp.einsum("...i,...io->...o", x, weights) + bias


def _generated_by(m: Array) -> _Layers:
    return lambda size, scale: partial(_Generated(size, scale), m)
