"""Plain drawing primitives: how a task family shows one episode without knowing who draws it."""

import dataclasses
from collections.abc import Mapping

import numpy as np


@dataclasses.dataclass(frozen=True)
class Rectangle:
    """A filled rectangle in the plane; `x, y` is its lower left corner.

    `role` is what it stands for: "floor", "wall", "goal" or "start"; whoever draws picks a colour.
    """

    x: float
    y: float
    width: float
    height: float
    role: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """One episode of one task, drawable as a plane with a path, as time series, or both.

    Attributes:
        bounds: (x0, y0, x1, y1) of the plane; None where the family has no plane.
        shapes: what lies in the plane, drawn in this order.
        path: [h + 1, 2] positions of the agent, the start included; None without a plane.
        series: named time series over the episode's h steps, each [h].
        unit: unit of the series' vertical axis, "" where they have none.
    """

    bounds: tuple[float, float, float, float] | None = None
    shapes: tuple[Rectangle, ...] = ()
    path: np.ndarray | None = None
    series: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    unit: str = ""
