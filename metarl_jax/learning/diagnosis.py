"""What is not finite in an update that cannot be taken: in which tasks, and in which leaf."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.learning.train_state import Algorithm, TrainState
from metarl_jax.policy.normalization import floats_of
from metarl_jax.types import Array, PyTree

OF_ENVIRONMENT = ("observations", "rewards")
IN_TASKS = (*OF_ENVIRONMENT, "values", "log-probabilities")
"""What may be told of tasks; the policy's own only where the environment is not the cause."""
WEIGHTS = "params.weights"
NAMED = 5
"""Tasks that are named, of those where something is not finite."""


def nonfinite_by_task(values: PyTree, valid: Array) -> Array:
    """Whether any of a task's numbers is not finite on a valid step.

    Args:
        values: [T, B, ...], an array or a pytree of arrays.
        valid: [T, B].

    Returns:
        [B] bool.
    """
    finite = jnp.ones(valid.shape, bool)
    for x in jax.tree.leaves(floats_of(values)):
        finite &= jnp.isfinite(x).reshape(*valid.shape, -1).all(axis=-1)
    return jnp.any(~finite & valid, axis=0)


def explain(algorithm: Algorithm, state: TrainState) -> str:
    """What is not finite in a state's next update, for a person; "" where all is, or nothing told.

    Args:
        algorithm: whose `find_nonfinite` is asked.
        state: the last good one.
    """
    asked = state.replace(key=jax.random.clone(state.key))  # the update itself comes later
    found: dict[str, Any] = jax.tree.map(np.asarray, jax.jit(algorithm.find_nonfinite)(asked))
    tasks = [name for name in IN_TASKS if name in found and found[name].any()]
    causes = [name for name in tasks if name in OF_ENVIRONMENT] or tasks
    parts = [f"{name} of {_listed(found[name])}" for name in causes]
    leaves = [name for name, bad in found.items() if name not in IN_TASKS and bad]
    if leaves:
        first = min(leaves, key=lambda name: (not name.startswith(WEIGHTS), name))
        parts.append(f"the learner after it, {len(leaves)} of its leaves, such as {first}")
    return f"not finite in the next update: {'; '.join(parts)}" if parts else ""


def _listed(nonfinite: np.ndarray) -> str:
    tasks = np.flatnonzero(nonfinite)
    named = ", ".join(map(str, tasks[:NAMED]))
    more = ", …" if tasks.size > NAMED else ""
    return f"{tasks.size} ({named}{more}) of {nonfinite.size} tasks"
