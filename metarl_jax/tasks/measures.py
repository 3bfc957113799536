"""Measures: what a return does not tell of a policy's behaviour in a task family."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from metarl_jax.types import Array, PyTree, StepOutcome, Task

Values = Mapping[str, list[float] | float]
"""Named numbers; a list holds one number an episode."""


class Measure(NamedTuple):
    """What to keep of whole meta-episodes on the device, and what to make of it on the host.

    Attributes:
        keep: `(task [B], action [T, B, ...], outcome [T, B]) -> arrays [T, B, ...]`, traced.
        summarize: `(task [B], kept arrays as numpy) -> named numbers`.
    """

    keep: Callable[[Task, Array, StepOutcome], PyTree]
    summarize: Callable[[Task, Any], Values]
