"""What one call of `Agent.act` costs, the host's share included."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from rich.table import Table

from benchmarks.timing import compare
from metarl_envs.goal_grid import goal_grid
from metarl_jax import Agent, adaptive_policy, gru, interface_of

HIDDEN_SIZE = 128
BATCHES = (None, 64)
CALLS = 200
"""In a run that is timed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentRow:
    """An agent with a GRU of 128 units.

    Attributes:
        num_envs: environments side by side.
        milliseconds: one call for all of them.
    """

    num_envs: int
    milliseconds: float


def measure_agent(repetitions: int) -> list[AgentRow]:
    """Times `act` for one environment and for many, in turn.

    Args:
        repetitions: of 200 calls each; the median counts.
    """
    runs = {str(batch or 1): _acting(batch) for batch in BATCHES}
    seconds = compare(runs, repetitions)
    return [
        AgentRow(num_envs=int(name), milliseconds=1e3 * taken / CALLS)
        for name, taken in seconds.items()
    ]


def _acting(batch: int | None) -> Callable[[], None]:
    tasks = goal_grid()
    policy = adaptive_policy(tasks, gru(HIDDEN_SIZE))
    agent = Agent(policy, policy.init(jax.random.key(0)), interface_of(tasks))
    leading = () if batch is None else (batch,)
    space: Any = agent.interface.specification.observation
    observation = np.zeros((*leading, *space.shape))
    agent.reset(batch)
    agent.act(observation)
    no = np.zeros(leading, bool)
    return partial(_act_often, partial(agent.act, observation, np.zeros(leading), no, no))


def _act_often(act: Callable[[], object]) -> None:
    for _ in range(CALLS):
        act()


def agent_table(rows: list[AgentRow]) -> Table:
    """For a terminal."""
    drawn = Table(title="Agent.act, a GRU of 128 units", title_justify="left")
    for column in ("environments", "ms a call"):
        drawn.add_column(column, justify="right")
    for row in rows:
        drawn.add_row(f"{row.num_envs:,}", f"{row.milliseconds:.3f}")
    return drawn
