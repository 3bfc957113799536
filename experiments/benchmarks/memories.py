"""What each memory costs: to act a step, and to train on one, by the length of a meta-episode."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
from rich.table import Table

from benchmarks.timing import Variant, compare, make_variants
from benchmarks.workloads import NUM_ARMS, collection_variant, update_variant
from metarl_envs.bandit import bandit
from metarl_jax import Policy, UpdateConfig, a2c, hyperparameters
from metarl_jax.experiment.build import build_policy
from metarl_jax.experiment.kinds import CHOICES
from metarl_jax.experiment.settings import Settings
from metarl_jax.parallel.host import usable_cores
from metarl_jax.parallel.sharding import DataParallel
from metarl_jax.tasks.distribution import TaskDistribution

LENGTHS = (10, 32, 100, 316, 1000)
TABLE_LENGTHS = (100, 1000)
BUDGET_S = 4.0
"""Seconds after which a point is not repeated any more."""
ACT, TRAIN = "act", "train"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryRow:
    """A memory, as `--memory NAME` makes it, in meta-episodes of one length, which it sees whole.

    Attributes:
        memory: its name.
        length: steps of a meta-episode.
        num_tasks: of a batch.
        parameters: of the memory alone.
        state_bytes: that acting in one task carries from step to step.
        act_flops: operations of the whole policy's products, of one step acting.
        act_us: microseconds of one step of one task, acting.
        train_flops: operations of a step's share of the gradient.
        train_us: microseconds of one step of one task in an update: acting, gradient and all.
    """

    memory: str
    length: int
    num_tasks: int
    parameters: int
    state_bytes: int
    act_flops: int
    act_us: float
    train_flops: int
    train_us: float


def measure_memories(
    devices: DataParallel,
    repetitions: int,
    length: int,
    memories: Sequence[str] = tuple(CHOICES["memory"]),
) -> list[MemoryRow]:
    """Times every memory on the bandit, in turn.

    Args:
        devices: the tasks are split over.
        repetitions: of each program, at most.
        length: of a meta-episode, in steps.
        memories: all by default.
    """
    num_tasks = num_tasks_on(devices)
    makers: dict[str, Callable[[], Variant]] = {}
    for name in memories:
        makers[f"{name}, {ACT}"] = partial(_acting, name, length, num_tasks, devices)
        makers[f"{name}, {TRAIN}"] = partial(_training, name, length, num_tasks, devices)
    variants = make_variants(f"memories, {length} steps", makers, at_once=usable_cores())
    runs = {name: variant.run for name, variant in variants.items()}
    seconds = compare(runs, repetitions, budget_s=BUDGET_S)
    costs = {name: _cost(variant, seconds[name]) for name, variant in variants.items()}
    return [
        _row(name, length, num_tasks, costs[f"{name}, {ACT}"], costs[f"{name}, {TRAIN}"])
        for name in memories
        if {f"{name}, {ACT}", f"{name}, {TRAIN}"} <= costs.keys()
    ]


class _Cost(NamedTuple):
    """Of a step of one task."""

    flops: int
    microseconds: float


def _cost(variant: Variant, seconds: float) -> _Cost:
    return _Cost(round(variant.flops / variant.env_steps), 1e6 * seconds / variant.env_steps)


def _row(name: str, length: int, num_tasks: int, act: _Cost, train: _Cost) -> MemoryRow:
    _, policy = _tasks_and_policy(name, length)
    key = jax.random.key(0)
    weights = jax.eval_shape(policy.init, key).weights["memory"]
    carried = jax.tree.leaves(jax.eval_shape(policy.initial_carry, key))
    return MemoryRow(
        memory=name,
        length=length,
        num_tasks=num_tasks,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(weights)),
        state_bytes=sum(leaf.size * leaf.dtype.itemsize for leaf in carried),
        act_flops=act.flops,
        act_us=act.microseconds,
        train_flops=train.flops,
        train_us=train.microseconds,
    )


def num_tasks_on(devices: DataParallel) -> int:
    """Tasks of a batch, of whatever length: so many that a window of 1,000 steps still fits."""
    return devices.count * (16 if jax.default_backend() == "cpu" else 256)


def _tasks_and_policy(name: str, length: int) -> tuple[TaskDistribution, Policy]:
    tasks = bandit(num_arms=NUM_ARMS, num_pulls=length)
    return tasks, build_policy(tasks, Settings(memory=CHOICES["memory"][name]()))


def _acting(name: str, length: int, num_tasks: int, devices: DataParallel) -> Variant:
    tasks, policy = _tasks_and_policy(name, length)
    return collection_variant(tasks, policy, num_tasks, devices)


def _training(name: str, length: int, num_tasks: int, devices: DataParallel) -> Variant:
    tasks, policy = _tasks_and_policy(name, length)
    config = UpdateConfig(num_tasks=num_tasks, num_devices=devices.count)
    return update_variant(a2c(tasks, policy, hyperparameters(), config), tasks, policy, devices)


def memories_table(rows: Sequence[MemoryRow]) -> Table:
    """The rows of the lengths that people ask for first."""
    drawn = Table(box=None, pad_edge=False, collapse_padding=True)
    drawn.add_column("memory", no_wrap=True)
    columns = ("steps", "params", "state kB", "kFLOP to act", "µs", "to train", "µs")
    for column in columns:
        drawn.add_column(column, justify="right", no_wrap=True)
    shown = [row for row in rows if row.length in TABLE_LENGTHS] or rows
    for row in sorted(shown, key=lambda row: [r.memory for r in rows].index(row.memory)):
        drawn.add_row(
            row.memory,
            f"{row.length:,}",
            f"{row.parameters:,}",
            f"{row.state_bytes / 1e3:,.1f}",
            f"{row.act_flops / 1e3:,.0f}",
            f"{row.act_us:.2f}",
            f"{row.train_flops / 1e3:,.0f}",
            f"{row.train_us:.2f}",
        )
    return drawn
