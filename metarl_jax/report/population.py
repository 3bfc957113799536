"""Charts and figures of several agents: for each swept point a mean over seeds in its interval."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from metarl_jax.evaluation.population_record import PointRecord
from metarl_jax.evaluation.statistics import seeds_half_width
from metarl_jax.report import style
from metarl_jax.report.chart import STEPS, Axis, Chart, Line
from metarl_jax.report.charts import (
    RETURN,
    WHOLE,
    Rows,
    episodes_chart,
    episodes_line,
    known_widths,
)
from metarl_jax.report.figures import chart_figure
from metarl_jax.report.reference_lines import UNKNOWN, total_levels
from metarl_jax.tasks.distribution import References

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Points = Sequence[PointRecord]
Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""Returns [E] of each episode and half-widths [E] of their 95% intervals, by name."""

WIDE_RANGE = 10
"""Values that differ by such a factor stand on a logarithmic axis; rates do in any case."""


def learning_chart(rows: Rows, points: Points, references: References) -> Chart:
    """Meta-test return of a whole meta-episode against the environment steps of one agent.

    Args:
        rows: of `metrics.jsonl`.
        points: which agents belong together.
        references: exact values, drawn as lines.
    """
    steps, totals = members_totals(rows)
    means, members = [], []
    for point, colour in zip(points, style.ordered_colours(len(points)), strict=True):
        name = name_of(point)
        values = totals[:, list(point.agents)].T if len(steps) else np.zeros((1, 0))  # [S, R]
        width = known_widths(seeds_half_width(values))
        mean = values.mean(axis=0)
        means.append(Line(name=name, xs=steps, ys=mean, colour=colour, half_width=width))
        if len(values) > 1:
            members += [
                Line(name=name, xs=steps, ys=one, colour=colour, look="pale") for one in values
            ]
    return Chart(
        name="learning",
        title=WHOLE,
        x=STEPS,
        y=RETURN,
        lines=(*means, *members),
        levels=total_levels(references),
    )


def members_totals(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Steps [R] and every agent's meta-test return [R, S] of the evaluated rows.

    Rows of another number of agents than the last one's are left out; [0] and [0, 0] of none.
    """
    found = [
        (row.env_steps, row.meta_test_total_return_members)
        for row in rows
        if row.meta_test_total_return_members
    ]
    if not found:
        return np.zeros(0), np.zeros((0, 0))
    found = [(at, totals) for at, totals in found if len(totals) == len(found[-1][1])]
    steps, totals = zip(*found, strict=True)
    return np.array(steps, np.float64), np.array(totals, np.float64)


def adaptation_chart(curves: Curves, references: References) -> Chart:
    """Return per episode with its 95% intervals: a curve for each point or contender.

    Args:
        curves: by name.
        references: exact values, drawn as lines.
    """
    colours = style.ordered_colours(len(curves))
    lines = [
        episodes_line(name, *curve, colour)
        for (name, curve), colour in zip(curves.items(), colours, strict=True)
    ]
    return episodes_chart(lines, references)


def sweep_chart(points: Points, references: References) -> Chart:
    """Total return at the end against the swept value; every agent a dot.

    Over one hyper-parameter the axis is its value, logarithmic for a learning rate and for values
    that differ tenfold; over several, each combination has a place of its own.

    Args:
        points: one for each combination of swept values.
        references: exact values, drawn as lines.
    """
    places, x = _swept(points)
    order = np.argsort(places)
    mean = np.array([point.total_return_mean for point in points])[order]
    width = known_widths([points[i].total_return_ci95 for i in order])
    look = "solid" if len(points[0].values) == 1 else "points"
    of_agents = [point.total_return_of_agents for point in points]
    agents = Line(
        name="agents",
        xs=np.repeat(places, list(map(len, of_agents))),
        ys=np.concatenate(of_agents),
        colour=style.SKY,
        look="dots",
    )
    means = Line(
        name="mean", xs=places[order], ys=mean, colour=style.BLUE, half_width=width, look=look
    )
    return Chart(
        name="sweep",
        title=WHOLE,
        x=x,
        y=RETURN,
        lines=(agents, means),  # the dots above the bars
        levels=total_levels(references),
    )


def _swept(points: Points) -> tuple[np.ndarray, Axis]:
    """Where each point stands, and the axis on which it does."""
    names = list(points[0].values)
    if len(names) != 1:
        places = np.arange(len(points), dtype=np.float64)
        texts = [name_of(point).replace(", ", "\n") for point in points]
        return places, Axis(label="", ticks=tuple(zip(places.tolist(), texts, strict=True)))
    values = [point.values[names[0]] for point in points]
    wide = min(values) > 0 and max(values) >= WIDE_RANGE * min(values)
    is_rate = min(values) > 0 and names[0].endswith("learning_rate")
    ticks = tuple((float(value), f"{value:g}") for value in sorted(set(values)))
    return np.array(values, np.float64), Axis(
        label=names[0].replace("_", " "), logarithmic=bool(wide or is_rate), ticks=ticks
    )


def figures(
    rows: Rows, points: Points, *, title: str, references: References = UNKNOWN, swept: bool = True
) -> dict[str, "Figure"]:
    """The figures of several agents, by the names of their files.

    Args:
        rows: of `metrics.jsonl`.
        points: which agents belong together.
        title: whose run it is.
        references: exact values, drawn as lines.
        swept: whether the points differ in a value.
    """
    charts = {
        "learning": learning_chart(rows, points, references),
        "adaptation": adaptation_chart(curves_of(points), references),
    }
    if swept:
        charts["sweep"] = sweep_chart(points, references)
    size = len(points[0].agents)
    how = f"on meta-test tasks; means over {size} seeds with 95% intervals"
    how = how if size > 1 else "on meta-test tasks"
    return {
        f"{name}.png": chart_figure(chart, title=f"{title}: {name}", subtitle=how)
        for name, chart in charts.items()
    }


def curves_of(points: Points) -> Curves:
    """Each point's adaptation curve."""
    return {name_of(x): (x.episode_return_mean, x.episode_return_ci95) for x in points}


def name_of(point: PointRecord) -> str:
    """Its values; what all agents share where nothing is swept."""
    swept = ", ".join(f"{name.replace('_', ' ')} {v:g}" for name, v in point.values.items())
    return swept or "all seeds"
