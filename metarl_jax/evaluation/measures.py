"""A task family's own measures of a policy, taken on meta-test tasks."""

from typing import Any

import jax
import numpy as np

from metarl_jax.evaluation.evaluate import meta_test_tasks
from metarl_jax.parallel.sharding import REPLICATED, SPLIT, DataParallel
from metarl_jax.policy.policy import Policy
from metarl_jax.rollout import collect, start, task_keys
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.measures import Values
from metarl_jax.tasks.meta_episode import MetaEpisode
from metarl_jax.trees import take
from metarl_jax.types import Key, PyTree, Task

NUM_TASKS = 1024


def measure(
    tasks: TaskDistribution, policy: Policy, params: Any, key: Key, num_devices: int = 1
) -> Values:
    """Takes a family's measures on about 1,024 meta-test tasks.

    Args:
        tasks: p(M), with its `measures`.
        policy: the actor.
        params: its parameters.
        key: of the tasks and the actions.
        num_devices: the tasks are split over so many devices of all processes.

    Returns:
        Every measure's numbers by name; empty for a family without measures.
    """
    if not tasks.measures:
        return {}
    tasks_key, actors_key = jax.random.split(key)
    meta_test = meta_test_tasks(tasks, tasks_key, NUM_TASKS)
    num_tasks = jax.tree.leaves(meta_test)[0].shape[0]
    meta_episode = MetaEpisode(tasks, policy.contextual)
    devices = DataParallel(num_devices)
    filling = devices.padded_indices(num_tasks)

    def kept(params: Any, meta_test: Task, keys: Key) -> list[PyTree]:
        actors = start(policy, meta_episode, meta_test, keys)
        _, rollout, _ = collect(policy, params, meta_episode, actors)
        kept = [m.keep(meta_test, rollout.action, rollout.outcome) for m in tasks.measures]
        return devices.all_gather_tasks(kept, axis=1)

    run = jax.jit(devices.shard_map(kept, (REPLICATED, SPLIT, SPLIT)))
    keys = task_keys(actors_key, len(filling))
    played = run(devices.replicate(params), take(meta_test, filling), keys)
    arrays = jax.tree.map(lambda x: np.asarray(x)[:, :num_tasks], played)
    values: dict[str, list[float] | float] = {}
    for each, own in zip(tasks.measures, arrays, strict=True):
        values |= each.summarize(meta_test, own)
    return values
