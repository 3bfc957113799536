"""Actions: in the units of a policy, and in those of the environment.

| space | a policy's action | the environment's |
|---|---|---|
| `Discrete` | [] int32, from 0 | from `start` |
| `MultiDiscrete` | [K] int32, each from 0 | of the space's shape, from `start` |
| `Box`, element with two finite bounds | in [-1, 1] | low + (a + 1) (high - low) / 2 |
| `Box`, other element | the environment's | clipped to the bound it has |

A policy's action in a box is flat, [A] float32. That of a dict or tuple space is a dict or tuple
of such actions.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.tasks.spaces import (
    ACTION_MASK,
    Box,
    Dict,
    Discrete,
    Leaf,
    MultiDiscrete,
    Space,
    Tuple,
    leaves_of,
    map_spaces,
)
from metarl_jax.types import Array, ConfigurationError, Key, PyTree


def no_action(space: Space) -> PyTree:
    """Zeros in the shapes and dtypes of a policy's action."""

    def leaf(space: Leaf) -> Array:
        if isinstance(space, Box):
            return jnp.zeros((math.prod(space.shape),), jnp.float32)
        return jnp.zeros((len(space.n),) if isinstance(space, MultiDiscrete) else (), jnp.int32)

    return map_spaces(leaf, space)


def executed(space: Space, action: PyTree) -> PyTree:
    """The action that is carried out for a sampled one: that of a box within its bounds.

    Args:
        space: of the environment's actions.
        action: as the policy's distribution sampled it, without leading axes.

    Returns:
        The same tree in the policy's units.
    """

    def leaf(space: Leaf, action: Array) -> Array:
        if not isinstance(space, Box):
            return action
        low, high, _, _ = _units(space)
        return jnp.clip(action, low, high)

    return map_spaces(leaf, space, action)


def to_environment(space: Space, action: PyTree) -> PyTree:
    """An executed action in the units and shape of the environment.

    Args:
        space: of the environment's actions.
        action: of `executed`, without leading axes.
    """

    def leaf(space: Leaf, action: Any) -> Any:
        if isinstance(space, Discrete):
            return action + space.start
        if isinstance(space, MultiDiscrete):
            return (action + np.asarray(space.start, np.int32)).reshape(space.shape)
        _, _, center, half = _units(space)
        scaled = (center + half * action).reshape(space.shape)
        whole = np.issubdtype(space.dtype, np.integer)
        return (jnp.round(scaled) if whole else scaled).astype(space.dtype)

    return map_spaces(leaf, space, action)


def from_environment(space: Space, action: PyTree) -> PyTree:
    """The policy's action for one of the environment; undoes `to_environment`."""

    def leaf(space: Leaf, action: Any) -> Any:
        if isinstance(space, Discrete):
            return jnp.asarray(action, jnp.int32) - space.start
        if isinstance(space, MultiDiscrete):
            return jnp.asarray(action, jnp.int32).reshape(-1) - np.asarray(space.start, np.int32)
        _, _, center, half = _units(space)
        return (jnp.asarray(action, jnp.float32).reshape(-1) - center) / half

    return map_spaces(leaf, space, action)


def mask_of(observation: PyTree) -> PyTree | None:
    """The action mask of an observation; None if it has none."""
    return observation.get(ACTION_MASK) if isinstance(observation, dict) else None


def split_mask(space: Space, mask: PyTree) -> PyTree:
    """A mask in the structure of an action space.

    Args:
        space: of actions.
        mask: with any leading axes; a bool for each choice, for a `MultiDiscrete` one array of
            them all, or a tuple of one array a number. The mask of a dict or tuple space has a part
            for each part that has choices.

    Returns:
        A tree like an action's, whose leaves are [..., choices] bool, and None for boxes.

    Raises:
        ConfigurationError: the mask does not fit the space.
    """
    return _split(space, mask, "")


def choices(space: Leaf) -> int:
    """How many bools mask a leaf: 0 for a box."""
    if isinstance(space, Box):
        return 0
    return sum(space.n) if isinstance(space, MultiDiscrete) else space.n


def random_action(space: Space, key: Key, observation: PyTree = None) -> PyTree:
    """An action drawn at random among those that a mask allows, in the policy's units.

    Whole numbers are drawn uniformly; numbers of a box from a normal distribution, within bounds.

    Args:
        space: of actions.
        key: of the draw.
        observation: which may hold a mask; without leading axes.
    """
    mask = mask_of(observation)
    masks = _unmasked(space) if mask is None else split_mask(space, mask)
    keys = iter(jax.random.split(key, len(list(leaves_of(space)))))

    def leaf(space: Leaf, mask: Any) -> Array:
        key = next(keys)
        if isinstance(space, Box):
            return jax.random.normal(key, (math.prod(space.shape),), jnp.float32)
        scores = jax.random.gumbel(key, (choices(space),), jnp.float32)
        if mask is not None:
            scores = jnp.where(mask, scores, -jnp.inf)
        if isinstance(space, Discrete):
            return jnp.argmax(scores).astype(jnp.int32)
        ends = np.cumsum(space.n)[:-1].tolist()
        return jnp.stack([jnp.argmax(s).astype(jnp.int32) for s in jnp.split(scores, ends)])

    return executed(space, map_spaces(leaf, space, masks))


def _unmasked(space: Space) -> PyTree:
    return map_spaces(lambda leaf: None, space)


def _split(space: Space, mask: Any, path: str) -> PyTree:
    if isinstance(space, Dict | Tuple):
        parts = space.spaces if isinstance(space, Dict) else enumerate(space.spaces)
        found = {name: _split(part, _part(mask, name), f"{path}[{name!r}]") for name, part in parts}
        return found if isinstance(space, Dict) else tuple(found.values())
    needed = choices(space)
    arrays = jax.tree.leaves(mask)
    if not needed and not arrays:
        return None
    if isinstance(space, MultiDiscrete) and len(arrays) > 1:
        mask = jnp.concatenate(arrays, axis=-1)
    size = getattr(mask, "shape", (None,))[-1:]
    if size != (needed,):
        raise ConfigurationError(
            f"expected an action mask{path} of {needed} bools, one for each choice of {space!r}, "
            f"got {[list(x.shape) for x in arrays]}; a mask over pairs of choices cannot be used."
        )
    return jnp.asarray(mask, jnp.bool_)


def _part(mask: Any, name: Any) -> Any:
    try:
        return mask[name]
    except (KeyError, IndexError, TypeError):
        return None


def _units(box: Box) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(low, high) of the policy's action, and the center and half width that scale it, [A]."""
    low, high = (bound.reshape(-1) for bound in box.bounds())
    bounded = np.isfinite(low) & np.isfinite(high)
    with np.errstate(invalid="ignore"):
        center = np.where(bounded, (low + high) / 2, 0.0)
        half = np.where(bounded & (high > low), (high - low) / 2, 1.0)
    fixed = bounded & (high == low)
    low, high = np.where(bounded, -1.0, low), np.where(bounded, 1.0, high)
    low, high = np.where(fixed, 0.0, low), np.where(fixed, 0.0, high)
    as_float = [x.astype(np.float32) for x in (low, high, center, half)]
    return as_float[0], as_float[1], as_float[2], as_float[3]
