"""Any task distribution seen through a random linear map: p(M) from a single environment.

Reference:
    Lu, Schroecker, Gu, Parisotto, Foerster, Singh, Behbahani (2023), "Structured State Space Models
    for In-Context Reinforcement Learning", section 5.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from metarl_envs.adapters.wrapped import Wrapped
from metarl_jax.tasks.actions import from_environment, to_environment
from metarl_jax.tasks.distribution import References, TaskDistribution
from metarl_jax.tasks.scene import Scene
from metarl_jax.tasks.spaces import (
    ACTION_MASK,
    Box,
    Discrete,
    Leaf,
    MultiDiscrete,
    Space,
    bounds_of,
    leaves_of,
    map_spaces,
    with_leaves,
)
from metarl_jax.trees import plain
from metarl_jax.types import Array, ConfigurationError, Key, PyTree, Task


class ProjectedTask(struct.PyTreeNode):
    """What is hidden: the task inside, and how it is seen and acted in."""

    inner: PyTree
    observation: PyTree  # by leaf of the observation: [D, d] float32, or None where it stays
    action: PyTree  # by leaf of the action: [n] int32, a permutation; or [A, A] float32, orthogonal


def random_projection(
    tasks: TaskDistribution, observation_size: int | None = None
) -> TaskDistribution:
    """Every task sees and acts through maps of its own, which are part of what is hidden.

    A vector x of the observation becomes W x, the entries of W [D, d] ~ N(0, 1/d). Discrete actions
    are permuted. An action of a box, scaled to [-1, 1], is rotated by a uniformly random orthogonal
    matrix and clipped.

    Args:
        tasks: p(M), whose observations are vectors of floats; other parts of a dict stay.
        observation_size: D of each vector; None: as many as it has.

    Returns:
        The task distribution; its contextual policy is told what that of `tasks` is, and the maps.

    Raises:
        ConfigurationError: the observation has no vector of floats, or the actions a mask.
    """
    spec = tasks.specification
    paths = [path for path, leaf in leaves_of(spec.observation) if _is_vector(leaf)]
    if not paths:
        raise ConfigurationError(
            f"{tasks.name}: expected a vector of floats in the observation to project, got "
            f"{spec.observation}."
        )
    if any(path.startswith(f"[{ACTION_MASK!r}]") for path, _ in leaves_of(spec.observation)):
        raise ConfigurationError(
            f"{tasks.name}: expected actions without a mask, got {ACTION_MASK}; it would tell how "
            "they are permuted."
        )

    def sample(key: Key) -> ProjectedTask:
        inner_key, observation_key, action_key = jax.random.split(key, 3)
        see = _for_each_leaf(spec.observation, observation_key, _projection(observation_size))
        act = _for_each_leaf(spec.action, action_key, _action_map)
        return ProjectedTask(tasks.sample(inner_key), see, act)

    def describe(task: ProjectedTask) -> Array:
        maps = [
            jnp.ravel(x).astype(jnp.float32)
            for x in jax.tree.leaves((task.observation, task.action))
        ]
        return jnp.concatenate([jnp.asarray(tasks.describe(task.inner), jnp.float32), *maps])

    scene = tasks.scene
    return dataclasses.replace(
        tasks,
        name=f"{tasks.name}, projected",
        environment=_Projected(tasks.environment, spec.observation, spec.action, observation_size),
        sample=sample,
        describe=describe,
        all_tasks=None,
        splits={},
        references=References,
        measures=(),
        scene=None if scene is None else _scene_of(scene),
    )


class _Projected(Wrapped):
    def __init__(
        self, environment: Any, observation: Space, action: Space, size: int | None
    ) -> None:
        super().__init__(environment)
        self.observation, self.action, self.size = observation, action, size

    def reset_env(self, key: Key, task: ProjectedTask) -> tuple[PyTree, PyTree]:
        observation, state = self.environment.reset_env(key, task.inner)
        return self._seen(observation, task), state

    def step_env(self, key: Key, state: PyTree, action: PyTree, task: ProjectedTask) -> Any:
        done = to_environment(
            self.action,
            map_spaces(_acted, self.action, from_environment(self.action, action), task.action),
        )
        observation, *rest = self.environment.step_env(key, state, done, task.inner)
        return (self._seen(observation, task), *rest)

    def action_space(self, task: Task) -> Space:
        del task
        return self.action

    def observation_space(self, task: Task) -> Space:
        del task
        return with_leaves(self._projected, self.observation)

    def _projected(self, leaf: Leaf) -> Leaf:
        return Box(-np.inf, np.inf, (self.size or leaf.shape[0],)) if _is_vector(leaf) else leaf

    def _seen(self, observation: PyTree, task: ProjectedTask) -> PyTree:
        def see(leaf: Leaf, x: Array, matrix: Array | None) -> Array:
            return x if matrix is None else matrix @ jnp.asarray(x, jnp.float32)

        return map_spaces(see, self.observation, plain(observation), task.observation)


def _is_vector(leaf: Leaf) -> bool:
    return isinstance(leaf, Box) and leaf.dtype == "float32" and len(leaf.shape) == 1


def _projection(size: int | None) -> Callable[[Leaf, Key], Array | None]:
    def draw(leaf: Leaf, key: Key) -> Array | None:
        if not _is_vector(leaf):
            return None
        (inside,) = leaf.shape
        return jax.random.normal(key, (size or inside, inside), jnp.float32) / math.sqrt(inside)

    return draw


def _action_map(leaf: Leaf, key: Key) -> Array:
    if isinstance(leaf, Discrete):
        return jax.random.permutation(key, leaf.n)
    if isinstance(leaf, MultiDiscrete):
        keys = jax.random.split(key, len(leaf.n))
        return jnp.concatenate(
            [jax.random.permutation(k, n) for k, n in zip(keys, leaf.n, strict=True)]
        )
    return jax.random.orthogonal(key, math.prod(leaf.shape), dtype=jnp.float32)


def _acted(leaf: Leaf, action: Array, by: Array) -> Array:
    """The action inside, in a policy's units."""
    if isinstance(leaf, Discrete):
        return by[action]
    if isinstance(leaf, MultiDiscrete):
        starts = np.concatenate([[0], np.cumsum(leaf.n)[:-1]]).astype(np.int32)
        return by[starts + action]
    low, high = (x.reshape(-1) for x in bounds_of(leaf))
    bounded = np.isfinite(low) & np.isfinite(high)
    return jnp.clip(by @ action, np.where(bounded, -1, low), np.where(bounded, 1, high))


def _for_each_leaf(space: Space, key: Key, draw: Callable[[Leaf, Key], Any]) -> PyTree:
    keys = iter(jax.random.split(key, len(list(leaves_of(space)))))
    return map_spaces(lambda leaf: draw(leaf, next(keys)), space)


def _scene_of(scene: Callable[[Task, PyTree], Scene]) -> Callable[[Task, PyTree], Scene]:
    return lambda task, states: scene(task.inner, states)
