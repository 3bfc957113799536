"""Bodies of the MuJoCo Playground, their constants hidden, or a goal of one's own.

Reference:
    Zakka et al. (2025), "MuJoCo Playground".
"""

from collections.abc import Callable, Mapping
from typing import Any

from metarl_envs.adapters.bodies import Reward, bodies
from metarl_envs.adapters.physics_scales import SCALES
from metarl_envs.adapters.suite import EPISODE_LENGTH, NUM_EPISODES, family_of, import_suite
from metarl_envs.adapters.vary import Values
from metarl_jax.checks import suggestion
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.types import Array, ConfigurationError, Key, PyTree


def from_playground(
    environment: Any,
    *,
    vary: Mapping[str, Values] | None = None,
    sample: Callable[[Key], PyTree] | None = None,
    describe: Callable[[PyTree], Array] | None = None,
    reward: Reward | None = None,
    episode_length: int = EPISODE_LENGTH,
    num_episodes: int = NUM_EPISODES,
) -> TaskDistribution:
    """A task distribution over the constants of a body of the playground, or over goals.

    Args:
        environment: its name, such as "CheetahRun", or an environment. By name it computes with
            jax, not with warp.
        vary: gravity, mass, friction, strength or damping -> range (low, high) or list of factors.
        sample: `key -> goal`, what the reward is told.
        describe: `goal -> [C]`, what the contextual policy is told; by default all its numbers.
        reward: `(state, action, next_state, goal) -> []`, in place of the playground's.
        episode_length: H, steps of an episode.
        num_episodes: E, episodes of a meta-episode.

    Raises:
        ConfigurationError: playground is not installed, or has no such environment.
    """
    named = isinstance(environment, str)
    return bodies(
        environment if named else type(environment).__name__,
        make_playground(environment) if named else environment,
        "_mjx_model",
        vary=vary,
        sample=sample,
        describe=describe,
        reward=reward,
        episode_length=episode_length,
        num_episodes=num_episodes,
    )


def make_playground(name: str) -> Any:
    """The environment of this name, computed with jax.

    Raises:
        ConfigurationError: playground is not installed, has no such environment, or needs a
            download for it.
    """
    registry = import_suite("mujoco_playground", "playground").registry
    if name not in registry.ALL_ENVS:
        hint = suggestion(name, registry.ALL_ENVS, f"{', '.join(registry.ALL_ENVS)}.")
        raise ConfigurationError(f"expected an environment of playground, got {name!r}; {hint}")
    try:
        return registry.load(name, config_overrides={"impl": "jax"})
    except Exception as error:  # the models of robots are downloaded
        raise ConfigurationError(
            f"expected the playground to make {name!r}, got {type(error).__name__}: {error}"
        ) from error


def playground_family(name: str) -> Callable[..., TaskDistribution]:
    """The task family of `playground:NAME`.

    Args:
        name: of an environment.
    """
    return family_of(from_playground, name, SCALES)
