"""A diagonal linear recurrence: complex, stable by construction, over all steps at once.

    h_t = λ ⊙ h_{t-1} + γ ⊙ i_t ⊙ B u_t           λ = exp(-exp ν + i exp θ),   γ = √(1 - |λ|²)
    i_t = σ(W_i u_t + b_i)                        u_t = norm(x_t)
    x'_t = x_t + (W z_t + b) ⊙ σ(V z_t + c)       z_t = gelu(Re(C h_t))

|λ| < 1 whatever the parameters; γ is tied to it (in the paper it is a parameter of its own). The
input gate matters: most of what a transition says is the same in every task, and a sum of it all
drowns the rest. (Taught to tell ten arms' posterior means, it had a mean squared error of 0.0030
after 400 gradient steps, and of 0.018 without the gate; the prior's mean has 0.047.) The recurrence
is associative: T steps take log T parallel ones. It is to be read in several layers, each with its
gates, its norm and its residual; y is the norm of the last one's x'. (A tanh there is saturated
after 40 million steps, and what the state tells of the task does not come through.)

Reference:
    Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu, De (2023), "Resurrecting recurrent neural
    networks for long sequences", eqs. 5-7 (the recurrence). Smith, Warrington, Linderman (2023),
    "Simplified state space layers for sequence modeling" (the scan, the gate of the output). De et
    al. (2024), "Griffin", eqs. 2 and 4 (the input gate). Gu, Gupta, Goel, Ré (2022), "On the
    parameterization and initialization of diagonal state space models", section 4 (time scales even
    in their logarithm). In meta-RL: Lu et al. (2023), "Structured state space models for in-context
    reinforcement learning".
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.checks import require_positive
from metarl_jax.memory.base import Memory, MemoryInput, first_input, recorded
from metarl_jax.memory.cell import concatenate_input
from metarl_jax.memory.remat import save_for_backward
from metarl_jax.types import Array, Key, PyTree

LEAST_STEPS, LARGEST_STEPS = 2.0, 1_000.0
"""Of 1/-log |λ|, what a unit remembers before training: as many units for each factor of it."""
LEAST_PHASE, LARGEST_PHASE = 1e-3, np.pi / 10
"""Of λ before training, in radians a step, likewise."""

EPSILON = 1e-2
"""Of the norms: where a first observation is 0, as a bandit's, all of the first step is 0 before
training, and the usual ε would multiply its gradient by a thousand."""

DECAY_EXPONENTS = (-14.0, 4.0)
"""The range of ν: memories of a million steps, and of none."""


def _spectrum(key: Key, size: int) -> Array:
    """[2, N]: ν and θ of time scales spread evenly over their logarithms.

    Spread evenly over a ring, as in the paper, few units can count: of |λ|² from 1/4 to 1 one in
    twenty remembers 50 steps, and of phases from 0 to π/10 one in ten turns by less than a quarter
    meanwhile.
    """
    lowest = np.log([1 / LARGEST_STEPS, LEAST_PHASE])[:, None].astype(np.float32)
    highest = np.log([1 / LEAST_STEPS, LARGEST_PHASE])[:, None].astype(np.float32)
    return jax.random.uniform(key, (2, size), jnp.float32, lowest, highest)


class _Layer(nn.Module):
    """Its state is [..., 2 N]: real parts, then imaginary ones."""

    size: int

    def setup(self) -> None:
        self.exponents = self.param("exponents", _spectrum, self.size)
        self.norm = nn.LayerNorm(epsilon=EPSILON)
        self.enter = nn.Dense(2 * self.size, use_bias=False)  # B
        self.input_gate = nn.Dense(self.size)
        self.leave = nn.Dense(self.size, use_bias=False)  # C
        self.gate = nn.Dense(2 * self.size)

    def eigenvalues(self) -> Array:
        """λ: [N] complex64, inside the unit circle."""
        decay, phase = self._decay(), jnp.exp(self.exponents[1])
        return jnp.exp(jax.lax.complex(-decay, phase))

    def drive(self, x: Array) -> Array:
        """What enters h in each step: [..., 2 N]."""
        u = self.norm(x)
        i = jax.nn.sigmoid(save_for_backward(self.input_gate(u)))
        scale = jnp.sqrt(-jnp.expm1(-2 * self._decay()))  # √(1 - |λ|²)
        return save_for_backward(self.enter(u)) * jnp.tile(_row(scale, x) * i, 2)

    def _decay(self) -> Array:
        """-log |λ|: exp ν, where float32 tells |λ| from 1 and from 0."""
        return jnp.exp(jnp.clip(self.exponents[0], *DECAY_EXPONENTS))

    def read(self, h: Array, x: Array) -> Array:
        """The x' of each step, from the state after it."""
        z = nn.gelu(save_for_backward(self.leave(h)))
        value, gate = jnp.split(save_for_backward(self.gate(z)), 2, axis=-1)
        return x + value * jax.nn.sigmoid(gate)

    def __call__(self, h: Array, x: Array) -> tuple[Array, Array]:
        h = _pair(_row(self.eigenvalues(), x) * _complex(h)) + self.drive(x)
        return h, self.read(h, x)

    def unroll(self, h: Array, xs: Array) -> tuple[Array, Array]:
        """All steps at once, over the leading axis."""
        drives = _complex(self.drive(xs))
        factor = _row(self.eigenvalues(), drives)
        drives = drives.at[0].add(factor[0] * _complex(h))
        _, states = jax.lax.associative_scan(
            _compose, (jnp.broadcast_to(factor, drives.shape), drives)
        )
        hs = _pair(states)
        return hs[-1], self.read(hs, xs)


def _compose(first: tuple[Array, Array], then: tuple[Array, Array]) -> tuple[Array, Array]:
    """Two affine maps of the state, h ↦ a h + b, as one."""
    return then[0] * first[0], then[0] * first[1] + then[1]


def _row(x: Array, like: Array) -> Array:
    """[N] with as many axes as `like`."""
    return x.reshape((1,) * (like.ndim - 1) + (-1,))


def _complex(pair: Array) -> Array:
    return jax.lax.complex(*jnp.split(pair, 2, axis=-1))


def _pair(x: Array) -> Array:
    return jnp.concatenate([x.real, x.imag], axis=-1)


class _LinearRecurrence(nn.Module):
    size: int
    num_layers: int

    def setup(self) -> None:
        self.enter = nn.Dense(self.size)
        self.layers = [_Layer(self.size) for _ in range(self.num_layers)]
        self.norm = nn.LayerNorm(epsilon=EPSILON)

    def __call__(self, h: Array, x: MemoryInput, *, over_time: bool = False) -> tuple[Array, Array]:
        y = self.enter(concatenate_input(x))
        states = []
        for i, layer in enumerate(self.layers):
            advance = layer.unroll if over_time else layer
            state, y = advance(h[..., i, :], y)
            states.append(state)
        return jnp.stack(states, axis=-2), self.norm(y)


@recorded
def linear_recurrence(hidden_size: int = 128, num_layers: int = 2) -> Memory:
    """A stack of diagonal linear recurrences; y is [..., M].

    Args:
        hidden_size: M, units of each layer, and N = M complex numbers of its state, at least 1.
        num_layers: at least 1.

    Raises:
        ConfigurationError: a size is less than 1.
    """
    require_positive("a linear recurrence's hidden size", hidden_size, usual="64 to 256")
    require_positive("a linear recurrence's number of layers", num_layers, usual="2 to 4")
    module = _LinearRecurrence(hidden_size, num_layers)

    def initial_carry(key: Key) -> Array:
        del key
        return jnp.zeros((num_layers, 2 * hidden_size), jnp.float32)

    def init(key: Key, x: MemoryInput) -> PyTree:
        return module.init(key, initial_carry(key), first_input(x))

    def step(params: PyTree, carry: Array, x: MemoryInput) -> tuple[Array, Array]:
        result: Any = module.apply(params, carry, x)
        return result

    def unroll(params: PyTree, carry: Array, xs: MemoryInput) -> tuple[Array, Array]:
        result: Any = module.apply(params, carry, xs, over_time=True)
        return result

    return Memory("linear-recurrence", init, initial_carry, step, unroll, parallel=True)
