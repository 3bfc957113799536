"""Where the framework meets an environment: what has one meaning is cast here, and only here.

| what the environment gives | what the framework reads |
|---|---|
| an observation of any pytree | dicts and tuples of the dtypes of `Specification.observation` |
| a reward of any real dtype, [] or [1] | float32 [] |
| `terminated` as a bool, or a number that is 0 or 1 | bool [] |
| Python numbers and weak types, anywhere | arrays with a dtype of their own |
| a state's leaf of another width of the same kind | the dtype that `reset_env` gave it |
| a mask of actions, beside the observation | the observation's part `action_mask` |

The actions of a bounded box are those of [-1, 1], scaled here to the box.
"""

from typing import Any

import jax
import jax.numpy as jnp

from metarl_jax.tasks.actions import to_environment
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.spaces import ACTION_MASK, OBSERVATION, dtype_of, map_spaces
from metarl_jax.trees import plain, strong
from metarl_jax.types import Array, Key, PyTree, Task


def reset(tasks: TaskDistribution, key: Key, task: Task) -> tuple[PyTree, PyTree]:
    """Calls `reset_env`.

    Args:
        tasks: whose environment is reset.
        key: of the reset.
        task: one task.

    Returns:
        The first observation as the policy reads it, and the environment's state.
    """
    observation, state = tasks.environment.reset_env(key, task)
    state = strong(state)
    return _observed(tasks, observation, state, task), state


def step(
    tasks: TaskDistribution, key: Key, state: PyTree, action: PyTree, task: Task
) -> tuple[PyTree, PyTree, Array, Array]:
    """Calls `step_env`.

    Args:
        tasks: whose environment is stepped.
        key: of the step.
        state: from `reset` or `step`.
        action: as `actions.executed` returns it, in the policy's units.
        task: one task.

    Returns:
        The observation as the policy reads it, the next state, the reward [] float32 and
        `terminated` [] bool.
    """
    action = to_environment(tasks.specification.action, action)
    observation, after, reward, terminated, _ = tasks.environment.step_env(key, state, action, task)
    after = jax.tree.map(_with_dtype_of, state, after)
    observation = _observed(tasks, observation, after, task)
    return observation, after, scalar(reward, jnp.float32), truth(terminated)


def scalar(value: Any, dtype: Any) -> Array:
    """A number [] of this dtype, from one of shape [] or [1]."""
    return jnp.asarray(value).reshape(()).astype(dtype)


def truth(value: Any) -> Array:
    """Whether a bool, or a number of shape [] or [1], is not 0."""
    return jnp.asarray(value).reshape(()).astype(jnp.bool_)


def _observed(tasks: TaskDistribution, observation: PyTree, state: PyTree, task: Task) -> PyTree:
    found = plain(observation)
    if mask := getattr(tasks.environment, ACTION_MASK, None):
        found = found if isinstance(found, dict) else {OBSERVATION: found}
        found = found | {ACTION_MASK: plain(mask(state, task))}
    return map_spaces(
        lambda leaf, x: jnp.asarray(x, dtype_of(leaf)), tasks.specification.observation, found
    )


def _with_dtype_of(before: Array, after: Any) -> Array:
    if jnp.issubdtype(before.dtype, jax.dtypes.extended):  # a typed key
        return after
    return jnp.asarray(after, before.dtype)
