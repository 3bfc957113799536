"""Evaluation on meta-test tasks: the one evaluator behind every figure and table.

`evaluate` runs a policy once; `make_evaluator` compiles once and evaluates many parameters on the
same tasks. Both draw the meta-test tasks, use what is known of them as a control variate, and
refuse a mean that is too good to be true. `make_task_evaluator` evaluates on tasks that you choose.
"""

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

CHUNK = 1024
"""Tasks evaluated side by side; more are taken in turn, so that memory stays bounded."""


def evaluate(
    tasks: TaskDistribution,
    policy: Policy,
    params: Any,
    key: Key,
    num_tasks: int,
    *,
    num_episodes: int | None = None,
    greedy: bool = False,
    ablation: Ablation | None = None,
    split: str | None = None,
    num_devices: int = 1,
) -> Evaluation:
    """Evaluates a policy once, on meta-test tasks drawn from a key.

    Args:
        tasks: p(M).
        policy: any policy, learned or classical.
        params: its parameters.
        key: of the tasks and of the actions.
        num_tasks: N, the least number of tasks evaluated; see `meta_test_tasks`.
        num_episodes: E, by default the number it was trained on.
        greedy: take the most probable action instead of a sample.
        ablation: what is taken from the policy; see `metarl_jax.evaluation.ablations`.
        split: None, or the name of an out-of-distribution split.
        num_devices: devices that the tasks are split over, of all processes together.

    Returns:
        Every task's return per episode, [N, E], with means and 95% intervals.

    Raises:
        ConfigurationError: the arguments do not fit the tasks (see `make_evaluator`), or the mean
            is higher than what is possible.
    """
    tasks_key, actors_key = jax.random.split(key)
    evaluator = make_evaluator(
        tasks,
        policy,
        tasks_key,
        num_tasks,
        num_episodes=num_episodes,
        greedy=greedy,
        ablation=ablation,
        split=split,
        num_devices=num_devices,
    )
    return evaluator(params, actors_key)


def make_evaluator(
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
    """An evaluator on a fixed set of meta-test tasks, compiled once.

    The set depends on the key and not on the policy, so that policies are compared on the same
    tasks. Where the family knows each task's oracle return, it is a control variate of the means.

    Args:
        tasks: p(M).
        policy: any policy, learned or classical.
        key: of the tasks.
        num_tasks: N, the least number of tasks evaluated; see `meta_test_tasks`.
        num_episodes: E, by default the number it was trained on.
        greedy: take the most probable action instead of a sample.
        ablation: what is taken from the policy; see `metarl_jax.evaluation.ablations`.
        split: None, or the name of an out-of-distribution split.
        num_devices: devices that the tasks are split over, of all processes together.

    Returns:
        (params, key of the actions) -> Evaluation. It raises ConfigurationError where the mean is
        higher than what is possible.

    Raises:
        ConfigurationError: there is no such split; N is less than 1; or the ablation needs more
            episodes or different tasks.
    """
    meta_test = meta_test_tasks(tasks, key, num_tasks, split)
    on_tasks = make_task_evaluator(
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

    def evaluator(params: Any, key: Key) -> Evaluation:
        evaluation = on_tasks(params, meta_test, key)
        if ablation != "history":  # which plays in other tasks too
            evaluation = with_control_variate(evaluation, references, meta_test)
        if highest is not None:
            require_possible(evaluation, highest, tasks.name)
        return evaluation

    return evaluator


def make_task_evaluator(
    tasks: TaskDistribution,
    policy: Policy,
    *,
    num_episodes: int | None = None,
    greedy: bool = False,
    ablation: Ablation | None = None,
    num_devices: int = 1,
) -> Callable[[Any, Task, Key], Evaluation]:
    """An evaluator on any tasks you give it: no control variate, no leak check.

    It compiles once for each number of tasks up to 1,024, and once for all larger numbers.

    Args:
        tasks: p(M), which the tasks given need not be drawn from.
        policy: any policy, learned or classical.
        num_episodes: E, by default the number it was trained on.
        greedy: take the most probable action instead of a sample.
        ablation: what is taken from the policy; see `metarl_jax.evaluation.ablations`.
        num_devices: devices that the tasks are split over, of all processes together.

    Returns:
        (params, tasks stacked on axis 0, key of the actions) -> Evaluation.

    Raises:
        ConfigurationError: `memory` or `history` is ablated in meta-episodes of one episode, or
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

    def on_tasks(params: Any, meta_test: Task, key: Key) -> Evaluation:
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

    return on_tasks


def references_of(
    tasks: TaskDistribution, num_episodes: int | None = None, split: str | None = None
) -> References:
    """The references of p(M), which hold for its own number of episodes and for no split."""
    if split is not None or num_episodes not in (None, tasks.num_episodes):
        return References()
    return tasks.references()


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
