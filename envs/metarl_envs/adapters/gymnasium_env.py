"""Any task distribution as a gymnasium environment, so that other libraries can train on it.

    env = GymnasiumEnv(goal_grid())
    observation, _ = env.reset(seed=0)                        # draws a task
    observation, _ = env.reset()                              # the next episode of the same task
    observation, _ = env.reset(options={"new_task": True})    # draws another task

The steps are those of a `MetaEpisode`, jitted: an episode is truncated after `episode_length`
steps, and continuous actions are clipped to the action space.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from metarl_jax.checks import require_positive
from metarl_jax.tasks.actions import from_environment
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.meta_episode import MetaEpisode, MetaState
from metarl_jax.tasks.spaces import Dict, Discrete, MultiDiscrete, Space, Tuple
from metarl_jax.trees import select
from metarl_jax.types import Array, ConfigurationError, Key, PyTree, StepOutcome

NEW_TASK = "new_task"
ENDLESS = 2**30
"""Episodes in a task; the loop outside decides when the next task begins."""


class GymnasiumEnv(gymnasium.Env[Any, Any]):
    """One environment of a task distribution.

    The first `reset` draws a task, and so does one with a seed or with the option `new_task`; every
    other begins the next episode of the same task.

    Args:
        tasks: p(M).
        episodes_per_task: how many episodes until a reset draws a new task by itself, for loops
            that know no tasks; None: never.

    Raises:
        ConfigurationError: a space has a form that gymnasium has not, or a number is less than 1.
    """

    metadata = {"render_modes": []}

    def __init__(self, tasks: TaskDistribution, *, episodes_per_task: int | None = None) -> None:
        self._episodes_per_task = _checked(episodes_per_task)
        self.observation_space, self.action_space = spaces_of(tasks)
        steps = _Steps(tasks)
        self._begin, self._advance = jax.jit(steps.begin), jax.jit(steps.advance)
        self._next_episode = jax.jit(steps.meta_episode.next_episode)
        self._state: MetaState | None = None
        self._ended = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begins an episode; see the class for which task it is in."""
        super().reset(seed=seed)
        if _asks_for_task(seed, options) or self._state is None or self._is_over():
            state = self._begin(_draw_key(self.np_random))
        else:
            state = self._next_episode(self._state)
        self._state, self._ended = state, False
        return _as_numpy(state.experience.observation), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step of the episode."""
        if self._state is None or self._ended:
            raise gymnasium.error.ResetNeeded(
                "expected env.reset() before an episode's first step, got a step; call it after "
                "each step that returns terminated or truncated."
            )
        state, outcome = self._advance(self._state, action)
        terminated, truncated = bool(outcome.terminated), bool(outcome.truncated)
        self._state, self._ended = state, terminated or truncated
        observation = _as_numpy(state.experience.observation)
        return observation, float(outcome.reward), terminated, truncated, {}

    def _is_over(self) -> bool:
        """Whether this task has had its episodes."""
        if self._state is None or self._episodes_per_task is None:
            return False
        return int(self._state.episode) + 1 >= self._episodes_per_task


class GymnasiumVectorEnv(VectorEnv[Any, Any, np.ndarray]):
    """B environments side by side, each in a task of its own, stepped by one program.

    An episode's end is followed by a reset in the same step: `infos["final_obs"]` holds the
    observations that the ended episodes led to. `reset` draws new tasks as `GymnasiumEnv.reset`
    does.

    Args:
        tasks: p(M).
        num_envs: B.
        episodes_per_task: how many episodes until an environment is given a new task by itself;
            None: never.

    Raises:
        ConfigurationError: a space has a form that gymnasium has not, or a number is less than 1.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self, tasks: TaskDistribution, num_envs: int, *, episodes_per_task: int | None = None
    ) -> None:
        require_positive("num_envs", num_envs)
        self.num_envs, self._episodes_per_task = num_envs, _checked(episodes_per_task)
        self.single_observation_space, self.single_action_space = spaces_of(tasks)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        steps = _Steps(tasks)
        self._begin = jax.jit(lambda key: jax.vmap(steps.begin)(jax.random.split(key, num_envs)))
        self._step = jax.jit(jax.vmap(steps.step))
        self._next_episode = jax.jit(jax.vmap(steps.meta_episode.next_episode))
        self._exchange = jax.jit(_exchange)
        self._state: MetaState | None = None

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Begins an episode in every environment; see the class for which task it is in."""
        if isinstance(seed, list):
            raise ConfigurationError(
                "expected one seed for all environments, got a list; give the first of them."
            )
        super().reset(seed=seed)
        if _asks_for_task(seed, options) or self._state is None:
            state = self._begin(_draw_key(self.np_random))
        else:
            state = self._next_episode(self._state)
        self._state = state
        return _as_numpy(state.experience.observation), {}

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every episode; those that end are followed by their reset."""
        if self._state is None:
            raise gymnasium.error.ResetNeeded("expected envs.reset() before the first step.")
        state, outcome = self._step(self._state, actions)
        ended = np.asarray(outcome.episode_end)
        final = _as_numpy(state.experience.transition.final_observation)
        infos = {"final_obs": final, "_final_obs": ended} if ended.any() else {}
        self._state = state = self._with_new_tasks(state, ended)
        observation = _as_numpy(state.experience.observation)
        reward = np.asarray(outcome.reward).astype(np.float64)
        terminated, truncated = map(np.asarray, (outcome.terminated, outcome.truncated))
        return observation, reward, terminated, truncated, infos

    def _with_new_tasks(self, state: MetaState, ended: np.ndarray) -> MetaState:
        """A new task for those whose task has had its episodes."""
        if self._episodes_per_task is None or not ended.any():
            return state
        over = ended & (np.asarray(state.episode) >= self._episodes_per_task)
        return self._exchange(over, self._begin(_draw_key(self.np_random)), state)


class _Steps:
    """What both are made of: tasks that go on for as many episodes as the loop outside asks for."""

    def __init__(self, tasks: TaskDistribution) -> None:
        self.tasks = tasks
        self.meta_episode = MetaEpisode(dataclasses.replace(tasks, num_episodes=ENDLESS))

    def begin(self, key: Key) -> MetaState:
        """The first episode in a task drawn from p(M)."""
        task_key, episode_key = jax.random.split(key)
        return self.meta_episode.reset(episode_key, self.tasks.sample(task_key))

    def advance(self, state: MetaState, action: PyTree) -> tuple[MetaState, StepOutcome]:
        """`MetaEpisode.advance` for an action in the environment's units."""
        action = from_environment(self.tasks.specification.action, action)
        return self.meta_episode.advance(state, action)

    def step(self, state: MetaState, action: PyTree) -> tuple[MetaState, StepOutcome]:
        """`MetaEpisode.step` for an action in the environment's units."""
        action = from_environment(self.tasks.specification.action, action)
        return self.meta_episode.step(state, action)


def _exchange(over: Array, new: MetaState, old: MetaState) -> MetaState:
    """[B] the new states where `over` is true; keys by their data, which reads none of them."""
    by_data = [state.replace(key=jax.random.key_data(state.key)) for state in (new, old)]
    chosen = select(over, *by_data)
    return chosen.replace(key=jax.random.wrap_key_data(chosen.key))


def spaces_of(tasks: TaskDistribution) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
    """Gymnasium's spaces of the observations and the actions of a task distribution.

    Raises:
        ConfigurationError: a space has a form that no policy here can use.
    """
    spec = tasks.specification
    return _space(spec.observation), _space(spec.action)


def _space(space: Space) -> spaces.Space[Any]:
    if isinstance(space, Dict):
        return spaces.Dict({name: _space(part) for name, part in space.spaces})
    if isinstance(space, Tuple):
        return spaces.Tuple([_space(part) for part in space.spaces])
    if isinstance(space, Discrete):
        return spaces.Discrete(space.n, start=space.start)
    if isinstance(space, MultiDiscrete):
        n, start = (np.reshape(values, space.shape) for values in (space.n, space.start))
        return spaces.MultiDiscrete(n, start=start)
    low, high = (bound.astype(space.dtype) for bound in space.bounds())
    return spaces.Box(low, high, space.shape, np.dtype(space.dtype).type)


def _asks_for_task(seed: int | None, options: Mapping[str, Any] | None) -> bool:
    options = options or {}
    if unknown := options.keys() - {NEW_TASK}:
        raise ConfigurationError(
            f"expected the option {NEW_TASK!r} or none, got {', '.join(map(repr, unknown))}; write "
            f"reset(options={{{NEW_TASK!r}: True}})."
        )
    return seed is not None or bool(options.get(NEW_TASK))


def _checked(episodes_per_task: int | None) -> int | None:
    if episodes_per_task is not None:
        require_positive("episodes_per_task", episodes_per_task)
    return episodes_per_task


def _draw_key(generator: np.random.Generator) -> Key:
    return jax.random.key(generator.integers(2**32, dtype=np.uint32))


def _as_numpy(tree: PyTree) -> Any:
    return jax.tree.map(np.asarray, tree)
