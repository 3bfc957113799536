"""Sweeps: the agents of one program, which differ in hyper-parameters and seeds."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

from metarl_jax.experiment.settings import Settings
from metarl_jax.learning.schedules import Hyperparameters
from metarl_jax.types import ConfigurationError

Sweep = Mapping[str, Sequence[float]]
"""Hyper-parameters, and the values that each is tried with."""


NO_SWEEP: Sweep = {}


def sweep_points(sweep: Sweep) -> list[dict[str, float]]:
    """Every combination of the swept values; one empty combination where nothing is swept."""
    return [dict(zip(sweep, values, strict=True)) for values in itertools.product(*sweep.values())]


def agents_of(settings: Settings, sweep: Sweep = NO_SWEEP) -> tuple[Settings, ...]:
    """The settings of each agent: every combination of swept values, each with every seed.

    A swept value holds from the first update to the last: it takes the place of a schedule.

    Args:
        settings: what all have in common.
        sweep: of hyper-parameters.

    Raises:
        ConfigurationError: what is swept is no hyper-parameter, is read by nothing under these
            settings, a value is out of its range, or there are more than 10,000.
    """
    numeric = {field.name for field in dataclasses.fields(Hyperparameters)}
    if unknown := sorted(sweep.keys() - numeric):
        raise ConfigurationError(
            f"a sweep is over hyper-parameters, expected {', '.join(sorted(numeric))}, got "
            f"{', '.join(unknown)}; what changes the program's structure takes a run of its own."
        )
    if idle := settings.idle(sweep.keys()):
        raise ConfigurationError(
            f"expected a sweep over what is read, got some that would do nothing: "
            f"{'; '.join(idle)}."
        )
    if (number := math.prod(map(len, sweep.values())) * settings.num_seeds) > MOST_AGENTS:
        raise ConfigurationError(
            f"expected at most {MOST_AGENTS:,} agents in one program, got {number:,}; sweep over "
            "fewer values, or fewer seeds."
        )
    seeds = range(settings.seed, settings.seed + settings.num_seeds)
    swept = [{name: (x,) for name, x in point.items()} for point in sweep_points(sweep)]
    return tuple(
        dataclasses.replace(settings, seed=seed, num_seeds=1, **values)  # type: ignore[arg-type]
        for values in swept
        for seed in seeds
    )


MOST_AGENTS = 10_000
