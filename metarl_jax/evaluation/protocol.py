"""The evaluations that every run makes, on tasks that are the same for all runs of a family."""

from collections.abc import Callable
from typing import Any

import jax

from metarl_jax.evaluation.ablations import Ablation
from metarl_jax.evaluation.evaluate import make_evaluator, make_task_evaluator, meta_test_tasks
from metarl_jax.evaluation.evaluation import Evaluation
from metarl_jax.evaluation.measures import measure
from metarl_jax.policy.policy import Policy
from metarl_jax.tasks.distribution import TaskDistribution

META_TEST_SEED = 2_147_483_629
"""Seed of the meta-test tasks of the evaluation at the end; no run's own seed."""
VALIDATION_SEED = 2_147_483_563
"""Seed of the meta-test tasks of the evaluations during training."""
MEASURE_SEED = 2_147_483_549
"""Seed of the tasks on which a family's own measures are taken."""


def make_validation(
    tasks: TaskDistribution, policy: Policy, num_tasks: int, num_devices: int = 1
) -> Callable[[Any], Evaluation]:
    """The evaluation during training: fixed tasks and fixed keys, compiled once.

    Args:
        tasks: p(M).
        policy: the policy that is trained.
        num_tasks: the least number of tasks.
        num_devices: devices that the tasks are split over.

    Returns:
        params -> Evaluation.
    """
    tasks_key, actors_key = jax.random.split(jax.random.key(VALIDATION_SEED))
    meta_test = meta_test_tasks(tasks, tasks_key, num_tasks)
    evaluator = make_task_evaluator(tasks, policy, num_devices=num_devices)
    return lambda params: evaluator(params, meta_test, actors_key)


def final_measures(
    tasks: TaskDistribution, policy: Policy, params: Any, num_devices: int = 1
) -> dict[str, float | tuple[float, ...]]:
    """A family's own measures, on tasks that are the same for all runs of the family.

    Args:
        tasks: p(M), with its `measures`.
        policy: the policy that was trained.
        params: the policy's.
        num_devices: devices that the tasks are split over.
    """
    found = measure(tasks, policy, params, jax.random.key(MEASURE_SEED), num_devices)
    return {name: tuple(x) if isinstance(x, list) else x for name, x in found.items()}


def final_evaluation(
    tasks: TaskDistribution,
    policy: Policy,
    params: Any,
    num_tasks: int,
    ablation: Ablation | None = None,
) -> Evaluation:
    """The evaluation at the end of a run, on tasks that training never met.

    Args:
        tasks: p(M).
        policy: the policy that was trained.
        params: the policy's.
        num_tasks: the least number of tasks.
        ablation: what is taken from the policy; see `metarl_jax.evaluation.ablations`.

    Raises:
        ConfigurationError: the mean is higher than what is possible.
    """
    tasks_key, actors_key = jax.random.split(jax.random.key(META_TEST_SEED))
    evaluator = make_evaluator(tasks, policy, tasks_key, num_tasks, ablation=ablation)
    return evaluator(params, jax.random.fold_in(actors_key, 0))
