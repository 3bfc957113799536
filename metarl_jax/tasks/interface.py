"""What an agent must know of a task family to act in its environments: interface.json.

A run's folder holds it, so that the policy can be built where the family is not installed.
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.files import (
    JsonFields,
    json_text,
    many,
    number,
    optional,
    read_object,
    text,
    whole_number,
    write_whole,
)
from metarl_jax.tasks.distribution import Specification, TaskDistribution, specification
from metarl_jax.types import Array, ConfigurationError

NAME = "interface.json"
FORMAT = 1
MEND = "resume the run once (`metarl train --resume RUN`), which writes the file again"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interface:
    """The surface between a policy and the environments of one task family.

    Attributes:
        family: the family's name.
        specification: sizes of observations, actions and task descriptions.
        action_low: [A] the least of each continuous action, -inf where there is no bound; () for
            discrete actions.
        action_high: [A] the largest of each, likewise.
        episode_length: H, steps after which an episode is truncated.
        num_episodes: E, episodes in a meta-episode.
    """

    family: str
    specification: Specification
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    episode_length: int
    num_episodes: int

    @property
    def max_steps(self) -> int:
        """E·H, the most steps a meta-episode of E episodes can take."""
        return self.num_episodes * self.episode_length

    def clip(self, action: Array) -> Array:
        """The action that an environment executes: a continuous one within its bounds.

        Args:
            action: [] int32, or [A] float32.
        """
        if self.specification.num_actions is not None:
            return action
        low, high = (np.asarray(b, np.float32) for b in (self.action_low, self.action_high))
        return jnp.clip(action, low, high)


def interface_of(tasks: TaskDistribution) -> Interface:
    """The interface of a task distribution, read from one sampled task.

    Raises:
        ConfigurationError: a space has a form that no policy here can use.
    """
    spec = specification(tasks)
    bounds: list[tuple[float, ...]] = [(), ()]
    if spec.action_size is not None:
        space = tasks.environment.action_space(tasks.sample(jax.random.key(0)))
        bounds = [_bound(x, spec.action_size) for x in (space.low, space.high)]
    return Interface(
        family=tasks.name,
        specification=spec,
        action_low=bounds[0],
        action_high=bounds[1],
        episode_length=tasks.episode_length,
        num_episodes=tasks.num_episodes,
    )


def write_interface(folder: Path, interface: Interface) -> None:
    """Writes interface.json; `load_interface` reads it.

    Raises:
        OSError: the folder is full or not writable.
    """
    spec = dataclasses.asdict(interface.specification)
    fields = {field.name: getattr(interface, field.name) for field in dataclasses.fields(interface)}
    write_whole(folder / NAME, json_text({"format": FORMAT} | fields | {"specification": spec}))


def load_interface(folder: Path) -> Interface:
    """Reads interface.json.

    Raises:
        ConfigurationError: there is none, as in the folders of older versions, or it is damaged.
    """
    where = folder / NAME
    if not where.exists():
        raise ConfigurationError(
            f"expected {NAME} in {folder}, got none: the run has not begun, or an older version "
            f"made it; {MEND}."
        )
    fields = JsonFields(read_object(where), str(where), MEND)
    if (written_as := fields.take("format", whole_number)) != FORMAT:
        raise ConfigurationError(
            f"{where}: expected format {FORMAT}, got {written_as}; it was written by another "
            "version: install that one."
        )
    interface = Interface(
        family=fields.take("family", text),
        specification=_specification(fields.take("specification", lambda x: x), str(where)),
        action_low=_unbounded(fields.take("action_low", many(number)), -math.inf),
        action_high=_unbounded(fields.take("action_high", many(number)), math.inf),
        episode_length=fields.take("episode_length", _count),
        num_episodes=fields.take("num_episodes", _count),
    )
    fields.end()
    size = interface.specification.action_size or 0
    if not len(interface.action_low) == len(interface.action_high) == size:
        raise ConfigurationError(
            f"{where}: expected {size} bounds of actions on either side, got "
            f"{len(interface.action_low)} and {len(interface.action_high)}; {MEND}."
        )
    return interface


def _specification(found: Any, where: str) -> Specification:
    fields = JsonFields(found, f"{where}, specification", MEND)
    spec = Specification(
        observation_size=fields.take("observation_size", whole_number),
        num_actions=fields.take("num_actions", optional(_count)),
        action_size=fields.take("action_size", optional(_count)),
        context_size=fields.take("context_size", whole_number),
    )
    fields.end()
    if (spec.num_actions is None) == (spec.action_size is None):
        raise ConfigurationError(
            f"{where}: expected either num_actions or action_size, got {spec}; {MEND}."
        )
    return spec


def _count(value: Any) -> int:
    if whole_number(value) < 1:
        raise ValueError("a whole number of at least 1")
    return value


def _bound(bound: Any, size: int) -> tuple[float, ...]:
    return tuple(np.broadcast_to(np.asarray(bound, np.float32), (size,)).tolist())


def _unbounded(bounds: Sequence[float], infinity: float) -> tuple[float, ...]:
    """The bounds, infinite where JSON had null."""
    return tuple(infinity if math.isnan(bound) else bound for bound in bounds)
