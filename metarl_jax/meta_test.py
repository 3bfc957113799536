"""The evaluator behind every table: meta-test tasks, what is known of them, and a leak check."""

from collections.abc import Callable
from typing import Any

import jax

from metarl_jax.ablations import Ablation
from metarl_jax.evaluation import Evaluation, make_evaluator, meta_test_tasks
from metarl_jax.policy import Policy
from metarl_jax.standing import highest_total, require_possible, with_known_tasks
from metarl_jax.tasks import References, TaskDistribution
from metarl_jax.types import Key


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
        ablation: what is taken from the policy; see `metarl_jax.ablations`.
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
            evaluation = with_known_tasks(evaluation, references, meta_test)
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
