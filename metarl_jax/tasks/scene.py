"""Plain drawing primitives: how a task family shows one episode without knowing who draws it."""

import dataclasses
from collections.abc import Mapping

import numpy as np


@dataclasses.dataclass(frozen=True)
class Rectangle:
    """A filled rectangle in the plane; `x, y` is its lower left corner.

    `role` is what it stands for: "floor", "wall", "goal", "start" or "force"; whoever draws picks a
    colour. Floor that the path has entered is shown as seen, and in a replay a goal as found.
    """

    x: float
    y: float
    width: float
    height: float
    role: str


@dataclasses.dataclass(frozen=True)
class Circle:
    """A filled circle in the plane around `x, y`; its `role` is that of a `Rectangle`."""

    x: float
    y: float
    radius: float
    role: str


@dataclasses.dataclass(frozen=True)
class Arrow:
    """An arrow in the plane, from `x, y` on by `dx, dy`; its `role` is that of a `Rectangle`."""

    x: float
    y: float
    dx: float
    dy: float
    role: str


Shape = Rectangle | Circle | Arrow


@dataclasses.dataclass(frozen=True)
class ScaleBar:
    """A length in the plane's unit, drawn in a corner under its name, such as "1 m"."""

    length: float
    name: str


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a discrete action picks, where the actions are all there is to show, as of a bandit.

    Attributes:
        name: in a word or two.
        worth: its hidden mean reward.
    """

    name: str
    worth: float


@dataclasses.dataclass(frozen=True)
class Limbs:
    """Rods with round ends that move in the plane; whoever draws them follows them.

    Attributes:
        ends: [h + 1, K, 2, 2] positions (x, y) of the two ends of K rods, the start included.
        widths: [K] their thickness, in the plane's unit.
    """

    ends: np.ndarray
    widths: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """One episode of one task, drawable as a plane with a path, as time series, or both.

    Attributes:
        bounds: (x0, y0, x1, y1) of the plane; None where the family has no plane, or one without
            an edge.
        shapes: what lies in the plane, drawn in this order.
        scale_bar: how long a distance of the plane is; None where the cells tell it.
        sight: how far the agent sees, in the plane's unit: the plane within this distance of its
            path is shown as seen. None where only what it enters is, or where it sees everything.
        path: [h + 1, 2] positions of the agent, the start included; None without a plane.
        series: named time series over the episode's h steps, each [h]; one named "target" is what
            the others shall follow.
        unit: unit of the series' vertical axis, "" where they have none.
        task: the task in a few words, such as "goal at (2, 1)"; "" where there are none.
        moves: [n, 2] by which each of n discrete actions moves the agent where nothing hinders it:
            whoever draws can tell where it ran into something. None where actions do not move it.
        limbs: the agent's body; None where it is a point or has none.
        markers: named points that move beside the agent, each [h + 1, 2].
        choices: what each of n discrete actions picks; whoever draws counts how often, and what
            that paid.
    """

    bounds: tuple[float, float, float, float] | None = None
    shapes: tuple[Shape, ...] = ()
    scale_bar: ScaleBar | None = None
    sight: float | None = None
    path: np.ndarray | None = None
    series: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    unit: str = ""
    task: str = ""
    moves: np.ndarray | None = None
    limbs: Limbs | None = None
    markers: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    choices: tuple[Choice, ...] = ()

    @property
    def is_still(self) -> bool:
        """Whether it can be drawn without time, as planes or time series are."""
        return self.bounds is not None or len(self.series) > 0
