"""scaling.png, a panel for each size that grows, with the ideal as a dashed line; memories.png."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.memories import MemoryRow
from benchmarks.scaling import Point
from metarl_jax.report import style
from metarl_jax.report.units import round_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = {
    "tasks": "tasks in a batch",
    "length": "steps in a meta-episode",
    "hidden": "units of the GRU",
    "seeds": "seeds trained at once",
    "devices": "devices",
}
UNITS = {
    "tasks": "tasks",
    "length": "steps",
    "hidden": "units",
    "seeds": "seeds",
    "devices": "devices",
}
COLOURS = (style.BLUE, style.VERMILION)
IDEAL: dict[str, Any] = {"linewidth": 1.2, "linestyle": style.DASHED, "zorder": 1.5}
COLUMNS = 3
FEWEST_TICKS = 3


def scaling_figure(points: Sequence[Point], *, subtitle: str) -> "Figure":
    """Time of an update against each size, and its memory against the tasks; logarithmic axes.

    Args:
        points: of all axes.
        subtitle: the machine.
    """
    panels = {name: [point for point in points if point.axis == name] for name in AXES}
    panels = {name: own for name, own in panels.items() if own}
    memory = [p for p in panels.get("tasks", ()) if p.peak_memory_bytes is not None]
    number = len(panels) + bool(memory)
    columns = min(COLUMNS, number)
    rows = math.ceil(number / columns)
    figure = style.new_figure(10.5, 0.8 + 3.0 * rows)
    style.heading(
        figure,
        "How the cost of an update grows",
        f"A2C on the bandit, {subtitle}; dashed: ideal, all at the best price of the panel",
    )
    grid = figure.add_gridspec(rows, columns)
    for index, (name, own) in enumerate(panels.items()):
        _time_panel(figure.add_subplot(grid[divmod(index, columns)]), name, own)
    if memory:
        _memory_panel(figure.add_subplot(grid[divmod(len(panels), columns)]), memory)
    return figure


def memories_figure(rows: Sequence[MemoryRow], *, subtitle: str) -> "Figure":
    """Microseconds of a step against the length of a meta-episode; logarithmic axes.

    Args:
        rows: of all memories and lengths.
        subtitle: the machine.
    """
    figure = style.new_figure(10.5, 4.2)
    style.heading(
        figure,
        "What a memory costs, by the length of what it remembers",
        f"a step of one task of the bandit, {rows[0].num_tasks} at once, {subtitle}",
    )
    panels: Any = figure.subplots(1, 2, sharey=True)
    costs = {
        "acting": lambda row: row.act_us,
        "training: acting, gradient and all": lambda row: row.train_us,
    }
    for axes, (title, cost) in zip(panels, costs.items(), strict=True):
        style.quiet_axes(axes, title=title)
        axes.set(xscale="log", yscale="log", xlabel="steps of a meta-episode")
        for memory in dict.fromkeys(row.memory for row in rows):
            own = [row for row in rows if row.memory == memory]
            lengths, costing = [row.length for row in own], [cost(row) for row in own]
            colour = style.MEMORY_COLOURS[memory]
            axes.plot(lengths, costing, color=colour, linewidth=1.8, marker="o", markersize=4.5)
    lengths = sorted({row.length for row in rows})
    for axes, cost in zip(panels, costs.values(), strict=True):
        _ticks(axes, lengths, _microseconds)
        last = [row for row in rows if row.length == lengths[-1]]
        style.label_beside(
            axes,
            [style.Label(cost(row), row.memory, style.MEMORY_COLOURS[row.memory]) for row in last],
        )
    return figure


def _time_panel(axes: "Axes", name: str, points: Sequence[Point]) -> None:
    style.quiet_axes(axes, title=f"time, by {AXES[name]}")
    _lines(axes, points, lambda point: point.seconds)
    for line in dict.fromkeys(point.line for point in points):
        ideal = sorted((p.value, p.ideal_seconds) for p in points if p.line == line)
        axes.plot(*zip(*ideal, strict=True), color=style.INK, **IDEAL)
    _ticks(axes, sorted({point.value for point in points}), _time)


def _memory_panel(axes: "Axes", points: Sequence[Point]) -> None:
    style.quiet_axes(axes, title=f"memory, by {AXES['tasks']}")
    _lines(axes, points, lambda point: point.peak_memory_bytes or 0)
    _ticks(axes, sorted({point.value for point in points}), _bytes)


def _lines(axes: "Axes", points: Sequence[Point], measured: Callable[[Point], float]) -> None:
    """A line for each way; named where there are several."""
    axes.set(xscale="log", yscale="log", xlabel=f"{UNITS[points[0].axis]}, with {points[0].held}")
    lines = list(dict.fromkeys(point.line for point in points))
    for line, colour in zip(lines, COLOURS, strict=False):
        own = [point for point in points if point.line == line]
        axes.plot(
            [point.value for point in own],
            [measured(point) for point in own],
            color=colour,
            linewidth=1.8,
            marker="o",
            markersize=4.5,
            label=line,
        )
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize=style.LABEL_SIZE, labelcolor=style.MUTED)


def _ticks(axes: "Axes", values: Sequence[int], form: Callable[[float], str]) -> None:
    """What was measured along x; as few round numbers along y as tell the scale."""
    axes.set_xticks(values, [_whole(value) for value in values])
    low, high = axes.get_ylim()
    tens = [10.0**n for n in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    ticks: list[float] = []
    for mantissas in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        ticks = [m * ten for ten in tens for m in mantissas if low <= m * ten <= high]
        if len(ticks) >= FEWEST_TICKS:
            break
    axes.set_yticks(ticks, [form(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(low, high)


def _whole(value: float) -> str:
    """As it is below 10,000, above that rounded to three digits."""
    return f"{value:.0f}" if value < 10_000 else round_count(value)


def _microseconds(value: float) -> str:
    return f"{value:.3g} µs"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


def _bytes(value: float) -> str:
    number, _, unit = round_count(value).partition(" ")
    return f"{number} {unit}B"
