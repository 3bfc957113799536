"""Running means and variances, kept in the train state."""

import jax
import jax.numpy as jnp
from flax import struct

from metarl_jax.types import Array, PyTree

HORIZON = 100.0
"""Batches after which old data fades: the statistics follow a policy that changes its data."""


class RunningStatistics(struct.PyTreeNode):
    """Mean and variance of a stream; the identity (0, 1) until something was seen."""

    mean: Array  # [...] float32
    variance: Array  # [...] float32
    count: Array  # [] float32: the weight of the past

    @property
    def scale(self) -> Array:
        """The standard deviation, kept away from 0."""
        return jnp.sqrt(jnp.maximum(self.variance, 1e-6))


def identity_statistics(shape: tuple[int, ...] = ()) -> RunningStatistics:
    """Statistics that have seen nothing; normalising by them changes nothing."""
    return RunningStatistics(
        mean=jnp.zeros(shape, jnp.float32),
        variance=jnp.ones(shape, jnp.float32),
        count=jnp.zeros((), jnp.float32),
    )


class Moments(struct.PyTreeNode):
    """Of the valid part of a batch, or of a part of it."""

    size: Array  # [] float32, T·B, masked steps counted
    count: Array  # [] float32, n: valid steps
    mean: Array  # [...] float32
    squares: Array  # [...] float32, Σ (x - mean)²


def moments(values: Array, valid: Array) -> Moments:
    """The moments of a batch, in two passes: differences of large numbers would lose all digits.

    Args:
        values: [T, B, ...].
        valid: [T, B] bool.
    """
    weight = valid.astype(jnp.float32).reshape(valid.shape + (1,) * (values.ndim - 2))
    count = jnp.sum(weight)
    mean = jnp.sum(values * weight, axis=(0, 1), keepdims=True) / jnp.maximum(count, 1.0)
    return Moments(
        size=jnp.asarray(valid.size, jnp.float32),
        count=count,
        mean=jnp.squeeze(mean, axis=(0, 1)),
        squares=jnp.sum(jnp.square(values - mean) * weight, axis=(0, 1)),
    )


def merge(statistics: RunningStatistics, parts: Moments) -> RunningStatistics:
    """Merges a batch into the statistics, its parts first into one.

        n = Σ n_d,  mean_batch = Σ n_d mean_d / n,
        var_batch = Σ (squares_d + n_d (mean_d - mean_batch)²) / n
        N = min(count, HORIZON · T·B),  δ = mean_batch - mean
        mean' = mean + δ n/(N+n)
        var'  = (N var + n var_batch)/(N+n) + δ² N n/(N+n)²

    Args:
        statistics: over values of shape [...].
        parts: [D] moments, one of each of D parts of the batch.

    Reference:
        Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample
        variances", eq. 2.1; the cap on the count is ours.
    """
    total = jnp.sum(parts.count)
    safe_total = jnp.maximum(total, 1.0)
    weight = parts.count.reshape((-1,) + (1,) * statistics.mean.ndim)
    batch_mean = jnp.sum(weight * parts.mean, axis=0, keepdims=True) / safe_total
    between = weight * jnp.square(parts.mean - batch_mean)
    batch_variance = jnp.sum(parts.squares + between, axis=0) / safe_total
    past = jnp.minimum(statistics.count, HORIZON * jnp.sum(parts.size))
    share = total / jnp.maximum(past + total, 1.0)
    difference = batch_mean[0] - statistics.mean
    return RunningStatistics(
        mean=statistics.mean + difference * share,
        variance=(1 - share) * statistics.variance
        + share * batch_variance
        + jnp.square(difference) * share * (1 - share),
        count=past + total,
    )


def merge_all(statistics: PyTree, parts: PyTree) -> PyTree:
    """`merge` for each leaf of an observation that is normalised.

    Args:
        statistics: a tree of RunningStatistics, with None for other leaves; or one of them.
        parts: a tree of their [D] moments.
    """
    is_leaf = lambda x: isinstance(x, RunningStatistics)
    return jax.tree.map(merge, statistics, parts, is_leaf=is_leaf)


def floats_of(observation: PyTree) -> PyTree:
    """An observation with None in place of the leaves that are not float32."""
    return jax.tree.map(lambda x: x if x.dtype == jnp.float32 else None, observation)


def normalize(statistics: RunningStatistics, value: Array, limit: float = 10.0) -> Array:
    """(value - mean) / scale, clipped to ±limit; value itself while nothing was seen.

    Args:
        statistics: over values of shape [...].
        value: [*batch, ...] float32.
        limit: in standard deviations.

    Returns:
        [*batch, ...] float32.
    """
    broadcast = (1,) * (value.ndim - statistics.mean.ndim)
    mean = statistics.mean.reshape(broadcast + statistics.mean.shape)
    scale = statistics.scale.reshape(broadcast + statistics.mean.shape)
    normalized = jnp.clip((value - mean) / scale, -limit, limit)
    return jnp.where(statistics.count > 0, normalized, value)
