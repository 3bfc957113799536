"""Hyper-parameters by name, each a schedule: an array of knots over the course of training.

One knot is a constant, two are a line from the first update to the last, more are piecewise linear
over evenly spaced stretches. Knots are leaves of the train state, so `vmap` sweeps them.
"""

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.types import Array, ConfigurationError, PyTree

Schedule = float | Sequence[float] | Callable[[Any], Any]
"""A constant; the values passed through from the first update to the last; or an optax schedule,
a function of the number of updates done."""
Knots = tuple[float, ...]
"""A schedule as a setting."""


_READ: contextvars.ContextVar[set[str] | None] = contextvars.ContextVar("read", default=None)


@contextlib.contextmanager
def names_read() -> Iterator[set[str]]:
    """Collects the names of the hyper-parameters that the block reads, if it only traces too."""
    read: set[str] = set()
    token = _READ.set(read)
    try:
        yield read
    finally:
        _READ.reset(token)


class MissingHyperparameterError(ConfigurationError, KeyError):
    """A loss or an optimizer reads a hyper-parameter that was not given."""

    __str__ = Exception.__str__  # not the quoted text of a KeyError


@jax.tree_util.register_pytree_with_keys_class
class Hyperparameters(Mapping[str, Any]):
    """Hyper-parameters by name: `h["discount"]`.

    They are knots [K] float32 in the train state and scalars [] within an update, where a loss or
    an optimizer reads them. `hyperparameters` makes one from plain numbers.

    Args:
        values: by name.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            raise MissingHyperparameterError(
                f"expected a hyper-parameter {name!r}, got only {', '.join(self._values)}; give "
                f"hyperparameters({name}=...), or on the command line --hyperparameter {name}=..."
            )
        if (read := _READ.get()) is not None:
            read.add(name)
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Hyperparameters({self._values})"

    def replace(self, **values: Any) -> "Hyperparameters":
        """The same with some values exchanged."""
        return Hyperparameters({**self._values, **values})

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], tuple[str, ...]]:
        """Flattens into leaves whose paths are `.name`."""
        leaves = [(jax.tree_util.GetAttrKey(name), x) for name, x in self._values.items()]
        return leaves, tuple(self._values)

    @classmethod
    def tree_unflatten(cls, names: tuple[str, ...], values: Sequence[Any]) -> "Hyperparameters":
        """Puts the leaves back together."""
        return cls(dict(zip(names, values, strict=True)))


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
    **own: Schedule,
) -> Hyperparameters:
    """Hyper-parameters from numbers or schedules.

    Args:
        learning_rate: step size of the optimizer, in [0, 1].
        discount: γ, in [0, 1].
        boundary_discount: γ from one episode to the next, in [0, 1]; read by discount mode `dual`.
        gae_lambda: λ, in [0, 1].
        entropy_coefficient: weight of the entropy bonus, ≥ 0, in advantage units.
        value_coefficient: weight of the value error, ≥ 0.
        max_gradient_norm: global norm to which gradients are clipped, > 0.
        clip_ratio: ε of PPO, which clips π/π_old to [1 - ε, 1 + ε]; in [0, 1].
        **own: what an objective or an optimizer of yours reads, by its name: any finite number.

    Returns:
        Schedules by name, for an algorithm.

    Raises:
        ConfigurationError: a value is out of its range.

    >>> hyperparameters(learning_rate=(1e-3, 1e-4), kl_weight=0.1)["kl_weight"].tolist()
    [0.10000000149011612]
    """
    given = {name: value for name, value in locals().items() if name != "own"}
    given |= dict(sorted(own.items()))
    return Hyperparameters({name: check_schedule(name, x) for name, x in given.items()})


_RANGES = {
    "learning_rate": (0.0, 1.0),
    "discount": (0.0, 1.0),
    "boundary_discount": (0.0, 1.0),
    "gae_lambda": (0.0, 1.0),
    "entropy_coefficient": (0.0, math.inf),
    "value_coefficient": (0.0, math.inf),
    "max_gradient_norm": (1e-6, math.inf),
    "clip_ratio": (0.0, 1.0),
    "weight_decay": (0.0, math.inf),
}
NAMES = tuple(_RANGES)
"""The hyper-parameters that the framework itself reads."""


def check_schedule(name: str, schedule: Schedule) -> Any:
    """The knots of a hyper-parameter, made by numpy alone: no jax backend is started.

    Args:
        name: of the hyper-parameter.
        schedule: its value or values; an optax schedule, whose values `over` checks.

    Returns:
        [K] float32, or the function.

    Raises:
        ConfigurationError: a value is out of its range.
    """
    if callable(schedule):
        return schedule
    low, high = _RANGES.get(name, (-math.inf, math.inf))
    try:
        knots = np.atleast_1d(np.asarray(schedule, np.float32))
    except (TypeError, ValueError):
        knots = np.zeros((0,), np.float32)
    within = (knots >= low) & (knots <= high) & np.isfinite(knots)
    if knots.ndim != 1 or knots.size == 0 or not np.all(within):
        raise ConfigurationError(
            f"{name} must be a finite number between {low:g} and {high:g}, or a sequence of such "
            f"numbers from the first update to the last, got {schedule!r}."
        )
    return knots


def over(hyperparameters: Hyperparameters, num_updates: int | None) -> Hyperparameters:
    """The schedules as knots.

    Args:
        hyperparameters: of `hyperparameters`.
        num_updates: updates over which they run; None where all are constant.

    Returns:
        Knots [K] float32; an optax schedule has one for every update.

    Raises:
        ConfigurationError: a schedule changes over the updates of a run and their number is not
            given, or an optax schedule leaves its range.
    """
    changing = [n for n, x in hyperparameters.items() if callable(x) or np.size(x) > 1]
    if changing and num_updates is None:
        raise ConfigurationError(
            f"expected the number of updates over which {', '.join(changing)} change, got none; "
            "give it: algorithm.init(key, num_updates), as `train` does."
        )
    knots = {name: _knots(name, x, num_updates or 1) for name, x in hyperparameters.items()}
    return Hyperparameters({name: jnp.asarray(x) for name, x in knots.items()})


def _knots(name: str, schedule: Any, num_updates: int) -> np.ndarray:
    if not callable(schedule):
        return schedule
    with jax.ensure_compile_time_eval():
        try:
            values = jax.vmap(lambda count: jnp.asarray(schedule(count), jnp.float32))(
                jnp.arange(num_updates)
            )
        except jax.errors.ConcretizationTypeError as error:
            raise ConfigurationError(
                f"{name}: expected a schedule that jax can trace, got one that takes a decision in "
                "Python on the number of updates; write jnp.where, or optax.join_schedules."
            ) from error
        return check_schedule(name, np.asarray(values).tolist())


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


def at_progress(hyperparameters: PyTree, progress: Array) -> PyTree:
    """Every schedule's value at `progress` in [0, 1]."""
    return jax.tree.map(lambda knots: interpolate(knots, progress), hyperparameters)
