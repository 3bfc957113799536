"""The evaluator behind every table: meta-test tasks, what is known of them, and a leak check."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.checks import require_positive
from metarl_jax.evaluation.ablations import Ablation, make_play
from metarl_jax.evaluation.evaluation import Evaluation, task_set_hash
from metarl_jax.evaluation.scores import highest_total, require_possible, with_control_variate
from metarl_jax.parallel.sharding import REPLICATED, SPLIT, DataParallel
from metarl_jax.policy.policy import Policy
from metarl_jax.rollout import task_keys
from metarl_jax.tasks.distribution import References, TaskDistribution
from metarl_jax.trees import host_leaves, take
from metarl_jax.types import Array, ConfigurationError, Key, Task


def references_of(
    tasks: TaskDistribution, num_episodes: int | None = None, split: str | None = None
) -> References:
    """What is known of tasks of p(M), over as many episodes as it has; nothing of others."""
    if split is not None or num_episodes not in (None, tasks.num_episodes):
        return References()
    return tasks.references()


def make_meta_test(
    tasks: TaskDistribution,
    policy: Policy,
    key: Key,
    num_tasks: int,
    *,
    num_episodes: int | None = None,
    greedy: bool = False,
    ablation: Ablation | None = None,
    split: str | None = None,
    num_devices: int = 1,
) -> Callable[[Any, Key], Evaluation]:
    """A policy's evaluation on a set of meta-test tasks, the same for every policy of these tasks.

    What the drawn tasks are worth to who knows them is a control variate of the means, where the
    family tells it.

    Args:
        tasks: p(M).
        policy: any policy, learned or classical.
        key: of the tasks.
        num_tasks: at least so many, N; see `meta_test_tasks`.
        num_episodes: E, by default the number it was trained on.
        greedy: the most probable action instead of a sample.
        ablation: what is taken from the policy; see `metarl_jax.evaluation.ablations`.
        split: None, or the name of an out-of-distribution split.
        num_devices: as `make_evaluator`'s.

    Returns:
        (params, key of the actions) -> Evaluation; it raises ConfigurationError where the mean is
        higher than what is possible.

    Raises:
        ConfigurationError: as `meta_test_tasks` and `make_evaluator`.
    """
    meta_test = meta_test_tasks(tasks, key, num_tasks, split)
    evaluator = make_evaluator(
        tasks,
        policy,
        num_episodes=num_episodes,
        greedy=greedy,
        ablation=ablation,
        num_devices=num_devices,
    )
    references = references_of(tasks, num_episodes, split)
    highest = highest_total(
        references, contextual=policy.contextual, memory_ablated=ablation == "memory"
    )

    def evaluate(params: Any, key: Key) -> Evaluation:
        evaluation = evaluator(params, meta_test, key)
        if ablation != "history":  # which plays in other tasks too
            evaluation = with_control_variate(evaluation, references, meta_test)
        if highest is not None:
            require_possible(evaluation, highest, tasks.name)
        return evaluation

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
        options: as `make_meta_test`'s.

    Returns:
        Every task's return per episode, [N, E], with means and 95% intervals.

    Raises:
        ConfigurationError: as `make_meta_test`, or the mean is higher than what is possible.
    """
    tasks_key, actors_key = jax.random.split(key)
    return make_meta_test(tasks, policy, tasks_key, num_tasks, **options)(params, actors_key)


CHUNK = 1024
"""Tasks evaluated side by side; more are taken in turn, so that memory stays bounded."""


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
    require_positive("the number of meta-test tasks", num_tasks)
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
        ablation: what is taken from the policy; see `metarl_jax.evaluation.ablations`.
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
    play, devices = (
        make_play(tasks, policy, greedy=greedy, ablation=ablation),
        DataParallel(num_devices),
    )

    def on_all(params: Any, meta_test: Task, keys: Key) -> Array:
        return devices.all_gather_tasks(play(params, meta_test, keys))

    compiled = jax.jit(devices.shard_map(on_all, (REPLICATED, SPLIT, SPLIT)))

    def evaluate(params: Any, meta_test: Task, key: Key) -> Evaluation:
        num_tasks = jax.tree.leaves(meta_test)[0].shape[0]
        played = with_others(meta_test) if ablation == "history" else meta_test
        size = len(devices.padded_indices(min(CHUNK, num_tasks)))
        params, results = devices.replicate(params), []
        for first in range(0, num_tasks, size):
            # Begun anew at the end, so that one program of all devices serves every chunk.
            indices = np.arange(first, first + size) % num_tasks
            chunk = take(played, indices)
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
    return meta_test, take(meta_test, others)
