"""Craftax, and its classic version: each task is one world.

Reference:
    Matthews et al. (2024), "Craftax: A Lightning-Fast Benchmark for Open-Ended Reinforcement
    Learning".
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from metarl_envs.adapters.suite import EPISODE_LENGTH, NUM_EPISODES, family_of, import_suite
from metarl_envs.adapters.worlds import Worlds, worlds
from metarl_jax.checks import suggestion
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.spaces import Box, Discrete
from metarl_jax.types import Array, ConfigurationError, Key, PyTree

NAMES = (
    "Craftax-Classic-Symbolic-v1",
    "Craftax-Classic-Pixels-v1",
    "Craftax-Symbolic-v1",
    "Craftax-Pixels-v1",
)


def _adapted(environment: Any) -> Worlds:
    parameters = environment.default_params

    def generate(key: Key) -> tuple[PyTree, PyTree]:
        return environment.reset_env(key, parameters)

    def advance(key: Key, state: PyTree, action: PyTree) -> tuple[PyTree, PyTree, Array, Array]:
        return environment.step_env(key, state, action, parameters)[:4]

    observation = Box(-np.inf, np.inf, environment.observation_space(parameters).shape)
    action = Discrete(int(environment.action_space(parameters).n))
    return Worlds(generate, advance, observation, action)


def from_craftax(
    environment: str = "Craftax-Classic-Symbolic-v1",
    *,
    episode_length: int = EPISODE_LENGTH,
    num_episodes: int = NUM_EPISODES,
) -> TaskDistribution:
    """A task distribution over the worlds of Craftax; every episode of a task begins in its world.

    What lives there moves as it likes: the world is the task, and chance is not. Craftax's own
    limit of 10,000 steps or more is not reached.

    Args:
        environment: its name.
        episode_length: H, steps of an episode.
        num_episodes: E, episodes of a meta-episode.

    Raises:
        ConfigurationError: craftax is not installed, or has no such environment.
    """
    if environment not in NAMES:
        hint = suggestion(environment, NAMES, f"{', '.join(NAMES)}.")
        raise ConfigurationError(f"expected an environment of craftax, got {environment!r}; {hint}")
    make = import_suite("craftax.craftax_env", "craftax").make_craftax_env_from_name
    made = _adapted(make(environment, auto_reset=False))
    return worlds(environment, made, episode_length=episode_length, num_episodes=num_episodes)


def craftax_family(name: str) -> Callable[..., TaskDistribution]:
    """The task family of `craftax:NAME`.

    Args:
        name: of an environment.
    """
    return family_of(from_craftax, name)
