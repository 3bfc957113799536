"""Action distributions: pytrees with any leading batch axes."""

import math
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import struct

from metarl_jax.types import Array, Key, PyTree

LEAST_LOG_STD, LARGEST_LOG_STD = -10.0, 2.0
"""The range of log σ. An entropy bonus alone raises it in every update, for ever: of actions that
are clipped to the action space more noise changes nothing but the entropy."""


FORBIDDEN = -1e9
"""The logit of an action that is masked: its probability, and so its share of the entropy, is 0."""


class ActionDistribution(Protocol):
    """What a policy returns and a loss reads; every method keeps the leading axes [...].

    An action is [...] int32 (`Categorical`), [..., K] int32 (`MultiCategorical`), [..., A] float32
    (`DiagonalGaussian`), or a dict or tuple of these (`Joint`). A log probability or an entropy is
    [...] float32, in nats.
    """

    def sample(self, key: Key) -> PyTree:
        """Draws one action for every leading index."""
        ...

    def mode(self) -> PyTree:
        """The most probable action."""
        ...

    def log_prob(self, action: PyTree) -> Array:
        """Log π(action), the event axes summed."""
        ...

    def entropy(self) -> Array:
        """-Σ π log π, in nats."""
        ...

    def masked(self, mask: PyTree) -> "ActionDistribution":
        """The distribution given that the action is allowed; see `split_mask` for the mask."""
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

    def masked(self, mask: Array | None) -> "Categorical":
        return self if mask is None else Categorical(jnp.where(mask, self.logits, FORBIDDEN))


class MultiCategorical(struct.PyTreeNode):
    """K independent categoricals, the k-th over 0 … sizes[k]-1."""

    logits: Array  # [..., Σ sizes] float32
    sizes: tuple[int, ...] = struct.field(pytree_node=False)

    def sample(self, key: Key) -> Array:
        keys = jax.random.split(key, len(self.sizes))
        return self._joined(lambda i, part: part.sample(keys[i]))

    def mode(self) -> Array:
        return self._joined(lambda i, part: part.mode())

    def log_prob(self, action: Array) -> Array:
        return jnp.sum(self._joined(lambda i, part: part.log_prob(action[..., i])), axis=-1)

    def entropy(self) -> Array:
        return jnp.sum(self._joined(lambda i, part: part.entropy()), axis=-1)

    def masked(self, mask: Array | None) -> "MultiCategorical":
        if mask is None:
            return self
        return self.replace(logits=jnp.where(mask, self.logits, FORBIDDEN))

    def _joined(self, function: Callable[[int, Categorical], Array]) -> Array:
        """[..., K]: of each categorical."""
        ends = [sum(self.sizes[: k + 1]) for k in range(len(self.sizes) - 1)]
        parts = jnp.split(self.logits, ends, axis=-1)
        return jnp.stack([function(i, Categorical(x)) for i, x in enumerate(parts)], axis=-1)


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

    def masked(self, mask: None) -> "DiagonalGaussian":
        del mask
        return self


class Joint(struct.PyTreeNode):
    """Independent parts, in the dicts and tuples of the action space."""

    parts: PyTree  # of the distributions above

    def sample(self, key: Key) -> PyTree:
        keys = iter(jax.random.split(key, len(self._leaves())))
        return self._map(lambda part: part.sample(next(keys)))

    def mode(self) -> PyTree:
        return self._map(lambda part: part.mode())

    def log_prob(self, action: PyTree) -> Array:
        log_probs = self._map(lambda part, action: part.log_prob(action), action)
        return sum(jax.tree.leaves(log_probs), start=jnp.zeros((), jnp.float32))

    def entropy(self) -> Array:
        entropies = [part.entropy() for part in self._leaves()]
        return sum(entropies, start=jnp.zeros((), jnp.float32))

    def masked(self, mask: PyTree) -> "Joint":
        return Joint(self._map(lambda part, mask: part.masked(mask), mask))

    def _leaves(self) -> list[Any]:
        return jax.tree.leaves(self.parts, is_leaf=_is_part)

    def _map(self, function: Callable[..., Any], *trees: PyTree) -> PyTree:
        return jax.tree.map(function, self.parts, *trees, is_leaf=_is_part)


def _is_part(x: Any) -> bool:
    return isinstance(x, Categorical | MultiCategorical | DiagonalGaussian)


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
