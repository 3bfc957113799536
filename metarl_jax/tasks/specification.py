"""What a policy must know of a task family before it is built: the spaces, and their sizes."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.tasks.actions import split_mask
from metarl_jax.tasks.spaces import (
    ACTION_MASK,
    OBSERVATION,
    Box,
    Dict,
    Space,
    Tuple,
    map_spaces,
    read_space,
)
from metarl_jax.trees import plain
from metarl_jax.types import ConfigurationError, PyTree, Task

LARGEST_TASK = 2**30
"""Bytes of one task; a larger one is refused before it is drawn."""


@dataclasses.dataclass(frozen=True)
class Specification:
    """The static surface between a policy and the environments of a task distribution.

    Attributes:
        observation: space of what the policy reads, with the dtypes it reads.
        action: space of the actions in the environment's own units.
        context_size: C, length of `describe(task)`.
    """

    observation: Space
    action: Space
    context_size: int


def read_specification(
    name: str,
    environment: Any,
    sample: Callable[[Any], Task],
    describe: Callable[[Task], Any],
    seed: int = 0,
) -> Specification:
    """Reads the spaces of one concrete task; no program of the environment is compiled.

    Args:
        name: of the family, for messages.
        environment: as `metarl_jax.tasks.distribution.Environment`.
        sample: `key -> task`.
        describe: `task -> [C]`.
        seed: of the task that is read.

    Raises:
        ConfigurationError: a space or the description has a form that no policy here can use.
    """
    try:
        with jax.ensure_compile_time_eval():  # a meta-episode may be made while jax traces
            key = jax.random.key(seed)
            _require_moderate(name, jax.eval_shape(sample, key))
            task = sample(key)
    except ConfigurationError:
        raise
    except Exception as error:  # whatever the family's own code raises
        raise ConfigurationError(
            f"{name}: expected sample(key) to return a task, got {type(error).__name__}: "
            f"{next(iter(str(error).splitlines()), '')}"
        ) from error
    observation = _observation_space(name, environment, task)
    action = _space(name, environment, "action_space", task)
    _check_mask(name, observation, action)
    return Specification(observation, action, _context_size(name, describe, task))


def _require_moderate(name: str, task: Task) -> None:
    size = sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(task))
    if size > LARGEST_TASK:
        raise ConfigurationError(
            f"{name}: expected a task of at most {LARGEST_TASK:,} bytes, got {size:,}; an update "
            "holds one for every meta-episode: make it smaller."
        )


def _space(name: str, environment: Any, method: str, task: Task) -> Space:
    try:
        with jax.ensure_compile_time_eval():  # some suites compute their spaces
            return read_space(getattr(environment, method)(task))
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {method}: {error}") from error
    except Exception as error:  # whatever the family's own code raises
        raise ConfigurationError(
            f"{name}: expected {method}(task) to return a space, got {type(error).__name__}: "
            f"{next(iter(str(error).splitlines()), '')} Give it the same sizes in every task."
        ) from error


def _observation_space(name: str, environment: Any, task: Task) -> Space:
    """The declared space with the shapes and dtypes of what `reset_env` really returns."""
    declared = _space(name, environment, "observation_space", task)

    def first(key: Any) -> Any:
        observation, state = environment.reset_env(key, task)
        mask = getattr(environment, ACTION_MASK, None)
        return plain(observation), None if mask is None else plain(mask(state, task))

    try:
        observation, mask = jax.eval_shape(first, jax.random.key(0))
    except Exception as error:  # whatever the family's own code raises
        raise ConfigurationError(
            f"{name}: expected reset_env(key, task) to return (observation, state) and to be "
            f"traceable by jax, got {type(error).__name__}: "
            f"{next(iter(str(error).splitlines()), '')} Write it with jax.numpy, free of Python "
            "control flow on arrays."
        ) from error
    found = _agreed(name, "", declared, observation)
    if mask is None:
        return found
    masked = _agreed(name, f"[{ACTION_MASK!r}]", None, mask)
    parts = dict(found.spaces) if isinstance(found, Dict) else {OBSERVATION: found}
    return Dict(tuple((parts | {ACTION_MASK: masked}).items()))


def _check_mask(name: str, observation: Space, action: Space) -> None:
    if not isinstance(observation, Dict) or ACTION_MASK not in dict(observation.spaces):
        return
    shapes = map_spaces(
        lambda leaf: np.ones(leaf.shape, bool), dict(observation.spaces)[ACTION_MASK]
    )
    try:
        split_mask(action, shapes)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from error


def _agreed(name: str, path: str, declared: Space | None, found: PyTree) -> Space:
    """The space of an observation; a part that is not declared is a box without bounds."""
    if isinstance(found, dict | tuple):
        return _agreed_parts(name, path, declared, found)
    shape, dtype = tuple(found.shape), observed_dtype(found.dtype)
    where = f"the observation{path}" if path else "an observation"
    if dtype is None:
        raise ConfigurationError(
            f"{name}: expected {where} to hold numbers, got {found.dtype}; leave it out."
        )
    if isinstance(declared, Dict | Tuple):
        raise ConfigurationError(
            f"{name}: expected {where} to have the parts that observation_space declares, got "
            f"one array {found.dtype}{list(shape)}; make them agree."
        )
    if declared is None:
        return Box(*_range_of(dtype), shape, dtype)
    if declared.shape != shape:
        raise ConfigurationError(
            f"{name}: expected {where} of shape {list(declared.shape)}, as observation_space "
            f"declares, got {list(shape)} from reset_env; make them agree."
        )
    if isinstance(declared, Box):
        codes = dtype != "int32" or all(np.isfinite(x).all() for x in declared.bounds())
        return dataclasses.replace(declared, dtype=dtype if codes else "float32")
    if dtype == "float32":
        raise ConfigurationError(
            f"{name}: expected whole numbers in {where}, as observation_space declares, got "
            f"{found.dtype} from reset_env; make them agree."
        )
    return declared


def _agreed_parts(name: str, path: str, declared: Space | None, found: PyTree) -> Space:
    keys: list[Any] = list(found) if isinstance(found, dict) else list(range(len(found)))
    if isinstance(declared, Dict):
        spaces: dict[Any, Any] = dict(declared.spaces)
    elif isinstance(declared, Tuple):
        spaces = dict(enumerate(declared.spaces))
    elif declared is None:
        spaces = dict.fromkeys(keys)
    else:
        raise ConfigurationError(
            f"{name}: expected one array for the observation{path}, as observation_space "
            f"declares, got the parts {keys} from reset_env; make them agree."
        )
    if ACTION_MASK in keys and ACTION_MASK not in spaces:
        spaces[ACTION_MASK] = None
    if sorted(spaces, key=str) != sorted(keys, key=str) or not keys:
        raise ConfigurationError(
            f"{name}: expected the observation{path} to have the parts {sorted(spaces, key=str)}, "
            f"as observation_space declares, got {sorted(keys, key=str)} from reset_env; make them "
            "agree."
        )
    parts = {
        key: _agreed(name, f"{path}[{key!r}]", spaces[key], part)
        for key, part in zip(keys, (found[key] for key in keys), strict=True)
    }
    if isinstance(found, dict):
        return Dict(tuple(parts.items()))
    return Tuple(tuple(parts.values()))


def observed_dtype(dtype: Any) -> str | None:
    """The dtype in which a policy reads numbers of this one; None for what are no numbers.

    Floats of any width are read as float32 and wide integers as int32, or as float32 if they have
    no bounds. Booleans and integers of eight bits stay, so that images keep their size.
    """
    if jnp.issubdtype(dtype, jnp.floating):
        return "float32"
    if dtype in (jnp.bool_, jnp.uint8, jnp.int8):
        return np.dtype(dtype).name
    return "int32" if jnp.issubdtype(dtype, jnp.integer) else None


def _range_of(dtype: str) -> tuple[float, float]:
    if dtype == "bool":
        return 0.0, 1.0
    if dtype == "float32":
        return -np.inf, np.inf
    info = np.iinfo(dtype)
    return float(info.min), float(info.max)


def _context_size(name: str, describe: Callable[[Task], Any], task: Task) -> int:
    try:
        found = jax.eval_shape(describe, task)
    except Exception as error:  # whatever the family's own code raises
        raise ConfigurationError(
            f"{name}: expected describe(task) to be traceable by jax, got {type(error).__name__}: "
            f"{next(iter(str(error).splitlines()), '')} Write it with jax.numpy."
        ) from error
    shape = getattr(found, "shape", None)
    if shape is None or len(shape) != 1 or observed_dtype(found.dtype) is None:
        got = type(found).__name__ if shape is None else f"{found.dtype}{list(shape)}"
        raise ConfigurationError(
            f"{name}: expected describe(task) to be a vector [C] of numbers, got {got}; put all "
            "its parts in one vector, with jnp.concatenate."
        )
    return shape[0]
