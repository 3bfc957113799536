"""What a few tasks give under random actions, held to what is declared of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.tasks import binding
from metarl_jax.tasks.actions import executed, random_action
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.spaces import Leaf, bounds_of, map_spaces
from metarl_jax.trees import leaves_by_path, strong
from metarl_jax.types import ConfigurationError, Key, PyTree

NUM_TASKS = 4
NUM_STEPS = 100
"""At most; an episode's worth where that is less."""


def check_random_play(tasks: TaskDistribution, key: Key) -> None:
    """Acts at random in a few tasks, as one program; finds NaN, and what breaks a declaration.

    Raises:
        ConfigurationError: names the method, what was expected of it and what it gave.
    """
    space = tasks.specification.action

    def run(key: Key) -> dict[str, PyTree]:
        task_key, reset_key, step_key = jax.random.split(key, 3)
        task = strong(tasks.sample(task_key))
        first = binding.reset(tasks, reset_key, task)

        def step(carry: PyTree, time: jax.Array) -> tuple[PyTree, PyTree]:
            observation, state = carry
            action_key, dynamics_key = jax.random.split(jax.random.fold_in(step_key, time))
            action = executed(space, random_action(space, action_key, observation))
            observation, state, reward, ends = binding.step(
                tasks, dynamics_key, state, action, task
            )
            stepped = {"observation": observation, "reward": reward, "terminated": ends}
            return (observation, state), stepped

        times = jnp.arange(min(NUM_STEPS, tasks.episode_length), dtype=jnp.int32)
        _, stepped = jax.lax.scan(step, first, times)
        return {
            "describe": {"description": tasks.describe(task)},
            "reset_env": {"observation": first[0]},
            "step_env": stepped,
        }

    compiled, keys = jax.jit(jax.vmap(run)), jax.random.split(key, NUM_TASKS)
    try:
        seen, again = (jax.block_until_ready(compiled(jax.random.clone(keys))) for _ in range(2))
    except Exception as error:  # of a callback, or of what cannot be batched
        raise ConfigurationError(
            f"{tasks.name}: expected an episode of random actions to run in {NUM_TASKS} tasks at "
            f"once, got {type(error).__name__}: {next(iter(str(error).splitlines()), '')} Mend "
            "what reset_env and step_env do under jax.vmap."
        ) from error
    _expect_repeated(tasks, seen, again)
    _check_values(tasks, seen)


def _check_values(tasks: TaskDistribution, seen: dict[str, Any]) -> None:
    """Holds what a few tasks gave to what is declared of them."""
    # What an environment does after an episode's end is its own affair.
    inside = np.cumsum(seen["step_env"].pop("terminated"), axis=1, dtype=int)
    if inside.any() and not tasks.ends_early:
        raise ConfigurationError(
            f"{tasks.name}: expected no episode to end before its {tasks.episode_length} steps, as "
            "ends_early=False says, got one that did; give the distribution ends_early=True."
        )
    before_end = np.pad(inside[:, :-1], ((0, 0), (1, 0))) == 0
    kept = jax.tree.map(lambda x: np.asarray(x)[before_end], seen["step_env"])
    for method, values in {**seen, "step_env": kept}.items():
        for path, value in leaves_by_path(values).items():
            _expect_finite(tasks, method, path[2:].replace("']", "", 1), np.asarray(value))
    for method, values in (("reset_env", seen["reset_env"]), ("step_env", kept)):
        map_spaces(
            lambda leaf, value, method=method: _expect_within(tasks, method, leaf, value),
            tasks.specification.observation,
            values["observation"],
        )


def _expect_repeated(tasks: TaskDistribution, seen: PyTree, again: PyTree) -> None:
    """The same keys bring the same numbers."""
    for method, values in seen.items():
        for name, value in values.items():
            first, second = (
                [np.asarray(x).tobytes() for x in jax.tree.leaves(tree)]
                for tree in (value, again[method][name])
            )
            if first != second:
                raise ConfigurationError(
                    f"{tasks.name}: expected the same numbers from {method} for the same keys, "
                    f"got another {name} in a second run; a callback there draws on randomness or "
                    "on a state of its own: give it a seed made from the key."
                )


def _expect_finite(tasks: TaskDistribution, method: str, name: str, value: np.ndarray) -> None:
    finite = np.isfinite(value).reshape(len(value), -1).all(axis=1)
    if not finite.all():
        raise ConfigurationError(
            f"{tasks.name}: expected finite numbers from {method}, got a {name} that is not "
            f"finite ({value[np.argmin(finite)]!s:.80}) under random actions; mend the environment "
            "before training on it."
        )


def _expect_within(tasks: TaskDistribution, method: str, space: Leaf, seen: Any) -> None:
    """[N, ...]: every observation within the bounds that are declared."""
    low, high = bounds_of(space)
    observation = np.asarray(seen)
    # A declared float64 bound is that of a float32 observation.
    low, high = low.astype(np.float32), high.astype(np.float32)
    inside = (
        ((observation >= low) & (observation <= high)).reshape(len(observation), -1).all(axis=1)
    )
    if not inside.all():
        first = np.argmin(inside)
        raise ConfigurationError(
            f"{tasks.name}: expected observations within observation_space "
            f"[{low.min():g}, {high.max():g}], got one outside it from {method}: "
            f"{observation[first]!s:.120}; widen the space or clip the observation."
        )
