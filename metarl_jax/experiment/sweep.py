"""Sweeps: the agents of one program, which differ in hyper-parameters and seeds."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

from metarl_jax.checks import suggestion
from metarl_jax.experiment.settings import Settings
from metarl_jax.types import ConfigurationError

Sweep = Mapping[str, Sequence[float]]
"""Hyper-parameters, and the values that each is tried with."""
NO_SWEEP: Sweep = {}
MOST_AGENTS = 10_000


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
        ConfigurationError: these settings have no such hyper-parameter, a value is out of its
            range, or there are more than 10,000 agents.
    """
    numeric = settings.schedules()
    otherwise = "what changes the program's structure takes a run of its own."
    if unknown := sorted(sweep.keys() - numeric.keys()):
        raise ConfigurationError(
            f"a sweep is over hyper-parameters that are read, expected {', '.join(sorted(numeric))}"
            f", got {', '.join(unknown)}; {suggestion(unknown[0], numeric, otherwise)}"
        )
    budget = settings.budget
    if (number := math.prod(map(len, sweep.values())) * budget.num_seeds) > MOST_AGENTS:
        raise ConfigurationError(
            f"expected at most {MOST_AGENTS:,} agents in one program, got {number:,}; sweep over "
            "fewer values, or fewer seeds."
        )
    budgets = [
        dataclasses.replace(budget, seed=budget.seed + i, num_seeds=1)
        for i in range(budget.num_seeds)
    ]
    swept = [settings.with_schedules(point) for point in sweep_points(sweep)]
    return tuple(dataclasses.replace(s, budget=b) for s in swept for b in budgets)
