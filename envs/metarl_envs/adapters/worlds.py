"""Suites whose tasks are worlds: each is generated from a key, and all its episodes begin there."""

from typing import Any

from metarl_envs.adapters.suite import EPISODE_LENGTH, NUM_EPISODES, flat_vector, key_of, world_of
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.spaces import Space
from metarl_jax.types import Array, Key, PyTree, Task


class Worlds:
    """An environment whose task is the key data of a world, [2] uint32; a subclass is a suite's."""

    observation: Space
    action: Space

    def generate(self, key: Key) -> tuple[PyTree, PyTree]:
        """Returns (first observation, state) of a world."""
        raise NotImplementedError

    def step_env(self, key: Key, state: PyTree, action: PyTree, task: Array) -> Any:
        """Makes one step."""
        raise NotImplementedError

    def reset_env(self, key: Key, task: Array) -> tuple[PyTree, PyTree]:
        """Begins an episode, as every other of this world."""
        del key
        return self.generate(key_of(task))

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
    scene: Any = None,
) -> TaskDistribution:
    """The task distribution over all worlds; the contextual policy is told the first observation.

    Args:
        name: of the family.
        environment: a suite's.
        episode_length: H, steps of an episode.
        num_episodes: E, episodes of a meta-episode.
        scene: draws an episode.
    """
    return TaskDistribution(
        name=name,
        environment=environment,
        sample=world_of,
        describe=lambda task: flat_vector(environment.generate(key_of(task))[0]),
        episode_length=episode_length,
        num_episodes=num_episodes,
        ends_early=True,
        scene=scene,
    )
