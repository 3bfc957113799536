"""Spaces: what observations and actions may be, as static values.

An environment may declare gymnax's spaces, gymnasium's, or these. `read_space` turns any of them
into these, which can be hashed, compared and written to a file.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Union

import numpy as np

from metarl_jax.types import ConfigurationError, PyTree

ACTION_MASK = "action_mask"
"""The part of a dict observation, or the method of an environment, that masks actions."""
OBSERVATION = "observation"
"""The part beside the mask where an environment's own observation is no dict."""
LARGEST = float(np.finfo(np.float32).max)
"""A bound this far away, or further, is none."""


@dataclasses.dataclass(frozen=True)
class Discrete:
    """The whole numbers start … start + n - 1."""

    n: int
    start: int = 0

    def __post_init__(self) -> None:
        _require_choices(self, self.n)

    @property
    def shape(self) -> tuple[int, ...]:
        """Always ()."""
        return ()


@dataclasses.dataclass(frozen=True)
class MultiDiscrete:
    """An array of whole numbers, the i-th from start[i] to start[i] + n[i] - 1, in row-major order.

    Attributes:
        n: how many values each number can take, flat.
        start: the smallest value of each; () for zeros.
        shape: of the array; () for a vector of `len(n)` numbers.
    """

    n: tuple[int, ...]
    start: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", self.shape or (len(self.n),))
        object.__setattr__(self, "start", self.start or (0,) * len(self.n))
        if not self.n:
            raise ConfigurationError(f"expected at least one number in a space, got {self}.")
        for n in self.n:
            _require_choices(self, n)


Bound = float | tuple[float, ...]
"""One number for all elements of a box, or one for each in row-major order."""


@dataclasses.dataclass(frozen=True)
class Box:
    """Arrays between `low` and `high`.

    Attributes:
        low: the smallest value of each element, -inf where there is none.
        high: the largest of each, inf where there is none.
        shape: of the array.
        dtype: its name.
    """

    low: Bound
    high: Bound
    shape: tuple[int, ...]
    dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        object.__setattr__(self, "dtype", np.dtype(self.dtype).name)
        if math.prod(self.shape) == 0:
            raise ConfigurationError(
                f"expected a box of at least one number, got one of shape {list(self.shape)}; "
                "leave it out of the space."
            )
        for side in ("low", "high"):
            object.__setattr__(self, side, _compact(getattr(self, side), self.shape))
        ordered = self._flat(self.low) <= self._flat(self.high)
        if not ordered.all():
            at = int(np.argmin(ordered))
            raise ConfigurationError(
                f"expected a box from low to high, got low {self._flat(self.low)[at]:g} and high "
                f"{self._flat(self.high)[at]:g} at its number {at}; swap them."
            )

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(low, high), each of the box's shape, float64."""
        return self._flat(self.low).reshape(self.shape), self._flat(self.high).reshape(self.shape)

    def _flat(self, bound: Bound) -> np.ndarray:
        return np.broadcast_to(np.asarray(bound, float), (math.prod(self.shape),))


@dataclasses.dataclass(frozen=True)
class Dict:
    """Named parts.

    Attributes:
        spaces: (name, space) of each part, sorted by name; a mapping will do.
    """

    spaces: tuple[tuple[str, "Space"], ...]

    def __post_init__(self) -> None:
        items = self.spaces.items() if isinstance(self.spaces, Mapping) else self.spaces
        object.__setattr__(self, "spaces", tuple(sorted(items)))


@dataclasses.dataclass(frozen=True)
class Tuple:
    """Parts in order."""

    spaces: tuple["Space", ...]


Leaf = Discrete | MultiDiscrete | Box
Space = Union[Leaf, Dict, Tuple]  # noqa: UP007  (Dict and Tuple name it before it exists)


def map_spaces(function: Callable[..., Any], space: Space, *trees: PyTree) -> PyTree:
    """Applies a function to each leaf of a space.

    Args:
        function: `(leaf, *parts) -> result`.
        space: with dicts and tuples for its inner nodes.
        trees: dicts and tuples of the same structure, whose parts are handed on.

    Returns:
        A tree of that structure.
    """
    if isinstance(space, Dict):
        return {
            name: map_spaces(function, part, *(tree[name] for tree in trees))
            for name, part in space.spaces
        }
    if isinstance(space, Tuple):
        parts = enumerate(space.spaces)
        return tuple(map_spaces(function, part, *(tree[i] for tree in trees)) for i, part in parts)
    return function(space, *trees)


def with_leaves(function: Callable[[Leaf], Space], space: Space) -> Space:
    """The same space, each leaf replaced by what the function makes of it."""
    if isinstance(space, Dict):
        return Dict(tuple((name, with_leaves(function, part)) for name, part in space.spaces))
    if isinstance(space, Tuple):
        return Tuple(tuple(with_leaves(function, part) for part in space.spaces))
    return function(space)


def leaves_of(space: Space, path: str = "") -> Iterator[tuple[str, Leaf]]:
    """(path, leaf) of each leaf, the path such as `['camera'][0]`, or "" for a leaf alone."""
    if isinstance(space, Dict):
        for name, part in space.spaces:
            yield from leaves_of(part, f"{path}[{name!r}]")
    elif isinstance(space, Tuple):
        for i, part in enumerate(space.spaces):
            yield from leaves_of(part, f"{path}[{i}]")
    else:
        yield path, space


def dtype_of(space: Leaf) -> str:
    """The dtype of a leaf's elements: int32 for whole numbers that are no box's."""
    return space.dtype if isinstance(space, Box) else "int32"


def bounds_of(space: Leaf) -> tuple[np.ndarray, np.ndarray]:
    """(low, high) of a leaf's elements, each of its shape, float64."""
    if isinstance(space, Box):
        return space.bounds()
    low = np.asarray(space.start, float).reshape(space.shape)
    return low, low + np.asarray(space.n, float).reshape(space.shape) - 1


def read_space(found: Any) -> Space:
    """One of these spaces from gymnax's, gymnasium's, or one like them.

    Args:
        found: an object with `spaces`, `nvec`, `n`, or `low`, `high` and `shape`. Its values are
            concrete. A `MultiBinary` becomes a `MultiDiscrete` of two values each.

    Raises:
        ConfigurationError: it is none of these, or is empty or contradicts itself.
    """
    if isinstance(found, Space):
        return found
    if (parts := getattr(found, "spaces", None)) is not None:
        if isinstance(parts, Mapping):
            return Dict(tuple((str(name), read_space(part)) for name, part in parts.items()))
        return Tuple(tuple(read_space(part) for part in parts))
    shape = tuple(int(size) for size in (getattr(found, "shape", None) or ()))
    start = np.asarray(getattr(found, "start", 0))
    if (nvec := getattr(found, "nvec", None)) is not None:
        sizes = np.asarray(nvec)
        starts = tuple(np.broadcast_to(start, sizes.shape).reshape(-1).tolist())
        return MultiDiscrete(tuple(map(int, sizes.reshape(-1))), starts, sizes.shape)
    if hasattr(found, "n"):
        if shape:
            return MultiDiscrete((2,) * math.prod(shape), shape=shape)
        return Discrete(int(found.n), int(start))
    if all(hasattr(found, name) for name in ("low", "high", "shape")):
        low, high = (np.asarray(getattr(found, side), float) for side in ("low", "high"))
        dtype = np.dtype(getattr(found, "dtype", None) or np.float32)
        return Box(_as_bound(low, shape), _as_bound(high, shape), shape, dtype.name)
    raise ConfigurationError(
        "expected a Discrete, MultiDiscrete, MultiBinary, Box, Dict or Tuple space, got "
        f"{found!r:.200}."
    )


def summary(space: Space) -> str:
    """A space in a few words, for people."""
    if isinstance(space, Dict):
        return "{" + ", ".join(f"{name}: {summary(part)}" for name, part in space.spaces) + "}"
    if isinstance(space, Tuple):
        return "(" + ", ".join(map(summary, space.spaces)) + ")"
    if isinstance(space, Box):
        return f"{space.dtype}{list(space.shape)}"
    return f"{type(space).__name__}({', '.join(map(str, np.reshape(space.n, -1)))})"


def _as_bound(bound: np.ndarray, shape: tuple[int, ...]) -> Bound:
    return tuple(np.broadcast_to(bound, shape).reshape(-1).tolist()) if bound.ndim else float(bound)


def _compact(bound: Bound, shape: tuple[int, ...]) -> Bound:
    """One number where all are equal: the bounds of an image are not written pixel by pixel."""
    values = np.asarray(bound, float).reshape(-1)
    if values.size not in (1, math.prod(shape)):
        raise ConfigurationError(
            f"expected one bound for a box of shape {list(shape)}, or one for each element, got "
            f"{values.size}."
        )
    if np.isnan(values).any():
        raise ConfigurationError(f"expected the bounds of a box to be numbers, got {bound!r:.80}.")
    values = np.where(np.abs(values) >= LARGEST, np.copysign(np.inf, values), values)
    return float(values[0]) if (values == values[0]).all() else tuple(values.tolist())


def _require_choices(space: Any, n: Any) -> None:
    if n < 1:
        raise ConfigurationError(
            f"expected a space of at least one choice, got {space!r}; give the agent something to "
            "do."
        )
