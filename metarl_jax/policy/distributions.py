"""Action distributions: pytrees with any leading batch axes."""

import math
from typing import Protocol

import jax
import jax.numpy as jnp
from flax import struct

from metarl_jax.types import Array, Key

LEAST_LOG_STD, LARGEST_LOG_STD = -10.0, 2.0
"""The range of log σ. An entropy bonus alone raises it in every update, for ever: of actions that
are clipped to the action space more noise changes nothing but the entropy."""


class ActionDistribution(Protocol):
    """What a policy returns and a loss reads; every method keeps the leading axes [...].

    An action is [...] int32 (`Categorical`) or [..., A] float32 (`DiagonalGaussian`); a log
    probability or an entropy is [...] float32, in nats.
    """

    def sample(self, key: Key) -> Array:
        """Draws one action for every leading index."""
        ...

    def mode(self) -> Array:
        """The most probable action."""
        ...

    def log_prob(self, action: Array) -> Array:
        """Log π(action), the event axes summed."""
        ...

    def entropy(self) -> Array:
        """-Σ π log π, in nats."""
        ...


class Categorical(struct.PyTreeNode):
    """π(i) = exp(logits_i) / Σ_j exp(logits_j) over actions 0 … n-1."""

    logits: Array  # [..., n] float32

    def sample(self, key: Key) -> Array:
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def mode(self) -> Array:
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def log_prob(self, action: Array) -> Array:
        # A one-hot product: its backward is a product too, where a gather's is a slow scatter.
        chosen = jax.nn.one_hot(action, self.logits.shape[-1], dtype=self.logits.dtype)
        return jnp.sum(jax.nn.log_softmax(self.logits) * chosen, axis=-1)

    def entropy(self) -> Array:
        log_probs = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)


class DiagonalGaussian(struct.PyTreeNode):
    """π(a) = Π_i N(a_i; mean_i, exp(log_std_i)²), density of the action before it is clipped.

    Not squashed: the meta-episode clips what leaves the action space, and the gradient is that of
    the unclipped action, which is unbiased.
    """

    mean: Array  # [..., A] float32
    log_std: Array  # [..., A] float32

    def sample(self, key: Key) -> Array:
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.exp(self.log_std) * noise

    def mode(self) -> Array:
        return self.mean

    def log_prob(self, action: Array) -> Array:
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * jnp.square(z) - self.log_std - 0.5 * math.log(2 * math.pi), axis=-1)

    def entropy(self) -> Array:
        return jnp.sum(self.log_std + 0.5 * math.log(2 * math.pi * math.e), axis=-1)


@jax.custom_vjp
def bounded_log_std(log_std: Array) -> Array:
    """Log σ clipped to [-10, 2]; its gradient passes at a bound if a step along it leads back.

    The gradient of a plain clip is 0 beyond a bound, and a parameter that has crossed it never
    comes back. Here descent may always return, and never goes further out.

    Args:
        log_std: [...] float32.

    Returns:
        [...] float32; within the bounds `log_std` itself, and its gradient too.

    Reference:
        The range, there with -20: Haarnoja, Zhou, Abbeel, Levine (2018), "Soft actor-critic:
        off-policy maximum entropy deep reinforcement learning with a stochastic actor", the
        authors' implementation.
    """
    return jnp.clip(log_std, LEAST_LOG_STD, LARGEST_LOG_STD)


def _bounded_forward(log_std: Array) -> tuple[Array, Array]:
    return bounded_log_std(log_std), log_std


def _bounded_backward(log_std: Array, gradient: Array) -> tuple[Array]:
    too_large = (log_std >= LARGEST_LOG_STD) & (gradient < 0)  # descent would raise it
    too_small = (log_std <= LEAST_LOG_STD) & (gradient > 0)
    return (jnp.where(too_large | too_small, 0.0, gradient),)


bounded_log_std.defvjp(_bounded_forward, _bounded_backward)
