"""Evaluation on meta-test tasks: the return of every episode of every task."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.ablations import Ablation, make_play
from metarl_jax.fingerprint import host_leaves
from metarl_jax.policy import Policy
from metarl_jax.rollout import task_keys
from metarl_jax.sharding import REPLICATED, SPLIT, Devices
from metarl_jax.statistics import (
    bootstrap_interval,
    confidence_half_width,
    interquartile_mean,
    percentile_20,
    with_control,
)
from metarl_jax.tasks import TaskDistribution
from metarl_jax.types import Array, ConfigurationError, Key, Task

CHUNK = 1024
"""Tasks evaluated side by side; more are taken in turn, so that memory stays bounded."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Returns per episode on meta-test tasks, and their means with 95% intervals.

    Attributes:
        episode_returns: [N, E] float32, undiscounted.
        task_set_hash: SHA-256 over the leaves of the N tasks.
        control: [N] a control variate of mean 0, such as what each task is worth to who knows it,
            less the mean of that over p(M): easy tasks among the N do not pass for skill then.
            Means and their intervals are with it; the interquartile mean and the percentile not.
    """

    episode_returns: np.ndarray
    task_set_hash: str
    control: np.ndarray | None = None

    @property
    def num_tasks(self) -> int:
        """N."""
        return self.episode_returns.shape[0]

    @functools.cached_property
    def controlled_returns(self) -> np.ndarray:
        """[N, E] float64, of the same means as the returns over p(M)."""
        if self.control is None:
            return self.episode_returns.astype(np.float64)
        return with_control(self.episode_returns, self.control)

    @property
    def episode_return_mean(self) -> np.ndarray:
        """[E]: the adaptation curve."""
        return np.asarray(np.mean(self.controlled_returns, axis=0))

    @property
    def episode_return_ci95(self) -> np.ndarray:
        """[E]: half-widths of the 95% intervals of the means."""
        return confidence_half_width(self.controlled_returns)

    @property
    def total_return_mean(self) -> float:
        """Mean return of a whole meta-episode."""
        return float(np.mean(np.sum(self.controlled_returns, axis=1)))

    @property
    def total_return_ci95(self) -> float:
        """Half-width of its 95% interval."""
        return float(confidence_half_width(np.sum(self.controlled_returns, axis=1)[:, None])[0])

    @functools.cached_property
    def total_returns(self) -> np.ndarray:
        """[N] float64, of whole meta-episodes, as they were."""
        return self.episode_returns.sum(axis=1, dtype=np.float64)

    @property
    def total_return_iqm(self) -> float:
        """Interquartile mean over tasks of the return of a whole meta-episode."""
        return interquartile_mean(self.total_returns)

    @property
    def total_return_iqm_interval95(self) -> tuple[float, float]:
        """Its 95% interval, by a bootstrap over tasks."""
        return bootstrap_interval(self.total_returns, interquartile_mean)

    @property
    def total_return_p20(self) -> float:
        """What a fifth of the tasks fall short of: the 20th percentile of that return."""
        return percentile_20(self.total_returns)

    @property
    def total_return_p20_interval95(self) -> tuple[float, float]:
        """Its 95% interval, by a bootstrap over tasks."""
        return bootstrap_interval(self.total_returns, percentile_20)

    @property
    def adaptation_gain(self) -> float:
        """Mean return of the last episode less that of the first."""
        return float(self.episode_return_mean[-1] - self.episode_return_mean[0])

    @property
    def adaptation_gain_ci95(self) -> float:
        """Half-width of its 95% interval; the two are of the same tasks."""
        gains = self.controlled_returns[:, -1] - self.controlled_returns[:, 0]
        return float(confidence_half_width(gains[:, None])[0])

    def row(self) -> dict[str, Any]:
        """What a row of metrics tells of it."""
        return {
            "meta_test_episode_returns": self.episode_return_mean.tolist(),
            "meta_test_total_return": self.total_return_mean,
        }


@dataclasses.dataclass(frozen=True)
class PopulationEvaluation:
    """The evaluations of several agents on the same meta-test tasks.

    Attributes:
        members: each agent's.
    """

    members: tuple[Evaluation, ...]

    def row(self) -> dict[str, Any]:
        """Means over agents, and each agent's own by the name and `_members`."""
        rows = [member.row() for member in self.members]
        row: dict[str, Any] = {}
        for name in rows[0]:
            values = [of_member[name] for of_member in rows]
            row[f"{name}_members"] = values
            row[name] = np.mean(values, axis=0).tolist()
        return row


def meta_test_tasks(
    tasks: TaskDistribution, key: Key, num_tasks: int, split: str | None = None
) -> Task:
    """At least `num_tasks` tasks to evaluate on, stacked on axis 0.

    Independent draws from p(M); for a small finite family, all its tasks, each equally often (then
    the count is rounded up to a multiple of their number).

    Args:
        tasks: p(M).
        key: of the draws.
        num_tasks: N.
        split: None, or the name of an out-of-distribution split.

    Raises:
        ConfigurationError: there is no such split, or N is less than 1.
    """
    if num_tasks < 1:
        raise ConfigurationError(f"evaluation needs at least 1 task, got {num_tasks}.")
    if split is not None and split not in tasks.splits:
        has = ", ".join(sorted(tasks.splits)) or "none"
        raise ConfigurationError(
            f"expected a split that {tasks.name} has ({has}), got {split!r}; leave it out for "
            "tasks of p(M)."
        )
    if split is None and tasks.all_tasks is not None:
        every = tasks.all_tasks()
        repeats = -(-num_tasks // jax.tree.leaves(every)[0].shape[0])
        return jax.tree.map(lambda x: jnp.concatenate([jnp.asarray(x)] * repeats), every)
    sample = tasks.sample if split is None else tasks.splits[split]
    return jax.jit(lambda key: jax.vmap(sample)(task_keys(key, num_tasks)))(key)


def make_evaluator(
    tasks: TaskDistribution,
    policy: Policy,
    *,
    num_episodes: int | None = None,
    greedy: bool = False,
    ablation: Ablation | None = None,
    num_devices: int = 1,
) -> Callable[[Any, Task, Key], Evaluation]:
    """An evaluator that compiles once for all calls of a number of tasks, or of over 1,024.

    Args:
        tasks: p(M).
        policy: any policy, learned or classical.
        num_episodes: E, by default the number it was trained on.
        greedy: the most probable action instead of a sample.
        ablation: what is taken from the policy; see `metarl_jax.ablations`.
        num_devices: the tasks are split over so many devices, of all processes together.

    Returns:
        (params, tasks stacked on axis 0, key) -> Evaluation.

    Raises:
        ConfigurationError: `memory` or `history` ablated in meta-episodes of one episode, or
            `history` of tasks that are all the same.
    """
    tasks = dataclasses.replace(tasks, num_episodes=num_episodes or tasks.num_episodes)
    if ablation in ("memory", "history") and tasks.num_episodes < 2:
        raise ConfigurationError(
            f"{tasks.name}: the ablation {ablation} expects meta-episodes of at least 2 episodes, "
            "of which it takes what the memory brings from one to the next, got 1; ask for more."
        )
    play, devices = make_play(tasks, policy, greedy=greedy, ablation=ablation), Devices(num_devices)

    def on_all(params: Any, meta_test: Task, keys: Key) -> Array:
        return devices.gather_tasks(play(params, meta_test, keys))

    compiled = jax.jit(devices.run(on_all, (REPLICATED, SPLIT, SPLIT)))

    def evaluate(params: Any, meta_test: Task, key: Key) -> Evaluation:
        num_tasks = jax.tree.leaves(meta_test)[0].shape[0]
        played = with_others(meta_test) if ablation == "history" else meta_test
        size = len(devices.filling(min(CHUNK, num_tasks)))
        params, results = devices.place(params), []
        for first in range(0, num_tasks, size):
            # Begun anew at the end, so that one program of all devices serves every chunk.
            indices = np.arange(first, first + size) % num_tasks
            chunk = jax.tree.map(lambda x, indices=indices: x[indices], played)
            results.append(np.asarray(compiled(params, chunk, task_keys(key, size, first))))
        returns = np.concatenate(results)[:num_tasks]
        return Evaluation(returns, task_set_hash(meta_test))

    return evaluate


def with_others(meta_test: Task) -> tuple[Task, Task]:
    """The tasks, and for each of them another that differs, drawn among them.

    Raises:
        ConfigurationError: they are all the same.
    """
    rows = [leaf.array for leaf in host_leaves(meta_test).values()]
    number = len(rows[0])
    identity = np.array([hash(b"".join(row[i].tobytes() for row in rows)) for i in range(number)])
    if np.all(identity == identity[0]):
        raise ConfigurationError(
            "the history of another task expects at least 2 different tasks, got 1; evaluate on "
            "more."
        )
    generator = np.random.default_rng(0)
    others = np.arange(number)
    while (same := identity[others] == identity).any():
        others[same] = generator.integers(number, size=same.sum())
    return meta_test, jax.tree.map(lambda x: x[others], meta_test)


def task_set_hash(meta_test: Task) -> str:
    """SHA-256 over the leaves of a set of tasks, with their dtypes and shapes."""
    digest = hashlib.sha256()
    for leaf in host_leaves(meta_test).values():
        digest.update(f"{leaf.array.dtype.str}{leaf.array.shape}".encode())
        digest.update(leaf.array.tobytes())
    return digest.hexdigest()
