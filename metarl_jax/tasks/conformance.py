"""Whether a task distribution keeps the laws the framework relies on; found out before compiling.

Tracing finds wrong structures, shapes and dtypes at once; a few real steps find NaN.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.tasks.distribution import BoxSpace, TaskDistribution, is_discrete, specification
from metarl_jax.tasks.purity import impurity
from metarl_jax.trees import first_difference, leaves_by_path, structure, take
from metarl_jax.types import ConfigurationError, Key, PyTree

NUM_TASKS = 4
NUM_STEPS = 100
"""At most; an episode's worth where that is less."""


def check_task_distribution(tasks: TaskDistribution) -> None:
    """Raises where a task distribution could not be trained on.

    Args:
        tasks: the family to check. Its sampler, its reset and its step are traced twice, and run
            twice in four tasks, for an episode of random actions or the first 100 steps of it.

    Raises:
        ConfigurationError: names the method, the leaf, what was expected and what was given.
    """
    key = jax.random.key(0)
    task = _shapes(tasks, "sample(key)", tasks.sample, key)
    _expect_same(
        tasks, "sample(key), called again,", task, _shapes(tasks, "sample", tasks.sample, key)
    )
    _expect_strong(tasks, "sample(key)", task)
    _expect_pure(tasks, "sample(key)", tasks.sample, key)
    observation, state = _shapes(
        tasks, "reset_env(key, task)", tasks.environment.reset_env, key, task
    )
    _expect_pure(tasks, "reset_env(key, task)", tasks.environment.reset_env, key, task)
    _shapes(tasks, "describe(task)", tasks.describe, task)
    specification(tasks)
    _check_observation_space(tasks, task, observation)
    action = jax.eval_shape(lambda task: _random_action(tasks, task, key), task)
    step_env = tasks.environment.step_env
    method = "step_env(key, state, action, task)"
    stepped = _shapes(tasks, method, step_env, key, state, action, task)
    _check_step(tasks, observation, state, stepped)
    _expect_pure(tasks, method, step_env, key, state, action, task)
    _check_numbers(tasks, key)


def _shapes(tasks: TaskDistribution, method: str, function: Any, *arguments: Any) -> Any:
    try:
        # A function of its own each time, or a second trace would be the first one out of a cache.
        return jax.eval_shape(lambda *arguments: function(*arguments), *arguments)
    except ConfigurationError:
        raise
    except Exception as error:  # whatever the family's own code raises
        raise ConfigurationError(
            f"{tasks.name}: expected {method} to be traceable by jax, got {type(error).__name__}: "
            f"{next(iter(str(error).splitlines()), '')} Write it with jax.numpy, free of Python "
            "control flow on arrays."
        ) from error


def _expect_pure(tasks: TaskDistribution, method: str, function: Any, *arguments: Any) -> None:
    if seen := impurity(function, arguments, tasks.environment):
        raise ConfigurationError(
            f"{tasks.name}: expected {method} to depend on its arguments alone, got one that "
            f"{seen}: Python runs once, when jax traces it, and what it does on the side is frozen "
            "there. Keep what changes in the state, and draw with jax.random from the key."
        )


def _expect_same(tasks: TaskDistribution, what: str, expected: PyTree, got: PyTree) -> None:
    """Same structure, and for each leaf the same shape and dtype."""
    before, after = structure(expected), structure(got)
    if before.keys() != after.keys():
        raise ConfigurationError(
            f"{tasks.name}: {what} returns another structure: expected leaves {sorted(before)}, "
            f"got {sorted(after)}; return the same pytree each time."
        )
    if different := first_difference(before, after):
        path, old, new = different
        raise ConfigurationError(
            f"{tasks.name}: {what} changes leaf {path}: expected {old}, got {new}; keep shape and "
            "dtype fixed."
        )


def _expect_strong(tasks: TaskDistribution, what: str, tree: PyTree) -> None:
    for name, leaf in leaves_by_path(tree).items():
        if getattr(leaf, "weak_type", False):
            raise ConfigurationError(
                f"{tasks.name}: expected {what} to give leaf {name} a dtype of its own, got a weak "
                "type, as a plain Python number has; make it an array of a stated dtype: "
                f"jnp.asarray(x, jnp.{leaf.dtype})."
            )


def _check_observation_space(tasks: TaskDistribution, task: PyTree, observation: Any) -> None:
    space = tasks.environment.observation_space(task)
    declared = tuple(getattr(space, "shape", observation.shape))
    if declared != tuple(observation.shape):
        raise ConfigurationError(
            f"{tasks.name}: expected an observation of shape {list(declared)}, as "
            f"observation_space declares, got {list(observation.shape)} from reset_env; make them "
            "agree."
        )
    if observation.dtype != jnp.float32:
        raise ConfigurationError(
            f"{tasks.name}: observations must be float32, got {observation.dtype}; cast them in "
            "reset_env and step_env."
        )


def _check_step(tasks: TaskDistribution, observation: Any, state: Any, stepped: Any) -> None:
    if not isinstance(stepped, tuple) or len(stepped) != 5:
        raise ConfigurationError(
            f"{tasks.name}: step_env must return (observation, state, reward, terminated, info), "
            f"as gymnax 1.x's does, got {len(jax.tree.leaves(stepped))} values."
        )
    next_observation, next_state, reward, terminated, _ = stepped
    _expect_same(tasks, "step_env", {"observation": observation}, {"observation": next_observation})
    _expect_same(tasks, "step_env", {"state": state}, {"state": next_state})
    expected = {
        "reward": jax.ShapeDtypeStruct((), jnp.float32),
        "terminated": jax.ShapeDtypeStruct((), jnp.bool_),
    }
    _expect_same(tasks, "step_env", expected, {"reward": reward, "terminated": terminated})
    _expect_strong(tasks, "step_env", {"observation": next_observation, "reward": reward})


def _check_numbers(tasks: TaskDistribution, key: Key) -> None:
    """Acts at random in a few tasks, as one program; finds NaN, and what breaks a declaration."""
    environment = tasks.environment

    def run(key: Key) -> tuple[PyTree, dict[str, PyTree]]:
        task_key, reset_key, step_key = jax.random.split(key, 3)
        task = tasks.sample(task_key)
        observation, state = environment.reset_env(reset_key, task)

        def step(state: PyTree, time: jax.Array) -> tuple[PyTree, PyTree]:
            action_key, dynamics_key = jax.random.split(jax.random.fold_in(step_key, time))
            action = _random_action(tasks, task, action_key)
            observation, state, reward, ends, _ = environment.step_env(
                dynamics_key, state, action, task
            )
            return state, {"observation": observation, "reward": reward, "terminated": ends}

        times = jnp.arange(min(NUM_STEPS, tasks.episode_length))
        _, stepped = jax.lax.scan(step, state, times)
        return task, {"reset_env": {"observation": observation}, "step_env": stepped}

    compiled, keys = jax.jit(jax.vmap(run)), jax.random.split(key, NUM_TASKS)
    try:
        (task, seen), (_, again) = (
            jax.block_until_ready(compiled(jax.random.clone(keys))) for _ in range(2)
        )
    except Exception as error:  # of a callback, or of what cannot be batched
        raise ConfigurationError(
            f"{tasks.name}: expected an episode of random actions to run in {NUM_TASKS} tasks at "
            f"once, got {type(error).__name__}: {next(iter(str(error).splitlines()), '')} Mend "
            "what reset_env and step_env do under jax.vmap."
        ) from error
    _expect_repeated(tasks, seen, again)
    space = environment.observation_space(take(task, 0))
    # What an environment does after an episode's end is its own affair.
    inside = np.cumsum(seen["step_env"].pop("terminated"), axis=1, dtype=int)
    if inside.any() and not tasks.ends_early:
        raise ConfigurationError(
            f"{tasks.name}: expected no episode to end before its {tasks.episode_length} steps, as "
            "ends_early=False says, got one that did; give the distribution ends_early=True."
        )
    before_end = np.pad(inside[:, :-1], ((0, 0), (1, 0))) == 0
    kept = {name: np.asarray(x)[before_end] for name, x in seen["step_env"].items()}
    _expect_numbers(tasks, "reset_env", seen["reset_env"], space)
    _expect_numbers(tasks, "step_env", kept, space)


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


def _expect_numbers(tasks: TaskDistribution, method: str, values: PyTree, space: Any) -> None:
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise ConfigurationError(
                f"{tasks.name}: expected finite numbers from {method}, got a {name} that is not "
                f"finite ({np.asarray(value)!s:.80}) under random actions; mend the environment "
                "before training on it."
            )
    if isinstance(space, BoxSpace) and not is_discrete(space):
        observation = np.asarray(values["observation"])
        low, high = np.asarray(space.low), np.asarray(space.high)
        if (observation < low).any() or (observation > high).any():
            raise ConfigurationError(
                f"{tasks.name}: expected observations within observation_space "
                f"[{low.min():g}, {high.max():g}], got one outside it from {method}: "
                f"{observation[0]!s:.120}; widen the space or clip the observation."
            )


def _random_action(tasks: TaskDistribution, task: PyTree, key: Key) -> jax.Array:
    space = tasks.environment.action_space(task)
    if is_discrete(space):
        return jax.random.randint(key, (), 0, space.n, jnp.int32)
    low, high = (jnp.asarray(bound, jnp.float32) for bound in (space.low, space.high))
    return jnp.clip(jax.random.normal(key, space.shape, jnp.float32), low, high)
