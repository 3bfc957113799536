"""Random tabular MDPs: ten states, five actions, transitions and mean rewards hidden.

Reference:
    Duan, Schulman, Chen, Bartlett, Sutskever, Abbeel (2016), "RL²: Fast Reinforcement Learning via
    Slow Reinforcement Learning", section 3.2; after Osband, Russo, Van Roy (2013).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from metarl_envs.agents.tabular import PRIOR_MEAN_REWARD, tabular_references
from metarl_jax.checks import check_whole_number
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.types import Array, Key


class TabularTask(struct.PyTreeNode):
    """What is hidden: the MDP."""

    transitions: Array  # [S, A, S] float32, P(s' | s, a)
    rewards: Array  # [S, A] float32, means


class TabularState(struct.PyTreeNode):
    """Where the agent is."""

    state: Array  # [] int32


class TabularMDP(environment.Environment[Any, Any]):
    """Episodes begin in state 0; a step pays N(r̄(s, a), 1) and leads to s' ~ P(· | s, a).

    The observation is the state, one-hot.
    """

    def __init__(self, num_states: int, num_actions: int) -> None:
        self.shape = (num_states, num_actions)

    def reset_env(self, key: Key, task: TabularTask) -> tuple[Array, TabularState]:
        """Returns (observation [S] float32, state 0); draws nothing."""
        del key, task
        state = TabularState(jnp.zeros((), jnp.int32))
        return self._observe(state), state

    def step_env(
        self, key: Key, state: TabularState, action: Array, task: TabularTask
    ) -> tuple[Array, TabularState, Array, Array, dict[str, Array]]:
        """Pays, then moves."""
        reward_key, move_key = jax.random.split(key)
        reward = task.rewards[state.state, action] + jax.random.normal(reward_key, (), jnp.float32)
        cumulative = jnp.cumsum(task.transitions[state.state, action])
        # Of the sum that rounding left: no state is drawn beyond the last.
        drawn = jax.random.uniform(move_key, (), jnp.float32) * cumulative[-1]
        state = TabularState(jnp.sum(drawn >= cumulative[:-1], dtype=jnp.int32))
        return self._observe(state), state, reward, jnp.zeros((), bool), {}

    def action_space(self, task: TabularTask) -> spaces.Discrete:
        """Actions without names."""
        del task
        return spaces.Discrete(self.shape[1])

    def observation_space(self, task: TabularTask) -> spaces.Box:
        """The state, one-hot."""
        del task
        return spaces.Box(0.0, 1.0, self.shape[:1], jnp.float32)

    def _observe(self, state: TabularState) -> Array:
        return jax.nn.one_hot(state.state, self.shape[0], dtype=jnp.float32)


def tabular_mdp(
    *, num_states: int = 10, num_actions: int = 5, episode_length: int = 10, num_episodes: int = 10
) -> TaskDistribution:
    """MDPs with P(· | s, a) ~ Dirichlet(1, …, 1) and rewards N(r̄, 1), r̄(s, a) ~ N(1, 1).

    Args:
        num_states: S.
        num_actions: A.
        episode_length: H, steps in an episode.
        num_episodes: episodes in a meta-episode.

    Returns:
        The task distribution. What it tells the contextual policy is the whole MDP, [S·A·(S + 1)].

    Raises:
        ConfigurationError: a count below its least.
    """
    check_whole_number("tabular_mdp", "num_states", num_states, at_least=2)
    check_whole_number("tabular_mdp", "num_actions", num_actions, at_least=2)
    check_whole_number("tabular_mdp", "episode_length", episode_length, at_least=1)
    check_whole_number("tabular_mdp", "num_episodes", num_episodes, at_least=1)
    shape = (num_states, num_actions)

    def sample(key: Key) -> TabularTask:
        transition_key, reward_key = jax.random.split(key)
        # A flat Dirichlet is exponential variables over their sum.
        weights = jax.random.exponential(transition_key, (*shape, num_states), jnp.float32)
        rewards = PRIOR_MEAN_REWARD + jax.random.normal(reward_key, shape, jnp.float32)
        return TabularTask(weights / jnp.sum(weights, axis=-1, keepdims=True), rewards)

    def describe(task: TabularTask) -> Array:
        return jnp.concatenate([task.transitions.ravel(), task.rewards.ravel()])

    return TaskDistribution(
        name="tabular_mdp",
        environment=TabularMDP(num_states, num_actions),
        sample=sample,
        describe=describe,
        episode_length=episode_length,
        num_episodes=num_episodes,
        ends_early=False,
        references=functools.cache(
            lambda: tabular_references(num_states, num_actions, episode_length, num_episodes)
        ),
    )
