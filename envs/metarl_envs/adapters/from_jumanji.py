"""Environments of jumanji: each task is one instance of the problem.

Reference:
    Bonnet et al. (2024), "Jumanji: a Diverse Suite of Scalable Reinforcement Learning Environments
    in JAX".
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from metarl_envs.adapters.suite import EPISODE_LENGTH, NUM_EPISODES, family_of, import_suite
from metarl_envs.adapters.worlds import Worlds, worlds
from metarl_jax.checks import suggestion
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.spaces import Box, Dict, Discrete, MultiDiscrete, Space
from metarl_jax.types import Array, ConfigurationError, Key, PyTree

NO_LIMIT = 10**9


def _adapted(environment: Any) -> Worlds:
    if hasattr(environment, "time_limit"):
        environment.time_limit = NO_LIMIT

    def generate(key: Key) -> tuple[PyTree, PyTree]:
        state, timestep = environment.reset(key)
        return timestep.observation, state

    def advance(key: Key, state: PyTree, action: PyTree) -> tuple[PyTree, PyTree, Array, Array]:
        del key
        after, timestep = environment.step(state, action)
        return timestep.observation, after, timestep.reward, timestep.discount == 0

    spaces = space_of(environment.observation_spec), space_of(environment.action_spec)
    return Worlds(generate, advance, *spaces)


def from_jumanji(
    environment: Any,
    *,
    episode_length: int = EPISODE_LENGTH,
    num_episodes: int = NUM_EPISODES,
) -> TaskDistribution:
    """A task distribution over the instances that an environment of jumanji generates.

    Every episode of a task is the same instance. jumanji's time limit is switched off.

    Args:
        environment: its registered name, such as "Maze-v0", or an environment.
        episode_length: H, steps of an episode.
        num_episodes: E, episodes of a meta-episode.

    Raises:
        ConfigurationError: jumanji is not installed, or has no such environment.
    """
    named = isinstance(environment, str)
    made = make_jumanji(environment) if named else environment
    name = environment if named else type(environment).__name__
    return worlds(name, _adapted(made), episode_length=episode_length, num_episodes=num_episodes)


def make_jumanji(name: str) -> Any:
    """The environment that jumanji registered by this name.

    Raises:
        ConfigurationError: jumanji is not installed, or has no such environment.
    """
    jumanji = import_suite("jumanji", "jumanji")
    known = jumanji.registered_environments()
    if name not in known:
        hint = suggestion(name, known, f"{', '.join(known)}.")
        raise ConfigurationError(f"expected an environment of jumanji, got {name!r}; {hint}")
    try:
        return jumanji.make(name)
    except Exception as error:  # some need a download
        raise ConfigurationError(
            f"expected jumanji to make {name!r}, got {type(error).__name__}: {error}"
        ) from error


def jumanji_family(name: str) -> Callable[..., TaskDistribution]:
    """The task family of `jumanji:NAME`.

    Args:
        name: of a registered environment.

    Raises:
        ConfigurationError: there is none of that name.
    """
    make_jumanji(name)
    return family_of(from_jumanji, name)


def space_of(spec: Any) -> Space:
    """A space from a specification of jumanji."""
    if hasattr(spec, "num_values"):
        sizes = np.asarray(spec.num_values)
        if sizes.ndim:
            return MultiDiscrete(tuple(sizes.reshape(-1).tolist()), shape=sizes.shape)
        return Discrete(int(sizes))
    if getattr(spec, "_specs", None):
        return Dict(tuple((name, space_of(part)) for name, part in spec._specs.items()))
    dtype = np.dtype(spec.dtype).name
    low, high = getattr(spec, "minimum", -np.inf), getattr(spec, "maximum", np.inf)
    flat = [np.broadcast_to(np.asarray(x, float), spec.shape).reshape(-1) for x in (low, high)]
    return Box(tuple(flat[0].tolist()), tuple(flat[1].tolist()), spec.shape, dtype)
