"""XLand-MiniGrid: a room full of objects, whose goal and production rules are the hidden task.

Reference:
    Nikulin et al. (2023), "XLand-MiniGrid: Scalable Meta-Reinforcement Learning Environments in
    JAX".
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from metarl_envs.adapters.ruleset_files import load_rulesets
from metarl_envs.adapters.rulesets import Ruleset, is_held_out, sample_of_split
from metarl_envs.adapters.suite import (
    EPISODE_LENGTH,
    NUM_EPISODES,
    family_of,
    flat_vector,
    import_suite,
)
from metarl_jax.checks import check_whole_number, suggestion
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.spaces import Box, Dict, Discrete, Space
from metarl_jax.types import Array, ConfigurationError, Key, PyTree, Task

DEEPEST = 2


class _XLand:
    """The environment; a ruleset takes the place of that of its parameters."""

    def __init__(self, environment: Any, parameters: Any, ruleset: Any) -> None:
        self.environment, self.parameters, self.ruleset = environment, parameters, ruleset
        shape = environment.observation_shape(parameters)
        constants = import_suite("xminigrid.core.constants", "xminigrid")
        largest = (constants.NUM_TILES - 1, constants.NUM_COLORS - 1) * (shape[0] * shape[1])
        self.observation = Dict(
            {"direction": Discrete(4), "view": Box(0.0, largest, shape, "uint8")}  # type: ignore
        )

    def reset_env(self, key: Key, task: Ruleset) -> tuple[PyTree, PyTree]:
        """Begins an episode with the objects in new places."""
        timestep = self.environment.reset(self._with(task), key)
        return _observed(timestep), timestep

    def step_env(self, key: Key, state: Any, action: Array, task: Ruleset) -> Any:
        """Makes one step; reaching the goal ends the episode and pays 1 - 0.9 t / H."""
        del key
        after = self.environment.step(self._with(task), state, action)
        return _observed(after), after, after.reward, after.discount == 0, {}

    def action_space(self, task: Task) -> Space:
        """Forward, turn right, turn left, pick up, put down, toggle."""
        del task
        return Discrete(self.environment.num_actions(self.parameters))

    def observation_space(self, task: Task) -> Space:
        """Shape and colour of each tile in view, and the direction the agent faces."""
        del task
        return self.observation

    def _with(self, task: Ruleset) -> Any:
        own = self.ruleset(goal=task.goal, rules=task.rules, init_tiles=task.init_tiles)
        return self.parameters.replace(ruleset=own)


def from_xminigrid(
    environment: str = "XLand-MiniGrid-R1-9x9",
    *,
    depth: int = 0,
    num_distractors: int = 3,
    benchmark: str = "",
    episode_length: int = EPISODE_LENGTH,
    num_episodes: int = NUM_EPISODES,
) -> TaskDistribution:
    """A task distribution over the rulesets of XLand-MiniGrid.

    A tenth of them, by their hash, is never drawn: it is the split `held_out`, whose rulesets no
    training has seen.

    Args:
        environment: name of a map, such as "XLand-MiniGrid-R1-9x9" or "XLand-MiniGrid-R4-13x13".
        depth: of the production rules: 0 for none, at most 2.
        num_distractors: objects that neither the goal nor a rule needs.
        benchmark: a published file of rulesets, to be drawn from instead; "" for none.
        episode_length: H, steps of an episode.
        num_episodes: E, episodes of a meta-episode.

    Raises:
        ConfigurationError: xminigrid is not installed, has no such map, or an argument is out of
            its range.
    """
    check_whole_number("from_xminigrid", "depth", depth, at_least=0, at_most=DEEPEST)
    check_whole_number("from_xminigrid", "num_distractors", num_distractors, at_least=0, at_most=40)
    made, parameters = make_xminigrid(environment)
    ruleset = import_suite("xminigrid.types", "xminigrid").RuleSet
    parameters = parameters.replace(max_steps=episode_length)
    if benchmark:
        draw = _draw_from(load_rulesets(benchmark))
    else:
        draw = partial(sample_of_split, depth=depth, num_distractors=num_distractors)
    return TaskDistribution(
        name=environment,
        environment=_XLand(made, parameters, ruleset),
        sample=partial(draw, held_out=False),
        splits={"held_out": partial(draw, held_out=True)},
        describe=flat_vector,
        episode_length=episode_length,
        num_episodes=num_episodes,
        ends_early=True,
    )


def make_xminigrid(name: str) -> tuple[Any, Any]:
    """The environment that xminigrid registered by this name, and its parameters.

    Raises:
        ConfigurationError: xminigrid is not installed, or has no such environment.
    """
    xminigrid = import_suite("xminigrid", "xminigrid")
    known = [n for n in xminigrid.registered_environments() if n.startswith("XLand")]
    if name not in known:
        hint = suggestion(name, known, f"{', '.join(known)}.")
        raise ConfigurationError(f"expected a map of xminigrid, got {name!r}; {hint}")
    return xminigrid.make(name)


def xminigrid_family(name: str) -> Callable[..., TaskDistribution]:
    """The task family of `xminigrid:NAME`.

    Args:
        name: of a map.

    Raises:
        ConfigurationError: there is none of that name.
    """
    make_xminigrid(name)
    return family_of(from_xminigrid, name)


def _draw_from(rulesets: Ruleset) -> Callable[..., Ruleset]:
    """Draws from one side of a benchmark, which is split by the same hash."""
    held = np.asarray(jax.vmap(is_held_out)(rulesets))

    def draw(key: Key, *, held_out: bool) -> Ruleset:
        at = jax.random.choice(key, np.flatnonzero(held == held_out))
        return jax.tree.map(lambda x: x[at], rulesets)

    return draw


def _observed(timestep: Any) -> dict[str, Array]:
    return {"direction": timestep.state.agent.direction, "view": timestep.observation}
