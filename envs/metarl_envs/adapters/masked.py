"""Any task distribution with parts of its observation hidden: a POMDP of every environment."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from metarl_envs.adapters.wrapped import Wrapped
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.spaces import ACTION_MASK, Box, Dict, MultiDiscrete, Space, Tuple
from metarl_jax.trees import plain
from metarl_jax.types import ConfigurationError, Key, PyTree, Task

Keep = Sequence[int] | Sequence[str] | Mapping[Any, Any]
"""What stays: indices of a vector, names of a dict, or a mapping from names to what stays there."""


def masked(tasks: TaskDistribution, keep: Keep) -> TaskDistribution:
    """The same tasks, of whose observations only some parts are seen.

    Args:
        tasks: p(M).
        keep: for an observation that is an array, the indices along its last axis that stay; for a
            dict (or tuple) the names (or places) of the parts that stay, or a mapping from these to
            the indices or names that stay there. An action mask always stays.

    Raises:
        ConfigurationError: there is no such part, or nothing stays.

    Example:
        >>> from metarl_envs.adapters import from_gymnax
        >>> positions = masked(from_gymnax("CartPole-v1"), keep=(0, 2))  # no velocities
        >>> positions.specification.observation.shape
        (2,)
    """
    kept = _kept_space(tasks.name, tasks.specification.observation, keep, "")
    return dataclasses.replace(tasks, environment=_Masked(tasks.environment, kept, keep))


class _Masked(Wrapped):
    """Leaves out what is not kept; the dynamics are those of the environment inside."""

    def __init__(self, environment: Any, space: Space, keep: Keep) -> None:
        super().__init__(environment)
        self.space, self.keep = space, keep

    def reset_env(self, key: Key, task: Task) -> tuple[PyTree, PyTree]:
        observation, state = self.environment.reset_env(key, task)
        return _kept(plain(observation), self.keep), state

    def step_env(self, key: Key, state: PyTree, action: PyTree, task: Task) -> Any:
        observation, *rest = self.environment.step_env(key, state, action, task)
        return (_kept(plain(observation), self.keep), *rest)

    def observation_space(self, task: Task) -> Space:
        del task
        space = self.space
        if isinstance(space, Dict) and hasattr(self.environment, ACTION_MASK):
            parts = {name: part for name, part in space.spaces if name != ACTION_MASK}
            return Dict(tuple(parts.items()))
        return space


def _kept(observation: PyTree, keep: Any) -> PyTree:
    if not isinstance(observation, dict | tuple):
        return jnp.asarray(observation)[..., np.asarray(keep)]
    parts = _parts(keep, observation)
    return _like(observation, {n: _sub(observation[n], k) for n, k in parts.items()})


def _sub(part: PyTree, keep: Any) -> PyTree:
    return part if keep is None else _kept(part, keep)


def _parts(keep: Any, observation: Any) -> dict[Any, Any]:
    parts = dict(keep) if isinstance(keep, Mapping) else dict.fromkeys(keep)
    if isinstance(observation, dict) and ACTION_MASK in observation:
        parts.setdefault(ACTION_MASK, None)
    return parts


def _like(observation: PyTree, parts: dict[Any, Any]) -> PyTree:
    return parts if isinstance(observation, dict) else tuple(parts[i] for i in sorted(parts))


def _kept_space(name: str, space: Space, keep: Any, path: str) -> Space:
    if isinstance(space, Dict | Tuple):
        items = space.spaces if isinstance(space, Dict) else enumerate(space.spaces)
        inner: dict[Any, Space] = dict(items)
        parts = _parts(keep, inner)
        if unknown := [n for n in parts if n not in inner]:
            raise ConfigurationError(
                f"{name}: expected parts of the observation{path} among {list(inner)}, got "
                f"{unknown}; name those to keep."
            )
        _require_some(name, [n for n in parts if n != ACTION_MASK], path)
        spaces = {
            n: inner[n] if k is None else _kept_space(name, inner[n], k, f"{path}[{n!r}]")
            for n, k in parts.items()
        }
        if isinstance(space, Dict):
            return Dict(tuple(spaces.items()))
        return Tuple(tuple(spaces[i] for i in sorted(spaces)))
    return _kept_leaf(name, space, keep, path)


def _kept_leaf(name: str, space: Any, keep: Any, path: str) -> Space:
    size = space.shape[-1] if space.shape else 0
    _require_some(name, keep, path)
    if not all(isinstance(i, int | np.integer) and -size <= i < size for i in keep):
        raise ConfigurationError(
            f"{name}: expected indices below {size} along the last axis of the observation{path}, "
            f"whose shape is {list(space.shape)}, got {tuple(keep)}."
        )
    at = np.asarray(keep)
    if isinstance(space, MultiDiscrete):
        n, start = (np.reshape(x, space.shape)[..., at] for x in (space.n, space.start))
        flat = [tuple(x.reshape(-1).tolist()) for x in (n, start)]
        return MultiDiscrete(flat[0], flat[1], n.shape)
    low, high = (bound[..., at] for bound in space.bounds())
    flat = [tuple(x.reshape(-1).tolist()) for x in (low, high)]
    return Box(flat[0], flat[1], low.shape, space.dtype)


def _require_some(name: str, keep: Any, path: str) -> None:
    if not len(keep):
        raise ConfigurationError(
            f"{name}: expected at least one part of the observation{path} to stay, got none."
        )
