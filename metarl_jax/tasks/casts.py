"""What an environment gives in one form and the framework reads in another, for `metarl check`."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from metarl_jax.tasks.spaces import Space, dtype_of, leaves_of
from metarl_jax.trees import leaves_by_path, plain
from metarl_jax.types import PyTree

_KINDS = (jnp.bool_, jnp.integer, jnp.floating)


def describe_casts(space: Space, task: PyTree, reset: PyTree, stepped: PyTree) -> tuple[str, ...]:
    """A line for each cast that `metarl_jax.tasks.binding` makes.

    Args:
        space: of observations as the policy reads them.
        task: shapes of what `sample` returns.
        reset: of what `reset_env` returns.
        stepped: of what `step_env` returns.
    """
    observation, state = reset
    _, after, reward, terminated, _ = stepped
    lines = [*_weak("task", task), *_weak("state", state), *_observed(space, observation)]
    before = leaves_by_path(state)
    for path, leaf in leaves_by_path(after).items():
        if leaf.dtype != before[path].dtype:
            lines.append(f"state{_at(path)}: {leaf.dtype} of step_env as {before[path].dtype}")
    lines += _scalar("reward", reward, "float32") + _scalar("terminated", terminated, "bool")
    return tuple(lines)


def same_kind(dtype: Any, other: Any) -> bool:
    """Whether numbers of one dtype are those of the other in another width."""
    if jnp.issubdtype(dtype, jax.dtypes.extended) or jnp.issubdtype(other, jax.dtypes.extended):
        return dtype == other
    return any(jnp.issubdtype(dtype, kind) and jnp.issubdtype(other, kind) for kind in _KINDS)


def _observed(space: Space, observation: PyTree) -> Iterator[str]:
    read = dict(leaves_of(space))
    for path, leaf in leaves_by_path(plain(observation)).items():
        read_as = dtype_of(read[path])
        if str(leaf.dtype) != read_as:
            yield f"observation{_at(path)}: {leaf.dtype} as {read_as}"


def _weak(name: str, tree: PyTree) -> Iterator[str]:
    for path, leaf in leaves_by_path(tree).items():
        if getattr(leaf, "weak_type", False):
            yield f"{name}{_at(path)}: a Python number as {leaf.dtype}"


def _scalar(name: str, leaf: Any, dtype: str) -> list[str]:
    given = str(leaf.dtype) + (str(list(leaf.shape)) if leaf.shape else "")
    return [f"{name}: {given} as {dtype}"] if given != dtype else []


def _at(path: str) -> str:
    return path if not path or path.startswith("[") else f".{path}"
