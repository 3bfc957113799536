"""What an agent must know of a task family to act in its environments: interface.json.

A run's folder holds it, so that the policy can be built where the family is not installed.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from metarl_jax.files import (
    REWRITE,
    JsonFields,
    json_text,
    many,
    number,
    optional,
    read_with_format,
    text,
    whole_number,
    write_whole,
)
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.space_json import space_from_json, space_to_json
from metarl_jax.tasks.spaces import Box, Discrete, Space
from metarl_jax.tasks.specification import Specification
from metarl_jax.types import ConfigurationError

NAME = "interface.json"
FORMAT = 2


class UnscaledActionsError(ConfigurationError):
    """The policy was trained before the actions of a box were scaled."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interface:
    """The surface between a policy and the environments of one task family.

    Attributes:
        family: the family's name.
        specification: spaces of observations and actions, and the size of task descriptions.
        episode_length: H, steps after which an episode is truncated.
        num_episodes: E, episodes in a meta-episode.
    """

    family: str
    specification: Specification
    episode_length: int
    num_episodes: int

    @property
    def max_steps(self) -> int:
        """E·H, the most steps a meta-episode of E episodes can take."""
        return self.num_episodes * self.episode_length


def interface_of(tasks: TaskDistribution) -> Interface:
    """The interface of a task distribution, read from one sampled task.

    Raises:
        ConfigurationError: a space has a form that no policy here can use.
    """
    return Interface(
        family=tasks.name,
        specification=tasks.specification,
        episode_length=tasks.episode_length,
        num_episodes=tasks.num_episodes,
    )


def write_interface(folder: Path, interface: Interface) -> None:
    """Writes interface.json; `load_interface` reads it.

    Raises:
        ConfigurationError: the folder holds the interface of other environments.
        OSError: the folder is full or not writable.
    """
    _require_same(folder, interface)
    spec = interface.specification
    fields = {
        "format": FORMAT,
        "family": interface.family,
        "observation": space_to_json(spec.observation),
        "action": space_to_json(spec.action),
        "context_size": spec.context_size,
        "episode_length": interface.episode_length,
        "num_episodes": interface.num_episodes,
    }
    write_whole(folder / NAME, json_text(fields))


def _require_same(folder: Path, interface: Interface) -> None:
    """Refuses to go on with a run in environments that its policy was not trained in."""
    try:
        before = load_interface(folder).specification
    except UnscaledActionsError:
        raise
    except ConfigurationError:  # there is none yet, or it is damaged and is written again
        return
    for field in dataclasses.fields(Specification):
        old, new = (getattr(spec, field.name) for spec in (before, interface.specification))
        if old != new and not _is_older_form(old, new):
            raise ConfigurationError(
                f"{folder}: expected the {field.name} that the run was trained with, {old}, got "
                f"{new} from {interface.family}; the family has changed since: begin a new run."
            )


def load_interface(folder: Path) -> Interface:
    """Reads interface.json.

    Raises:
        ConfigurationError: there is none, as in the folders of older versions, or it is damaged.
    """
    where = folder / NAME
    written_as, fields = read_with_format(where, (1, FORMAT))
    read = _first_format if written_as == 1 else _specification
    interface = Interface(
        family=fields.take("family", text),
        specification=read(fields, str(where)),
        episode_length=fields.take("episode_length", _count),
        num_episodes=fields.take("num_episodes", _count),
    )
    fields.end()
    return interface


def _specification(fields: JsonFields, where: str) -> Specification:
    del where
    return Specification(
        observation=fields.take("observation", space_from_json),
        action=fields.take("action", space_from_json),
        context_size=fields.take("context_size", whole_number),
    )


def _first_format(fields: JsonFields, where: str) -> Specification:
    """The vectors and the actions of a family as version 0.1 wrote them."""
    sizes = JsonFields(
        fields.take("specification", lambda x: x), f"{where}, specification", REWRITE
    )
    observed = sizes.take("observation_size", _count)
    num_actions = sizes.take("num_actions", optional(_count))
    size = sizes.take("action_size", optional(_count))
    context_size = sizes.take("context_size", whole_number)
    sizes.end()
    low, high = (fields.take(f"action_{side}", many(number)) for side in ("low", "high"))
    if (num_actions is None) == (size is None) or not len(low) == len(high) == (size or 0):
        raise ConfigurationError(
            f"{where}: expected either num_actions, or action_size and as many bounds, got "
            f"{num_actions}, {size}, {low} and {high}; {REWRITE}."
        )
    low, high = _infinite(low, -math.inf), _infinite(high, math.inf)
    action = Discrete(num_actions) if num_actions is not None else Box(low, high, (len(low),))
    if isinstance(action, Box) and _is_scaled(action):
        raise UnscaledActionsError(
            f"{where}: expected actions in [-1, 1], got a box from {low} to {high}: this version "
            "scales the actions of a bounded box, and the run was trained without; train it again, "
            "or use the version that made it."
        )
    return Specification(Box(-math.inf, math.inf, (observed,)), action, context_size)


def _is_older_form(old: Space | int, new: Space | int) -> bool:
    """Whether a space of format 1, which knew no bounds of observations, may be this one."""
    if not isinstance(old, Box) or not isinstance(new, Box):
        return False
    unbounded = old.low == -math.inf and old.high == math.inf
    return unbounded and (old.shape, old.dtype) == (new.shape, new.dtype)


def _is_scaled(box: Box) -> bool:
    low, high = box.bounds()
    bounded = np.isfinite(low) & np.isfinite(high)
    return bool((bounded & ((low != -1) | (high != 1))).any())


def _infinite(bounds: Any, infinity: float) -> tuple[float, ...]:
    """The bounds, infinite where JSON had null."""
    return tuple(infinity if math.isnan(bound) else bound for bound in bounds)


def _count(value: Any) -> int:
    if whole_number(value) < 1:
        raise ValueError("a whole number of at least 1")
    return value
