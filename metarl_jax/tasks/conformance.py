"""Whether a task distribution keeps the laws the framework relies on; found out before compiling.

Tracing finds wrong structures, shapes and dtypes at once; a few real steps find NaN.
"""

from typing import Any

import jax

from metarl_jax.tasks import binding
from metarl_jax.tasks.actions import random_action, to_environment
from metarl_jax.tasks.casts import describe_casts, same_kind
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.meta_episode import MetaEpisode
from metarl_jax.tasks.purity import impurity
from metarl_jax.tasks.random_play import NUM_TASKS, check_random_play
from metarl_jax.tasks.specification import observed_dtype, read_specification
from metarl_jax.trees import leaves_by_path, structure
from metarl_jax.types import ConfigurationError, Key, PyTree


def check_task_distribution(tasks: TaskDistribution) -> tuple[str, ...]:
    """Raises where a task distribution could not be trained on.

    Args:
        tasks: the family to check. Its sampler, its reset and its step are traced twice, and run
            twice in four tasks, for an episode of random actions or the first 100 steps of it.

    Returns:
        What is cast where the environment is bound, a line each; none of it is an error.

    Raises:
        ConfigurationError: names the method, the leaf, what was expected and what was given.
    """
    key = jax.random.key(0)
    task = _shapes(tasks, "sample(key)", tasks.sample, key)
    _expect_same(
        tasks, "sample(key), called again,", task, _shapes(tasks, "sample", tasks.sample, key)
    )
    _expect_pure(tasks, "sample(key)", tasks.sample, key)
    reset = _shapes(tasks, "reset_env(key, task)", tasks.environment.reset_env, key, task)
    if not isinstance(reset, tuple) or len(reset) != 2:
        raise ConfigurationError(
            f"{tasks.name}: reset_env must return (observation, state), as gymnax 1.x's does, got "
            f"{type(reset).__name__}."
        )
    _expect_pure(tasks, "reset_env(key, task)", tasks.environment.reset_env, key, task)
    _check_spaces(tasks)
    space = tasks.specification.action
    action = jax.eval_shape(lambda: to_environment(space, random_action(space, key)))
    step_env = tasks.environment.step_env
    method = "step_env(key, state, action, task)"
    bound = _shapes(tasks, "reset_env(key, task)", lambda *a: binding.reset(tasks, *a), key, task)
    stepped = _shapes(tasks, method, step_env, key, bound[1], action, task)
    _check_step(tasks, reset, stepped)
    _expect_pure(tasks, method, step_env, key, bound[1], action, task)
    check_random_play(tasks, key)
    _check_meta_episode(tasks, key)
    return describe_casts(tasks.specification.observation, task, reset, stepped)


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
    """Same structure, and for each leaf the same shape and the same kind of numbers."""
    before, after = leaves_by_path(expected), leaves_by_path(got)
    if before.keys() != after.keys():
        raise ConfigurationError(
            f"{tasks.name}: {what} returns another structure: expected leaves {sorted(before)}, "
            f"got {sorted(after)}; return the same pytree each time."
        )
    forms = structure(expected), structure(got)
    for path, leaf in before.items():
        if leaf.shape != after[path].shape or not same_kind(leaf.dtype, after[path].dtype):
            raise ConfigurationError(
                f"{tasks.name}: {what} changes leaf {path}: expected {forms[0][path]}, got "
                f"{forms[1][path]}; keep shape and dtype fixed."
            )


def _check_spaces(tasks: TaskDistribution) -> None:
    """Compares the spaces of a few tasks: a policy is built for one pair of spaces."""
    expected = tasks.specification
    for seed in range(1, NUM_TASKS):
        found = read_specification(
            tasks.name, tasks.environment, tasks.sample, tasks.describe, seed
        )
        for method in ("observation", "action"):
            before, after = getattr(expected, method), getattr(found, method)
            if before != after:
                raise ConfigurationError(
                    f"{tasks.name}: expected {method}_space(task) to be the same in every task, "
                    f"got {before} in one and {after} in another; give all of them the widest."
                )


def _check_step(tasks: TaskDistribution, reset: Any, stepped: Any) -> None:
    first, state = reset
    if not isinstance(stepped, tuple) or len(stepped) != 5:
        raise ConfigurationError(
            f"{tasks.name}: step_env must return (observation, state, reward, terminated, info), "
            f"as gymnax 1.x's does, got {len(jax.tree.leaves(stepped))} values."
        )
    observation, next_state, reward, terminated, _ = stepped
    _expect_same(tasks, "step_env", {"observation": first}, {"observation": observation})
    _expect_same(tasks, "step_env", {"state": state}, {"state": next_state})
    for name, value in {"reward": reward, "terminated": terminated}.items():
        shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
        if shape not in ((), (1,)) or observed_dtype(dtype) is None:
            got = type(value).__name__ if shape is None else f"{dtype}{list(shape)}"
            raise ConfigurationError(
                f"{tasks.name}: expected step_env to return {name} as one number, got {got}; "
                "return an array of shape []."
            )


def _check_meta_episode(tasks: TaskDistribution, key: Key) -> None:
    """Traces two steps as training makes them, of a policy that is told the task."""
    meta_episode = MetaEpisode(tasks, contextual=True)

    def play(key: Key) -> PyTree:
        task_key, reset_key, action_key = jax.random.split(key, 3)
        task = tasks.sample(task_key)
        state = meta_episode.reset(reset_key, task)
        action = random_action(tasks.specification.action, action_key)
        return jax.lax.scan(lambda state, _: meta_episode.step(state, action), state, None, 2)

    _shapes(tasks, "a meta-episode", play, key)
