"""Whether a task distribution keeps the laws the framework relies on; found out before compiling.

Tracing finds wrong structures, shapes and dtypes at once; a few real steps find NaN.
"""

from typing import Any

import jax
import jax.numpy as jnp

from metarl_jax.tasks.distribution import TaskDistribution, space_of, specification
from metarl_jax.tasks.meta_episode import MetaEpisode
from metarl_jax.tasks.purity import impurity
from metarl_jax.tasks.random_play import check_random_play, random_action
from metarl_jax.trees import first_difference, leaves_by_path, structure
from metarl_jax.types import ConfigurationError, Key, PyTree


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
    reset = _shapes(tasks, "reset_env(key, task)", tasks.environment.reset_env, key, task)
    if not isinstance(reset, tuple) or len(reset) != 2:
        raise ConfigurationError(
            f"{tasks.name}: reset_env must return (observation, state), as gymnax 1.x's does, got "
            f"{type(reset).__name__}."
        )
    observation, state = reset
    _expect_pure(tasks, "reset_env(key, task)", tasks.environment.reset_env, key, task)
    _shapes(tasks, "describe(task)", tasks.describe, task)
    specification(tasks)
    _check_observation_space(tasks, task, observation)
    action = jax.eval_shape(lambda task: random_action(tasks, task, key), task)
    step_env = tasks.environment.step_env
    method = "step_env(key, state, action, task)"
    stepped = _shapes(tasks, method, step_env, key, state, action, task)
    _check_step(tasks, observation, state, stepped)
    _expect_pure(tasks, method, step_env, key, state, action, task)
    check_random_play(tasks, key)
    _check_meta_episode(tasks, key)


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
    space = space_of(tasks, "observation_space", task)
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


def _check_meta_episode(tasks: TaskDistribution, key: Key) -> None:
    """Traces two steps as training makes them, of a policy that is told the task."""
    meta_episode = MetaEpisode(tasks, contextual=True)

    def play(key: Key) -> PyTree:
        task_key, reset_key, action_key = jax.random.split(key, 3)
        task = tasks.sample(task_key)
        state = meta_episode.reset(reset_key, task)
        action = random_action(tasks, task, action_key)
        return jax.lax.scan(lambda state, _: meta_episode.step(state, action), state, None, 2)

    _shapes(tasks, "a meta-episode", play, key)
