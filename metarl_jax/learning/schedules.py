"""Schedules as data: a hyper-parameter is an array of knots over the course of training.

One knot is a constant, two are a line from first to last update, more are piecewise linear over
evenly spaced stretches. Being leaves of the train state, knots can be swept by `vmap`.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from metarl_jax.types import Array, ConfigurationError, PyTree


def interpolate(knots: Array, progress: Array) -> Array:
    """The piecewise linear function through `knots`, at progress in [0, 1].

    Args:
        knots: [K] float32, values at progress 0, 1/(K-1), …, 1.
        progress: [] float32.

    Returns:
        [] float32.
    """
    last = knots.shape[0] - 1
    if last == 0:
        return knots[0]
    return jnp.interp(progress * last, jnp.arange(last + 1, dtype=jnp.float32), knots)


class Hyperparameters(struct.PyTreeNode):
    """Numeric settings of an update: knots [K] in the train state, scalars [] within an update.

    `hyperparameters` makes one out of plain numbers.
    """

    learning_rate: Array  # Adam's step size, in [0, 1]
    discount: Array  # γ in [0, 1]
    boundary_discount: Array  # γ from one episode to the next, read by discount mode `dual`
    gae_lambda: Array  # λ in [0, 1]
    entropy_coefficient: Array  # weight of the entropy bonus, ≥ 0, in advantage units
    value_coefficient: Array  # weight of the value error, ≥ 0
    max_gradient_norm: Array  # global norm to which gradients are clipped, > 0
    clip_ratio: Array  # PPO: π/π_old is clipped to [1 - ε, 1 + ε]


Schedule = float | Sequence[float]
"""A constant, or the values it passes through from the first update to the last."""
Knots = tuple[float, ...]
"""The same, as a setting."""


def hyperparameters(
    *,
    learning_rate: Schedule = 1e-3,
    discount: Schedule = 0.99,
    boundary_discount: Schedule = 0.99,
    gae_lambda: Schedule = 0.95,
    entropy_coefficient: Schedule = 0.01,
    value_coefficient: Schedule = 0.5,
    max_gradient_norm: Schedule = 0.5,
    clip_ratio: Schedule = 0.2,
) -> Hyperparameters:
    """Hyper-parameters from numbers; arguments as the fields of `Hyperparameters`.

    Raises:
        ConfigurationError: a value is out of its range.
    """
    given = dict(locals())
    return Hyperparameters(**{n: jnp.asarray(check_schedule(n, x)) for n, x in given.items()})


_RANGES = {
    "learning_rate": (0.0, 1.0),
    "discount": (0.0, 1.0),
    "boundary_discount": (0.0, 1.0),
    "gae_lambda": (0.0, 1.0),
    "entropy_coefficient": (0.0, math.inf),
    "value_coefficient": (0.0, math.inf),
    "max_gradient_norm": (1e-6, math.inf),
    "clip_ratio": (0.0, 1.0),
}


def check_schedule(name: str, schedule: Schedule) -> np.ndarray:
    """The knots of a hyper-parameter, made by numpy alone: no jax backend is started.

    Args:
        name: a field of `Hyperparameters`.
        schedule: its value, or values.

    Returns:
        [K] float32.

    Raises:
        ConfigurationError: a value is out of its range.
    """
    low, high = _RANGES[name]
    knots = np.atleast_1d(np.asarray(schedule, np.float32))
    if (
        knots.ndim != 1
        or knots.size == 0
        or not np.all((knots >= low) & (knots <= high) & np.isfinite(knots))
    ):
        raise ConfigurationError(
            f"{name} must be a finite number between {low:g} and {high:g}, or a sequence of such "
            f"numbers from the first update to the last, got {schedule!r}."
        )
    return knots


def at_progress(hyperparameters: PyTree, progress: Array) -> PyTree:
    """Every schedule's value at `progress` in [0, 1]."""
    return jax.tree.map(lambda knots: interpolate(knots, progress), hyperparameters)
