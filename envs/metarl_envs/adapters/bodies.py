"""Suites of bodies in MuJoCo's physics: the task is their constants, or a goal of one's own."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from metarl_envs.adapters.physics_scales import SCALES, scaled_model
from metarl_envs.adapters.vary import Values, vary_parameters
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.spaces import Box, Dict, Space
from metarl_jax.trees import plain
from metarl_jax.types import Array, Key, PyTree, Task

Reward = Callable[[Any, Array, Any, PyTree], Array]
"""`(state, action, next_state, goal) -> []`, of the suite's own states."""


class BodyTask(struct.PyTreeNode):
    """What is hidden."""

    scales: dict[str, Array]  # a factor [] for each varied constant
    goal: PyTree  # what the reward of one's own reads; () without one


class _Body:
    """A body; for each task its environment is copied, and given the task's model.

    Args:
        environment: of brax or the playground.
        model: the name of the attribute that holds its model.
        reward: in place of the environment's.
    """

    def __init__(self, environment: Any, model: str, reward: Reward | None) -> None:
        self.environment, self.model, self.reward = environment, model, reward
        size = environment.action_size
        self.action = Box(-1.0, 1.0, (size,))
        self.observation = _unbounded(
            jax.eval_shape(lambda key: plain(environment.reset(key).obs), jax.random.key(0))
        )

    def reset_env(self, key: Key, task: BodyTask) -> tuple[PyTree, PyTree]:
        """Begins an episode in the suite's own random pose."""
        state = self._of(task).reset(key)
        return state.obs, state

    def step_env(self, key: Key, state: Any, action: Array, task: BodyTask) -> Any:
        """Makes one step, without the suite's time limit."""
        del key
        own = jax.tree.map(lambda x: x, state)  # the suites write into the dicts of a state
        after = self._of(task).step(own, action)
        reward = after.reward
        if self.reward is not None:
            reward = self.reward(state, action, after, task.goal)
        return after.obs, after, reward, after.done > 0, {}

    def action_space(self, task: Task) -> Space:
        """One number in [-1, 1] for each actuator."""
        del task
        return self.action

    def observation_space(self, task: Task) -> Space:
        """The suite's."""
        del task
        return self.observation

    def _of(self, task: BodyTask) -> Any:
        if not task.scales:
            return self.environment
        environment = copy.copy(self.environment)
        setattr(
            environment, self.model, scaled_model(getattr(environment, self.model), task.scales)
        )
        return environment


def bodies(
    name: str,
    environment: Any,
    model: str,
    *,
    vary: Mapping[str, Values] | None,
    sample: Callable[[Key], PyTree] | None,
    describe: Callable[[PyTree], Array] | None,
    reward: Reward | None,
    episode_length: int,
    num_episodes: int,
) -> TaskDistribution:
    """The task distribution of a body.

    Args:
        name: of the family.
        environment: of brax or the playground.
        model: the name of the attribute that holds its model.
        vary: constant of `SCALES` -> range or values of its factor.
        sample: `key -> goal`.
        describe: `goal -> [C]`; by default all its numbers.
        reward: reads the goal, in place of the environment's.
        episode_length: H, steps of an episode.
        num_episodes: E, episodes of a meta-episode.
    """
    asked = {field: values for field, values in (vary or {}).items() if values != ""}
    varied = vary_parameters(name, dict(SCALES), asked)

    def sample_task(key: Key) -> BodyTask:
        scales_key, goal_key = jax.random.split(key)
        scales = varied.sample(scales_key)
        goal = () if sample is None else sample(goal_key)
        return BodyTask({field: scales[field] for field in sorted(asked)}, goal)

    def describe_task(task: BodyTask) -> Array:
        told = [varied.describe(task.scales)] if asked or sample is None else []
        goals = [task.goal] if describe is None else [describe(task.goal)]
        told += [jnp.ravel(jnp.asarray(x, jnp.float32)) for x in jax.tree.leaves(goals)]
        return jnp.concatenate(told)

    return TaskDistribution(
        name=name,
        environment=_Body(environment, model, reward),
        sample=sample_task,
        describe=describe_task,
        episode_length=episode_length,
        num_episodes=num_episodes,
        ends_early=True,
    )


def _unbounded(shapes: PyTree) -> Space:
    if isinstance(shapes, dict):
        return Dict(tuple((name, _unbounded(part)) for name, part in shapes.items()))
    return Box(-np.inf, np.inf, shapes.shape)
