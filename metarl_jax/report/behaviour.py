"""A few meta-test meta-episodes, cut into episodes, as scenes to draw."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from metarl_jax.parallel.sharding import DataParallel
from metarl_jax.policy.policy import Policy
from metarl_jax.rollout import Rollout, collect, episode_returns, start, task_keys
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.meta_episode import MetaEpisode
from metarl_jax.tasks.scene import Scene
from metarl_jax.trees import take, without_key
from metarl_jax.types import ConfigurationError, Key, PyTree, Task


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


@dataclasses.dataclass(frozen=True)
class Recording:
    """What a policy did in N tasks, step by step, as numpy arrays.

    Attributes:
        tasks: [N, ...] the tasks.
        before: [T, N, ...] states before every step.
        after: alike, after it and before any reset.
        episode: [T, N] int32 the episode of each step; E or more after the end.
        actions: [T, N] or [T, N, A].
        rewards: [T, N] float32.
        returns: [N, E] float32, undiscounted.
    """

    tasks: Task
    before: PyTree
    after: PyTree
    episode: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    returns: np.ndarray


def record(
    tasks: TaskDistribution,
    policy: Policy,
    params: Any,
    shown: Task,
    key: Key,
    *,
    greedy: bool = False,
) -> Recording:
    """Runs a policy through one meta-episode in each of some tasks.

    Args:
        tasks: p(M).
        policy: the actor.
        params: its parameters.
        shown: [N] tasks.
        key: of the meta-episodes.
        greedy: the most probable action instead of a sample.
    """
    meta_episode = MetaEpisode(tasks, policy.contextual)
    num_tasks = jax.tree.leaves(shown)[0].shape[0]

    @jax.jit
    def run(params: Any, shown: Task, key: Key) -> Rollout:
        actors = start(policy, meta_episode, shown, task_keys(key, num_tasks))
        return collect(policy, params, meta_episode, actors, greedy=greedy)[1]

    rollout = run(DataParallel().replicate(params), shown, key)
    outcome = rollout.outcome
    return Recording(
        *as_numpy((shown, outcome.state, outcome.next_state, outcome.episode)),
        *as_numpy((rollout.action, outcome.reward)),
        returns=np.asarray(episode_returns(rollout, tasks.num_episodes)),
    )


def scenes_of(tasks: TaskDistribution, recording: Recording, task: int) -> tuple[Scene, ...]:
    """A scene for every one of the E episodes of a recorded task.

    Raises:
        ConfigurationError: the family draws no scenes.
    """
    if tasks.scene is None:
        raise ConfigurationError(
            f"{tasks.name} has no scene to draw: expected TaskDistribution.scene to be a function "
            "(task, states) -> Scene, got None; give it one, or leave the picture out."
        )
    draw = tasks.scene
    shown = take(recording.tasks, task)

    def scene(number: int) -> Scene:
        steps = recording.episode[:, task] == number
        return draw(shown, episode_states(recording.before, recording.after, steps, task))

    return tuple(map(scene, range(tasks.num_episodes)))


def behaviour_of(
    tasks: TaskDistribution, recording: Recording, shown: Sequence[int] | np.ndarray
) -> Behaviour:
    """Some of the recorded tasks, by their numbers, as scenes.

    Raises:
        ConfigurationError: the family draws no scenes.
    """
    scenes = tuple(scenes_of(tasks, recording, int(task)) for task in shown)
    return Behaviour(tasks.name, scenes, recording.returns[np.asarray(shown)])


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


def spread_out(tasks: TaskDistribution, candidates: Task, num_tasks: int) -> np.ndarray:
    """Numbers [N] of tasks among M candidates, evenly spaced, in order where one number tells them.

    Args:
        tasks: p(M).
        candidates: [M, ...] tasks.
        num_tasks: N.
    """
    context = np.asarray(jax.vmap(tasks.describe)(candidates))  # [M, C]
    order = np.arange(len(context))
    if context.shape[1] == 1:
        order = np.argsort(context[:, 0], kind="stable")
    return order[np.linspace(0, len(order) - 1, num_tasks).round().astype(int)]


def as_numpy(tree: PyTree) -> PyTree:
    """Every leaf as a numpy array; a typed key as the words it holds, for numpy has no keys."""
    return jax.tree.map(lambda x: np.asarray(without_key(x)), tree)
