"""Spaces as JSON."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from metarl_jax.tasks.spaces import Box, Dict, Discrete, Leaf, MultiDiscrete, Space, Tuple


def space_to_json(space: Space) -> dict[str, Any]:
    """A space as JSON can hold it; `space_from_json` reads it."""
    if isinstance(space, Dict):
        return {"dict": {name: space_to_json(part) for name, part in space.spaces}}
    if isinstance(space, Tuple):
        return {"tuple": [space_to_json(part) for part in space.spaces]}
    return {type(space).__name__.lower(): dataclasses.asdict(space)}


def space_from_json(found: Any) -> Space:
    """The space that `space_to_json` wrote.

    Raises:
        ValueError: it is no such space. Infinite bounds may be null.
    """
    try:
        ((kind, value),) = found.items()
        if kind == "dict":
            return Dict(tuple((name, space_from_json(part)) for name, part in value.items()))
        if kind == "tuple":
            return Tuple(tuple(map(space_from_json, value)))
        return _LEAVES[kind](**{name: _hashable(x) for name, x in _finite(kind, value).items()})
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"a space, as JSON, not {found!r:.100}") from error


_LEAVES: Mapping[str, Callable[..., Leaf]] = {
    "discrete": Discrete,
    "multidiscrete": MultiDiscrete,
    "box": Box,
}


def _finite(kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, with the infinite bounds that JSON holds as null."""
    if kind != "box":
        return dict(fields)
    infinite = {"low": -math.inf, "high": math.inf}

    def bound(name: str) -> Any:
        found, infinity = fields[name], infinite[name]
        if isinstance(found, list):
            return [infinity if x is None else x for x in found]
        return infinity if found is None else found

    return dict(fields) | {name: bound(name) for name in infinite}


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
