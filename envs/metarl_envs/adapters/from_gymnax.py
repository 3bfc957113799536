"""Environments of gymnax, their parameters or what their reset draws hidden from the agent.

Reference:
    Lange (2022), "gymnax: A JAX-based Reinforcement Learning Environment Library".
"""

from collections.abc import Callable, Mapping
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
from flax import struct

from metarl_envs.adapters.suite import (
    EPISODE_LENGTH,
    NUM_EPISODES,
    family_of,
    flat_vector,
    key_of,
    unbounded,
    world_of,
)
from metarl_envs.adapters.vary import Values, parameter_values, vary_parameters
from metarl_jax.checks import suggestion
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.types import Array, ConfigurationError, Key, PyTree, Task

DERIVED: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "CartPole-v1": {
        "total_mass": lambda p: p.masscart + p.masspole,
        "polemass_length": lambda p: p.masspole * p.length,
    },
}
"""Parameters that gymnax computes once from others, and which have to follow them."""
TIME_LIMIT = "max_steps_in_episode"
"""The parameter that `step_env` does not read."""


class GymnaxTask(struct.PyTreeNode):
    """What is hidden."""

    parameters: PyTree  # the environment's EnvParams
    world: Array  # key data of the reset that all episodes begin with; [0] where each draws its own


class _Gymnax:
    """A gymnax environment as the framework calls it; its spaces are those of its own parameters.

    The bounds of gymnax's observations are left out: its environments exceed some of them.
    """

    def __init__(self, environment: Any, parameters: Any, same_reset: bool) -> None:
        self.environment, self.parameters, self.same_reset = environment, parameters, same_reset

    def reset_env(self, key: Key, task: GymnaxTask) -> tuple[PyTree, PyTree]:
        """Begins an episode."""
        key = key_of(task.world) if self.same_reset else key
        return self.environment.reset_env(key, task.parameters)

    def step_env(
        self, key: Key, state: PyTree, action: PyTree, task: GymnaxTask
    ) -> tuple[PyTree, PyTree, Array, Array, Any]:
        """Makes one step; gymnax's time limit is not part of it."""
        return self.environment.step_env(key, state, action, task.parameters)

    def action_space(self, task: Task) -> Any:
        """The actions under the environment's own parameters."""
        del task
        return self.environment.action_space(self.parameters)

    def observation_space(self, task: Task) -> Any:
        """The observations under the environment's own parameters."""
        del task
        return unbounded(self.environment.observation_space(self.parameters))


def from_gymnax(
    environment: Any,
    *,
    vary: Mapping[str, Values] | None = None,
    sample: Callable[[Key], Any] | None = None,
    describe: Callable[[Any], Array] | None = None,
    same_reset: bool = False,
    episode_length: int = EPISODE_LENGTH,
    num_episodes: int = NUM_EPISODES,
) -> TaskDistribution:
    """A task distribution over the parameters of a gymnax environment.

    Args:
        environment: its registered name, such as "CartPole-v1", or an environment.
        vary: hidden parameter -> (low, high) to draw from uniformly, or a list of values.
        sample: `key -> EnvParams`, in place of `vary`.
        describe: `EnvParams -> [C]`, what the contextual policy is told; by default the varied
            parameters, scaled to [-1, 1].
        same_reset: begins every episode of a task with the same reset, so that what gymnax draws
            there, such as a goal, is part of the task.
        episode_length: H, steps of an episode.
        num_episodes: E, episodes of a meta-episode.

    Raises:
        ConfigurationError: there is no such environment or parameter.

    Example:
        >>> tasks = from_gymnax("CartPole-v1", vary={"gravity": (5, 15), "length": (0.3, 1.0)})
        >>> tasks.max_steps
        400
    """
    if vary and sample:
        raise ConfigurationError("expected vary or sample, got both; give one of them.")
    made = make_gymnax(environment) if isinstance(environment, str) else environment
    name = environment if isinstance(environment, str) else made.name
    parameters = made.default_params
    varied = vary_parameters(
        name, parameters, vary or {}, fixed=(TIME_LIMIT, *DERIVED.get(name, {}))
    )
    draw = sample or varied.sample
    if describe is None:
        describe = varied.describe if sample is None else flat_vector

    def sample_task(key: Key) -> GymnaxTask:
        parameters_key, world_key = jax.random.split(key)
        world = world_of(world_key) if same_reset else jnp.zeros((0,), jnp.uint32)
        drawn = draw(parameters_key)
        derived = {field: of(drawn) for field, of in DERIVED.get(name, {}).items()}
        return GymnaxTask(drawn.replace(**derived), world)

    told = describe
    return TaskDistribution(
        name=name,
        environment=_Gymnax(made, parameters, same_reset),
        sample=sample_task,
        describe=lambda task: told(task.parameters),
        episode_length=episode_length,
        num_episodes=num_episodes,
        ends_early=True,
    )


def gymnax_family(name: str) -> Callable[..., TaskDistribution]:
    """The task family of `gymnax:NAME`.

    Args:
        name: of a registered environment.

    Raises:
        ConfigurationError: there is none of that name.
    """
    values = parameter_values(make_gymnax(name).default_params)
    fixed = (TIME_LIMIT, *DERIVED.get(name, {}))
    return family_of(from_gymnax, name, {n: x for n, x in values.items() if n not in fixed})


def make_gymnax(name: str) -> Any:
    """The environment that gymnax registered by this name.

    Raises:
        ConfigurationError: there is none, or it cannot be made here.
    """
    if name not in gymnax.registered_envs:
        hint = suggestion(name, gymnax.registered_envs, f"{', '.join(gymnax.registered_envs)}.")
        raise ConfigurationError(f"expected an environment of gymnax, got {name!r}; {hint}")
    try:
        return gymnax.make(name)[0]
    except Exception as error:  # one needs a download
        raise ConfigurationError(
            f"expected gymnax to make {name!r}, got {type(error).__name__}: {error}; it may need a "
            "download."
        ) from error
