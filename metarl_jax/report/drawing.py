"""Draws a chart on matplotlib's axes."""

from typing import TYPE_CHECKING

import numpy as np

from metarl_jax.report import style
from metarl_jax.report.chart import Chart, Line
from metarl_jax.report.style import Label
from metarl_jax.report.units import quantity, round_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis as Side

DASHES = {"dashed": style.DASHED, "dotted": style.DOTTED}
FEW_POINTS = 30
"""Up to so many evaluations are marked by a point each."""
FEWEST_TICKS = 3


def draw_chart(axes: "Axes", chart: Chart, *, line_height: float = 0.062) -> None:
    """Draws all of it: lines with their intervals, levels, ticks, and names beside the lines.

    Args:
        axes: empty ones.
        chart: what to draw.
        line_height: the least distance of two names, as a fraction of the axes' height.
    """
    for level in chart.levels:
        dashes = DASHES[level.look]
        axes.axhline(level.y, color=level.colour, linewidth=1.2, linestyle=dashes, zorder=1.5)
    for line in reversed(chart.lines):
        _draw_line(axes, chart, line)
    _settle_x(axes, chart)
    if chart.y.logarithmic:
        axes.set_yscale("log")
        _logarithmic_ticks(axes.yaxis, *axes.get_ylim())
    elif chart.small:
        from matplotlib.ticker import MaxNLocator

        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, min_n_ticks=FEWEST_TICKS))
    if not chart.small:
        style.label_beside(axes, _labels(chart), line_height=line_height)


def _labels(chart: Chart) -> list[Label]:
    labels = [Label(x.y, f"{x.name}: {quantity(x.y)}", x.colour) for x in chart.levels]
    for line in chart.named_lines:
        last = float(line.ys[np.isfinite(line.ys)][-1])
        labels.append(Label(last, f"{line.name}: {quantity(last)}", line.colour))
    return labels


def _draw_line(axes: "Axes", chart: Chart, line: Line) -> None:
    if line.look == "dots":
        axes.plot(line.xs, line.ys, "o", color=line.colour, markersize=4, alpha=0.7)
    elif line.look == "pale":
        axes.plot(line.xs, line.ys, color=line.colour, alpha=0.3, linewidth=1.0)
    elif line.look == "dashed":  # above the others: one that reaches it would hide it
        axes.plot(
            line.xs, line.ys, color=line.colour, linestyle=style.DASHED, linewidth=1.3, zorder=3
        )
    elif chart.x.kind == "steps":
        marker = "o" if len(line.xs) <= FEW_POINTS and not chart.small else None
        width = 1.0 if chart.small else 1.8
        axes.plot(
            line.xs, line.ys, color=line.colour, linewidth=width, marker=marker, markersize=3.2
        )
        if line.half_width is not None:
            style.interval_band(axes, line.xs, line.ys, line.half_width, line.colour)
    else:
        width = np.zeros_like(line.ys) if line.half_width is None else line.half_width
        joined = "none" if line.look == "points" else "-"
        style.curve_with_interval(axes, line.xs, line.ys, width, line.colour, joined=joined)


def _settle_x(axes: "Axes", chart: Chart) -> None:
    xs = np.concatenate([line.xs for line in chart.lines] or [np.zeros(0)])
    axes.set_xlabel(chart.x.label)
    if chart.x.kind == "steps":
        style.step_axis(axes, xs.max(initial=0))
    elif chart.x.kind == "episodes":
        style.episode_axis(axes, int(xs.max(initial=1)))
    if chart.x.logarithmic:
        axes.set_xscale("log")
    if chart.x.ticks is not None:
        from matplotlib.ticker import NullLocator

        places, texts = zip(*chart.x.ticks, strict=True)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(places, texts, fontsize=8 if len(places) <= 8 else 7)


def _logarithmic_ticks(side: "Side", low: float, high: float) -> None:
    """Ticks with a label each, without the smaller ones that matplotlib would squeeze between."""
    from matplotlib.ticker import FixedLocator, NullLocator

    side.set_minor_locator(NullLocator())
    side.set_major_locator(FixedLocator(logarithmic_ticks(low, high)))
    side.set_major_formatter(lambda value, _: _short(value))


def _short(value: float) -> str:
    return round_count(value) if value >= 1000 else f"{value:.3g}"


def logarithmic_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two positive ones: the fewest of a decade that make three ticks.

    Powers of ten, else also 2 and 5 times these, else evenly spaced numbers.
    """
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    every = -(-len(decades) // 6)  # of many decades, some
    for digits in ((1,), (1, 3), (1, 2, 5)):
        ticks = [digit * 10.0**decade for decade in decades[::every] for digit in digits]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= FEWEST_TICKS:
            return inside
    from matplotlib.ticker import MaxNLocator

    even = MaxNLocator(nbins=5, min_n_ticks=FEWEST_TICKS).tick_values(low, high)
    return [float(tick) for tick in even if low <= tick <= high]
