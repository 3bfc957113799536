"""Running means and variances, kept in the train state."""

import jax.numpy as jnp
from flax import struct

from metarl_jax.types import Array

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


def update_statistics(
    statistics: RunningStatistics, values: Array, valid: Array
) -> RunningStatistics:
    """Merges the valid part of a batch into the statistics.

        n = Σ valid,  N = min(count, HORIZON · T·B),  δ = mean_batch - mean
        mean' = mean + δ n/(N+n)
        var'  = (N var + n var_batch)/(N+n) + δ² N n/(N+n)²

    Args:
        statistics: over values of shape [...].
        values: [T, B, ...].
        valid: [T, B] bool.

    Reference:
        Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample
        variances", eq. 2.1; the cap on the count is ours.
    """
    weight = valid.astype(jnp.float32).reshape(valid.shape + (1,) * (values.ndim - 2))
    total = jnp.sum(weight)
    safe_total = jnp.maximum(total, 1.0)
    batch_mean = jnp.sum(values * weight, axis=(0, 1), keepdims=True) / safe_total
    batch_variance = jnp.sum(jnp.square(values - batch_mean) * weight, axis=(0, 1)) / safe_total
    past = jnp.minimum(statistics.count, HORIZON * valid.size)
    share = total / jnp.maximum(past + total, 1.0)
    difference = jnp.squeeze(batch_mean, axis=(0, 1)) - statistics.mean
    return RunningStatistics(
        mean=statistics.mean + difference * share,
        variance=(1 - share) * statistics.variance
        + share * batch_variance
        + jnp.square(difference) * share * (1 - share),
        count=past + total,
    )


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
