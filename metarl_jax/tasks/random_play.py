"""What a few tasks give under random actions, held to what is declared of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.tasks.distribution import BoxSpace, TaskDistribution, is_discrete
from metarl_jax.types import ConfigurationError, Key, PyTree

NUM_TASKS = 4
NUM_STEPS = 100
"""At most; an episode's worth where that is less."""


def random_action(tasks: TaskDistribution, task: PyTree, key: Key) -> jax.Array:
    """One of a task's actions, or a normal draw within their bounds."""
    space = tasks.environment.action_space(task)
    if is_discrete(space):
        return jax.random.randint(key, (), 0, space.n, jnp.int32)
    low, high = (jnp.asarray(bound, jnp.float32) for bound in (space.low, space.high))
    return jnp.clip(jax.random.normal(key, space.shape, jnp.float32), low, high)


def check_random_play(tasks: TaskDistribution, key: Key) -> None:
    """Acts at random in a few tasks, as one program; finds NaN, and what breaks a declaration.

    Raises:
        ConfigurationError: names the method, what was expected of it and what it gave.
    """
    environment = tasks.environment

    def run(key: Key) -> tuple[dict[str, PyTree], dict[str, PyTree]]:
        task_key, reset_key, step_key = jax.random.split(key, 3)
        task = tasks.sample(task_key)
        observation, state = environment.reset_env(reset_key, task)

        def step(state: PyTree, time: jax.Array) -> tuple[PyTree, PyTree]:
            action_key, dynamics_key = jax.random.split(jax.random.fold_in(step_key, time))
            action = random_action(tasks, task, action_key)
            observation, state, reward, ends, _ = environment.step_env(
                dynamics_key, state, action, task
            )
            return state, {"observation": observation, "reward": reward, "terminated": ends}

        times = jnp.arange(min(NUM_STEPS, tasks.episode_length), dtype=jnp.int32)
        _, stepped = jax.lax.scan(step, state, times)
        return _bounds_of(tasks, task), {
            "describe": {"description": tasks.describe(task)},
            "reset_env": {"observation": observation},
            "step_env": stepped,
        }

    compiled, keys = jax.jit(jax.vmap(run)), jax.random.split(key, NUM_TASKS)
    try:
        (bounds, seen), (_, again) = (
            jax.block_until_ready(compiled(jax.random.clone(keys))) for _ in range(2)
        )
    except Exception as error:  # of a callback, or of what cannot be batched
        raise ConfigurationError(
            f"{tasks.name}: expected an episode of random actions to run in {NUM_TASKS} tasks at "
            f"once, got {type(error).__name__}: {next(iter(str(error).splitlines()), '')} Mend "
            "what reset_env and step_env do under jax.vmap."
        ) from error
    _expect_repeated(tasks, seen, again)
    for method, (low, high) in bounds.items():
        _expect_ordered(tasks, method, np.asarray(low), np.asarray(high))
    _check_values(tasks, seen, bounds.get("observation_space"))


def _bounds_of(tasks: TaskDistribution, task: PyTree) -> dict[str, tuple[jax.Array, jax.Array]]:
    """(low, high) of each space of a task that is a box."""
    spaces = {
        "action_space": tasks.environment.action_space(task),
        "observation_space": tasks.environment.observation_space(task),
    }
    boxes = {
        method: space
        for method, space in spaces.items()
        if isinstance(space, BoxSpace) and not is_discrete(space)
    }
    return {
        method: (
            jnp.broadcast_to(jnp.asarray(box.low, jnp.float32), box.shape),
            jnp.broadcast_to(jnp.asarray(box.high, jnp.float32), box.shape),
        )
        for method, box in boxes.items()
    }


def _expect_ordered(
    tasks: TaskDistribution, method: str, low: np.ndarray, high: np.ndarray
) -> None:
    if not (low <= high).all():
        where = tuple(np.argwhere(~(low <= high))[0])
        raise ConfigurationError(
            f"{tasks.name}: expected a box from low to high from {method}, got low "
            f"{low[where]:g} and high {high[where]:g} at its number {where[-1]}; swap them."
        )


def _check_values(
    tasks: TaskDistribution, seen: dict[str, Any], bounds: tuple[Any, Any] | None
) -> None:
    """Holds what a few tasks gave to what is declared of them."""
    # What an environment does after an episode's end is its own affair.
    inside = np.cumsum(seen["step_env"].pop("terminated"), axis=1, dtype=int)
    if inside.any() and not tasks.ends_early:
        raise ConfigurationError(
            f"{tasks.name}: expected no episode to end before its {tasks.episode_length} steps, as "
            "ends_early=False says, got one that did; give the distribution ends_early=True."
        )
    before_end = np.pad(inside[:, :-1], ((0, 0), (1, 0))) == 0
    task, _ = np.nonzero(before_end)
    kept = {name: np.asarray(x)[before_end] for name, x in seen["step_env"].items()}
    rows = {"describe": (seen["describe"], None), "step_env": (kept, task)}
    rows["reset_env"] = (seen["reset_env"], np.arange(NUM_TASKS))
    for method, (values, _) in rows.items():
        _expect_finite(tasks, method, values)
    for method in ("reset_env", "step_env"):
        values, of_task = rows[method]
        if bounds is not None:
            low, high = (np.asarray(bound)[of_task] for bound in bounds)
            _expect_within(tasks, method, np.asarray(values["observation"]), low, high)


def _expect_repeated(tasks: TaskDistribution, seen: PyTree, again: PyTree) -> None:
    """The same keys bring the same numbers."""
    for method, values in seen.items():
        for name, value in values.items():
            other = np.asarray(again[method][name])
            if np.asarray(value).tobytes() != other.tobytes():
                raise ConfigurationError(
                    f"{tasks.name}: expected the same numbers from {method} for the same keys, "
                    f"got another {name} in a second run; a callback there draws on randomness or "
                    "on a state of its own: give it a seed made from the key."
                )


def _expect_finite(tasks: TaskDistribution, method: str, values: dict[str, Any]) -> None:
    for name, value in values.items():
        finite = np.isfinite(value).reshape(len(value), -1).all(axis=1)
        if not finite.all():
            raise ConfigurationError(
                f"{tasks.name}: expected finite numbers from {method}, got a {name} that is not "
                f"finite ({np.asarray(value)[np.argmin(finite)]!s:.80}) under random actions; mend "
                "the environment before training on it."
            )


def _expect_within(
    tasks: TaskDistribution, method: str, observation: np.ndarray, low: np.ndarray, high: np.ndarray
) -> None:
    """[N, O] each: every observation within the bounds of its own task."""
    inside = ((observation >= low) & (observation <= high)).all(axis=1)
    if not inside.all():
        first = np.argmin(inside)
        raise ConfigurationError(
            f"{tasks.name}: expected observations within observation_space "
            f"[{low[first].min():g}, {high[first].max():g}], got one outside it from {method}: "
            f"{observation[first]!s:.120}; widen the space or clip the observation."
        )
