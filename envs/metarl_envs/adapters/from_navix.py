"""Environments of navix, which are MiniGrid's: each task is one layout.

Reference:
    Pignatelli et al. (2024), "NAVIX: Scaling MiniGrid Environments with JAX".
"""

from collections.abc import Callable
from typing import Any

from metarl_envs.adapters.suite import EPISODE_LENGTH, NUM_EPISODES, family_of, import_suite
from metarl_envs.adapters.worlds import Worlds, worlds
from metarl_jax.checks import suggestion
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.spaces import Box, Discrete
from metarl_jax.types import Array, ConfigurationError, Key, PyTree

NO_LIMIT = 10**9
LARGEST_CODE = 15
"""No entity, colour or state of MiniGrid has a larger number."""


def _adapted(environment: Any, terminated: Any) -> Worlds:
    def generate(key: Key) -> tuple[PyTree, PyTree]:
        timestep = environment.reset(key)
        return timestep.observation, timestep

    def advance(key: Key, state: Any, action: PyTree) -> tuple[PyTree, PyTree, Array, Array]:
        del key
        after = environment._step(state, action)  # `step` would begin the next episode itself
        return after.observation, after, after.reward, after.step_type == terminated

    observation = Box(0, LARGEST_CODE, environment.observation_space.shape, "uint8")
    return Worlds(generate, advance, observation, Discrete(len(environment.action_set)))


def from_navix(
    environment: str,
    *,
    episode_length: int = EPISODE_LENGTH,
    num_episodes: int = NUM_EPISODES,
) -> TaskDistribution:
    """A task distribution over the layouts of an environment of navix, seen in first person.

    Args:
        environment: its registered name, such as "Navix-DoorKey-5x5-v0".
        episode_length: H, steps of an episode; navix's own limit is switched off.
        num_episodes: E, episodes of a meta-episode.

    Raises:
        ConfigurationError: navix is not installed, or has no such environment.
    """
    navix = import_suite("navix", "navix")
    known = list(navix.registry())
    if environment not in known:
        hint = suggestion(environment, known, f"{', '.join(known)}.")
        raise ConfigurationError(f"expected an environment of navix, got {environment!r}; {hint}")
    observe = navix.observations.symbolic_first_person
    made = navix.make(environment, observation_fn=observe, max_steps=NO_LIMIT)
    ended = navix.environments.environment.StepType.TERMINATION
    return worlds(
        environment, _adapted(made, ended), episode_length=episode_length, num_episodes=num_episodes
    )


def navix_family(name: str) -> Callable[..., TaskDistribution]:
    """The task family of `navix:NAME`.

    Args:
        name: of a registered environment.
    """
    return family_of(from_navix, name)
