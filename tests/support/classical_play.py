"""What classical agents earn, and their meta-episodes."""

import jax
import numpy as np

from metarl_jax.evaluation.evaluate import evaluate
from metarl_jax.rollout import Rollout, collect, start, task_keys
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.meta_episode import MetaEpisode


def earned(tasks: TaskDistribution, agent: str, num_tasks: int) -> tuple[float, float]:
    """A classical agent's mean total return, and its standard error."""
    policy = tasks.references().agents[agent]()
    params = policy.init(jax.random.key(0))
    result = evaluate(tasks, policy, params, jax.random.key(1), num_tasks)
    return result.total_return_mean, result.total_return_ci95 / 1.96


def played(tasks: TaskDistribution, agent: str, num_tasks: int) -> Rollout:
    """[T, B] of a classical agent's meta-episodes in fresh tasks."""
    policy = tasks.references().agents[agent]()
    params = policy.init(jax.random.key(0))
    drawn = jax.vmap(tasks.sample)(task_keys(jax.random.key(2), num_tasks))
    actors = start(policy, MetaEpisode(tasks), drawn, task_keys(jax.random.key(3), num_tasks))
    run = jax.jit(lambda actors: collect(policy, params, MetaEpisode(tasks), actors)[1])
    return jax.tree.map(np.asarray, run(actors))
