"""Action distributions: pytrees with any leading batch axes."""

import math
from typing import Protocol

import jax
import jax.numpy as jnp
from flax import struct

from metarl_jax.types import Array, Key


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
