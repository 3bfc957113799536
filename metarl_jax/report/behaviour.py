"""A few meta-test meta-episodes, cut into episodes, as scenes to draw."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.evaluation import meta_test_tasks
from metarl_jax.meta_episode import MetaEpisode
from metarl_jax.policy import Policy
from metarl_jax.rollout import Rollout, collect, episode_returns, start, task_keys
from metarl_jax.scene import Scene
from metarl_jax.sharding import Devices
from metarl_jax.tasks import TaskDistribution
from metarl_jax.types import Array, ConfigurationError, Key, PyTree, Task

CANDIDATES = 64
"""Tasks drawn, of which a few are shown that lie apart."""


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """What a policy did in some tasks.

    Attributes:
        family: the tasks' name.
        scenes: of N tasks, each a scene for every one of its E episodes.
        returns: [N, E] float32, undiscounted.
    """

    family: str
    scenes: tuple[tuple[Scene, ...], ...]
    returns: np.ndarray


def collect_behaviour(
    tasks: TaskDistribution,
    policy: Policy,
    params: Any,
    key: Key,
    *,
    num_tasks: int = 6,
    greedy: bool = False,
) -> Behaviour:
    """Runs a policy through one meta-episode in each of a few meta-test tasks.

    The tasks are chosen by their description alone, before anything is run: where that is one
    number, evenly along its range.

    Args:
        tasks: p(M), with a `scene`.
        policy: the actor.
        params: its parameters.
        key: of the draws.
        num_tasks: N, at least 1.
        greedy: the most probable action instead of a sample.

    Raises:
        ConfigurationError: the family draws no scenes, or N is less than 1.
    """
    draw = tasks.scene
    if draw is None:
        raise ConfigurationError(
            f"{tasks.name} has no scene to draw: expected TaskDistribution.scene to be a function "
            "(task, states) -> Scene, got None; give it one, or leave the picture out."
        )
    if num_tasks < 1:
        raise ConfigurationError(
            f"a picture of behaviour needs at least 1 task, got {num_tasks}; six are usual."
        )
    tasks_key, actors_key = jax.random.split(key)
    shown = _tasks_apart(tasks, tasks_key, num_tasks)
    meta_episode = MetaEpisode(tasks, policy.contextual)

    @jax.jit
    def run(params: Any, shown: Task, key: Key) -> Rollout:
        actors = start(policy, meta_episode, shown, task_keys(key, num_tasks))
        return collect(policy, params, meta_episode, actors, greedy=greedy)[1]

    rollout = run(Devices().place(params), shown, actors_key)
    before, after = as_numpy((rollout.outcome.state, rollout.outcome.next_state))
    episode = np.asarray(rollout.outcome.episode)  # [T, N]; E or more after the end

    def scene(task: int, number: int) -> Scene:
        states = episode_states(before, after, episode[:, task] == number, task)
        return draw(as_numpy(_row(shown, task)), states)

    scenes = tuple(
        tuple(scene(task, number) for number in range(tasks.num_episodes))
        for task in range(num_tasks)
    )
    returns = np.asarray(episode_returns(rollout, tasks.num_episodes))
    return Behaviour(tasks.name, scenes, returns)


def episode_states(before: PyTree, after: PyTree, steps: np.ndarray, task: int) -> PyTree:
    """The states an episode of h steps went through, its first to its last.

    Args:
        before: states before every step, leaves [T, N, ...].
        after: states after every step and before any reset, alike.
        steps: [T] bool, the episode's h >= 1 steps.
        task: index of the task, of N.

    Returns:
        States with leaves [h + 1, ...].
    """
    index = np.flatnonzero(steps)

    def join(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return np.concatenate([before[index, task], after[index[-1:], task]])

    return jax.tree.map(join, before, after)


def _tasks_apart(tasks: TaskDistribution, key: Key, num_tasks: int) -> Task:
    """[N] meta-test tasks, evenly spaced among candidates, sorted where one number tells them."""
    candidates = meta_test_tasks(tasks, key, max(CANDIDATES, num_tasks))
    context = np.asarray(jax.vmap(tasks.describe)(candidates))  # [M, C]
    order = np.arange(len(context))
    if context.shape[1] == 1:
        order = np.argsort(context[:, 0], kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, num_tasks).round().astype(int)]
    return _row(candidates, jnp.asarray(chosen))


def _row(tree: PyTree, index: int | Array) -> PyTree:
    return jax.tree.map(lambda x: x[index], tree)


def as_numpy(tree: PyTree) -> PyTree:
    """Every leaf as a numpy array; a typed key as the words it holds, for numpy has no keys."""

    def convert(x: Array) -> np.ndarray:
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(x) if is_key else x)

    return jax.tree.map(convert, tree)
