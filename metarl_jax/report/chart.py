"""A chart as data: one description, from which a figure and the page are drawn alike.

`drawing.draw_chart` draws it on matplotlib's axes; `page_data` is what the page's script reads.
"""

import dataclasses
from typing import Any, Literal

import numpy as np

from metarl_jax.report.style import css_colour
from metarl_jax.report.units import quantity, round_count

MOST_POINTS = 400
"""Points of a line on the page; of more, so many at even distances."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """A curve, or dots.

    Attributes:
        name: stands at its end beside the last value.
        xs: [P] float64.
        ys: [P] float64, NaN where there is no value.
        colour: a colour of `style`, or any other as "#RRGGBB".
        half_width: [P] half-widths of the 95% intervals; None where none is known.
        look: "pale" is behind the others; "points" are not joined, nor are "dots", which are small.
    """

    name: str
    xs: np.ndarray
    ys: np.ndarray
    colour: str
    half_width: np.ndarray | None = None
    look: Literal["solid", "dashed", "pale", "points", "dots"] = "solid"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Level:
    """A value across the whole chart, with its name."""

    name: str
    y: float
    colour: str
    look: Literal["dashed", "dotted"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis: what it measures, and where its ticks stand.

    Attributes:
        label: what it measures.
        kind: "episodes" has whole numbers from 1 on; "steps" begins at 0; "values" has any.
        logarithmic: whether equal distances are equal ratios.
        ticks: (place, text) of each; None for round numbers.
    """

    label: str
    kind: Literal["episodes", "steps", "values"] = "values"
    logarithmic: bool = False
    ticks: tuple[tuple[float, str], ...] | None = None


EPISODES = Axis(label="episode", kind="episodes")
STEPS = Axis(label="environment steps", kind="steps")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chart:
    """Lines over one axis, and levels across them.

    Attributes:
        name: a short one, without spaces.
        title: what is shown.
        x: EPISODES, STEPS, or what was swept.
        y: its label may be empty where the title says it all.
        lines: the first ones are drawn above the later ones.
        levels: what the lines are read against.
        small: has no room for names beside its lines.
    """

    name: str
    title: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    levels: tuple[Level, ...] = ()
    small: bool = False

    @property
    def named_lines(self) -> list[Line]:
        """The lines whose name and last value stand beside them."""
        if self.small or self.x.kind == "values":
            return []
        return [line for line in self.lines if line.look != "pale" and np.isfinite(line.ys).any()]

    def words(self) -> str:
        """What the lines show, for those who do not see them."""
        number = round_count if self.x.kind == "steps" else quantity
        said = [f"Line chart: {self.title.lower()} against {self.x.label}."]
        for line in self.lines:
            known = np.flatnonzero(np.isfinite(line.ys))
            if len(known) and line.look not in ("points", "dots"):
                ends = [(float(line.xs[i]), float(line.ys[i])) for i in (known[0], known[-1])]
                way = " to ".join(f"{quantity(y)} at {number(x)}" for x, y in ends)
                said.append(f"{line.name}: from {way}.")
        said += [f"{level.name}: {quantity(level.y)}." for level in self.levels]
        return " ".join(said)


def page_data(chart: Chart) -> dict[str, Any]:
    """The chart for the page's script, with short numbers and the page's colours."""
    return {
        "title": chart.title,
        "x": dataclasses.asdict(chart.x),
        "y": dataclasses.asdict(chart.y),
        "lines": [_line_data(line) for line in chart.lines if len(line.xs)],
        "levels": [
            dataclasses.asdict(level) | {"colour": css_colour(level.colour)}
            for level in chart.levels
        ],
        "small": chart.small,
        "named": [line.name for line in chart.named_lines],
    }


def _line_data(line: Line) -> dict[str, Any]:
    kept = np.linspace(0, len(line.xs) - 1, min(len(line.xs), MOST_POINTS)).round().astype(int)
    data = {"name": line.name, "colour": css_colour(line.colour), "look": line.look}
    data |= {"xs": line.xs[kept].tolist(), "ys": _short(line.ys[kept])}
    if line.half_width is not None:
        data["low"] = _short((line.ys - line.half_width)[kept])
        data["high"] = _short((line.ys + line.half_width)[kept])
    return data


def _short(values: np.ndarray) -> list[float | None]:
    """Each to five digits of its own, so that none becomes 0 that a logarithm is taken of."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in values]
