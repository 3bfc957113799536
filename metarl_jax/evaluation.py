"""Evaluation on meta-test tasks: the return of every episode of every task."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.fingerprint import host_leaves
from metarl_jax.meta_episode import MetaEpisode
from metarl_jax.policy import Policy, PolicyOutput
from metarl_jax.rollout import collect, episode_returns, start, task_keys
from metarl_jax.sharding import REPLICATED, SPLIT, Devices
from metarl_jax.statistics import confidence_half_width, interquartile_mean
from metarl_jax.tasks import TaskDistribution
from metarl_jax.types import (
    Array,
    ConfigurationError,
    Experience,
    Key,
    PyTree,
    Task,
    blank_transition,
)

CHUNK = 1024
"""Tasks evaluated side by side; more are taken in turn, so that memory stays bounded."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Returns per episode on meta-test tasks, and their means with 95% intervals.

    Attributes:
        episode_returns: [N, E] float32, undiscounted.
        task_set_hash: SHA-256 over the leaves of the N tasks.
    """

    episode_returns: np.ndarray
    task_set_hash: str

    @property
    def num_tasks(self) -> int:
        """N."""
        return self.episode_returns.shape[0]

    @property
    def episode_return_mean(self) -> np.ndarray:
        """[E]: the adaptation curve."""
        return np.asarray(np.mean(self.episode_returns, axis=0, dtype=np.float64))

    @property
    def episode_return_ci95(self) -> np.ndarray:
        """[E]: half-widths of the 95% intervals of the means."""
        return confidence_half_width(self.episode_returns)

    @property
    def total_return_mean(self) -> float:
        """Mean return of a whole meta-episode."""
        return float(np.mean(np.sum(self.episode_returns, axis=1, dtype=np.float64)))

    @property
    def total_return_ci95(self) -> float:
        """Half-width of its 95% interval."""
        return float(confidence_half_width(np.sum(self.episode_returns, axis=1)[:, None])[0])

    @property
    def total_return_iqm(self) -> float:
        """Interquartile mean over tasks of the return of a whole meta-episode."""
        return interquartile_mean(self.episode_returns.sum(axis=1, dtype=np.float64))

    @property
    def total_return_p20(self) -> float:
        """What a fifth of the tasks fall short of: the 20th percentile of that return."""
        return float(np.percentile(self.episode_returns.sum(axis=1, dtype=np.float64), 20))

    @property
    def adaptation_gain(self) -> float:
        """Mean return of the last episode less that of the first."""
        return float(self.episode_return_mean[-1] - self.episode_return_mean[0])

    @property
    def adaptation_gain_ci95(self) -> float:
        """Half-width of its 95% interval; the two are of the same tasks."""
        gains = self.episode_returns[:, -1] - self.episode_returns[:, 0]
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
    ablate_memory: bool = False,
    num_devices: int = 1,
) -> Callable[[Any, Task, Key], Evaluation]:
    """An evaluator that compiles once for all calls of a number of tasks, or of over 1,024.

    Args:
        tasks: p(M).
        policy: any policy, learned or classical.
        num_episodes: E, by default the number it was trained on.
        greedy: the most probable action instead of a sample.
        ablate_memory: a fresh carry and the blank transition at every episode's start: what is left
            is what the policy does without having learned anything about the task.
        num_devices: the tasks are split over so many devices of this process, or over as many as
            divide them.

    Returns:
        (params, tasks stacked on axis 0, key) -> Evaluation.
    """
    tasks = dataclasses.replace(tasks, num_episodes=num_episodes or tasks.num_episodes)
    meta_episode = MetaEpisode(tasks, policy.contextual)
    actor = without_memory(policy) if ablate_memory else policy

    def returns(params: Any, chunk: Task, keys: Key) -> Array:
        actors = start(actor, meta_episode, chunk, keys)
        _, rollout, _ = collect(actor, params, meta_episode, actors, greedy=greedy)
        return episode_returns(rollout, tasks.num_episodes)

    compiled = functools.cache(
        lambda devices: jax.jit(devices.run(returns, (REPLICATED, SPLIT, SPLIT), SPLIT))
    )

    def evaluate(params: Any, meta_test: Task, key: Key) -> Evaluation:
        num_tasks = jax.tree.leaves(meta_test)[0].shape[0]
        size = min(CHUNK, num_tasks)
        devices = Devices(num_devices).dividing(size)
        params, results = devices.place(params), []
        for wanted in range(0, num_tasks, size):
            # The last chunk reaches back instead of being shorter, so that one program serves all.
            first = min(wanted, num_tasks - size)
            chunk = jax.tree.map(lambda x, first=first: x[first : first + size], meta_test)
            chunk_returns = compiled(devices)(params, chunk, task_keys(key, size, first))
            results.append(np.asarray(chunk_returns)[wanted - first :])
        return Evaluation(np.concatenate(results), task_set_hash(meta_test))

    return evaluate


def evaluate(
    tasks: TaskDistribution, policy: Policy, params: Any, key: Key, num_tasks: int, **options: Any
) -> Evaluation:
    """Evaluates once on meta-test tasks.

    Args:
        tasks: p(M).
        policy: any policy, learned or classical.
        params: its parameters.
        key: of the tasks and of the actions.
        num_tasks: at least so many tasks are evaluated, N; see `meta_test_tasks`.
        options: as `make_evaluator`'s.

    Returns:
        Every task's return per episode, [N, E], with means and 95% intervals.

    Raises:
        ConfigurationError: N is less than 1.
    """
    tasks_key, actors_key = jax.random.split(key)
    meta_test = meta_test_tasks(tasks, tasks_key, num_tasks)
    return make_evaluator(tasks, policy, **options)(params, meta_test, actors_key)


def task_set_hash(meta_test: Task) -> str:
    """SHA-256 over the leaves of a set of tasks, with their dtypes and shapes."""
    digest = hashlib.sha256()
    for leaf in host_leaves(meta_test).values():
        digest.update(f"{leaf.array.dtype.str}{leaf.array.shape}".encode())
        digest.update(leaf.array.tobytes())
    return digest.hexdigest()


def without_memory(policy: Policy) -> Policy:
    """The policy, given a fresh carry and the blank transition at every episode's start."""

    def initial_carry(key: Key) -> PyTree:
        fresh = policy.initial_carry(key)
        return fresh, fresh

    def step(params: Any, carry: PyTree, experience: Experience) -> tuple[PyTree, PolicyOutput]:
        fresh, current = carry
        begins = experience.episode_start
        current = _where(begins, fresh, current)
        blank = blank_transition(experience.transition)
        experience = experience.replace(transition=_where(begins, blank, experience.transition))
        current, output = policy.step(params, current, experience)
        return (fresh, current), output

    def unroll(params: Any, carry: PyTree, xs: Experience) -> tuple[PyTree, PolicyOutput]:
        return jax.lax.scan(lambda carry, x: step(params, carry, x), carry, xs)

    return policy._replace(initial_carry=initial_carry, step=step, unroll=unroll)


def _where(condition: Array, new: PyTree, old: PyTree) -> PyTree:
    """`jnp.where` over the leading axes that `condition` has."""

    def select(new: Array, old: Array) -> Array:
        return jnp.where(
            condition.reshape(condition.shape + (1,) * (new.ndim - condition.ndim)), new, old
        )

    return jax.tree.map(select, new, old)
