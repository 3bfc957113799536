"""Suites whose tasks are worlds: each is generated from a key, and all its episodes begin there."""

import dataclasses
from collections.abc import Callable

from metarl_envs.adapters.suite import EPISODE_LENGTH, NUM_EPISODES, flat_vector, key_of, world_of
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.spaces import Space
from metarl_jax.types import Array, Key, PyTree, Task


@dataclasses.dataclass(frozen=True)
class Worlds:
    """An environment whose task is the key data of a world, [2] uint32.

    Attributes:
        generate: `key -> (first observation, state)` of a world.
        advance: `(key, state, action) -> (observation, state, reward, terminated)`.
        observation: space of the observations.
        action: space of the actions.
    """

    generate: Callable[[Key], tuple[PyTree, PyTree]]
    advance: Callable[[Key, PyTree, PyTree], tuple[PyTree, PyTree, Array, Array]]
    observation: Space
    action: Space

    def reset_env(self, key: Key, task: Array) -> tuple[PyTree, PyTree]:
        """Begins an episode, as every other of this world."""
        del key
        return self.generate(key_of(task))

    def step_env(
        self, key: Key, state: PyTree, action: PyTree, task: Array
    ) -> tuple[PyTree, PyTree, Array, Array, dict[str, Array]]:
        """Makes one step."""
        del task
        return (*self.advance(key, state, action), {})

    def action_space(self, task: Task) -> Space:
        """The actions."""
        del task
        return self.action

    def observation_space(self, task: Task) -> Space:
        """The observations."""
        del task
        return self.observation


def worlds(
    name: str,
    environment: Worlds,
    *,
    episode_length: int = EPISODE_LENGTH,
    num_episodes: int = NUM_EPISODES,
) -> TaskDistribution:
    """The task distribution over all worlds; the contextual policy is told the first observation.

    Args:
        name: of the family.
        environment: a suite's.
        episode_length: H, steps of an episode.
        num_episodes: E, episodes of a meta-episode.
    """
    return TaskDistribution(
        name=name,
        environment=environment,
        sample=world_of,
        describe=lambda task: flat_vector(environment.generate(key_of(task))[0]),
        episode_length=episode_length,
        num_episodes=num_episodes,
        ends_early=True,
    )
