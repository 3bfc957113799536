"""Curves of several agents: a mean over seeds in its 95% interval for each point of a sweep."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metarl_jax.evaluation.population_record import PointRecord
from metarl_jax.evaluation.statistics import seeds_half_width
from metarl_jax.report import style
from metarl_jax.report.reference_lines import UNKNOWN, reference_curves, total_levels
from metarl_jax.report.style import Label
from metarl_jax.report.units import quantity
from metarl_jax.tasks.distribution import References
from metarl_jax.training.metrics_row import MetricsRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = Sequence[PointRecord]


class NamedCurve(NamedTuple):
    """An adaptation curve and its name.

    Attributes:
        name: before the number at its end; "" for none.
        mean: [E] return of each episode.
        ci95: [E] half-widths of 95% intervals, NaN for none.
    """

    name: str
    mean: Sequence[float]
    ci95: Sequence[float]


def learning_figure(
    rows: Sequence[MetricsRow],
    points: Points,
    *,
    title: str,
    references: References = UNKNOWN,
) -> "Figure":
    """Meta-test return of a whole meta-episode against the environment steps of one agent.

    Args:
        rows: of `metrics.jsonl`.
        points: which agents belong together.
        title: whose run it is.
        references: exact values, drawn as lines.
    """
    figure = style.new_figure(8.0, 4.6)
    style.heading(figure, title, f"return of a whole meta-episode on meta-test tasks{_how(points)}")
    axes = figure.add_subplot()
    style.quiet_axes(axes)
    steps, totals = members_totals(rows)
    style.step_axis(axes, steps[-1] if len(steps) else 0)
    labels = total_levels(axes, references)
    for point, colour in zip(points, _colours(len(points)), strict=True):
        if len(steps):
            values = totals[:, list(point.agents)]
            axes.plot(steps, values, color=colour, alpha=0.3, linewidth=0.8)
            mean = _band(axes, steps, values.T, colour)
            labels.append(Label(mean[-1], f"{name_of(point)}{quantity(mean[-1])}", colour))
    style.label_beside(axes, labels)
    return figure


def members_totals(rows: Sequence[MetricsRow]) -> tuple[np.ndarray, np.ndarray]:
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


def adaptation_figure(points: Points, *, title: str, references: References = UNKNOWN) -> "Figure":
    """Return per episode: means over agents with their 95% intervals.

    Args:
        points: one curve each.
        title: whose run it is.
        references: exact values, drawn as lines.
    """
    curves = [
        NamedCurve(name_of(point), point.episode_return_mean, point.episode_return_ci95)
        for point in points
    ]
    return curves_figure(
        curves,
        title=f"{title}: adaptation",
        subtitle=f"return per meta-test episode{_how(points)}",
        references=references,
    )


def curves_figure(
    curves: Sequence[NamedCurve], *, title: str, subtitle: str, references: References = UNKNOWN
) -> "Figure":
    """Several adaptation curves over the same episodes.

    Args:
        curves: at least one.
        title: above the figure.
        subtitle: below the title.
        references: exact values, drawn as lines.
    """
    figure = style.new_figure(7.2, 4.4)
    style.heading(figure, title, subtitle)
    axes = figure.add_subplot()
    style.quiet_axes(axes)
    axes.set(xlabel="episode", ylabel="return of the episode")
    num_episodes = len(curves[0].mean)
    labels = reference_curves(axes, references, num_episodes)
    for curve, colour in zip(curves, _colours(len(curves)), strict=True):
        mean = np.array(curve.mean, np.float64)
        width = np.nan_to_num(np.array(curve.ci95, np.float64))
        episodes = np.arange(1, len(mean) + 1)
        style.curve_with_interval(axes, episodes, mean, width, colour)
        labels.append(Label(mean[-1], f"{curve.name}{quantity(mean[-1])}", colour))
    style.episode_axis(axes, num_episodes)
    style.label_beside(axes, labels, line_height=0.055)
    return figure


def sweep_figure(points: Points, *, title: str, references: References = UNKNOWN) -> "Figure":
    """Total return at the end against the swept value; every agent a dot.

    Over one hyper-parameter the axis is its value, logarithmic where all are positive and differ
    tenfold; over several, each combination has a place of its own.

    Args:
        points: one for each combination of swept values.
        title: whose run it is.
        references: exact values, drawn as lines.
    """
    figure = style.new_figure(7.2, 4.4)
    style.heading(figure, f"{title}: sweep", f"return of a meta-test meta-episode{_how(points)}")
    axes = figure.add_subplot()
    style.quiet_axes(axes)
    names = list(points[0].values)
    places = np.arange(len(points), dtype=np.float64)
    if len(names) == 1:
        places = np.array([point.values[names[0]] for point in points])
        if places.min() > 0 and places.max() >= 10 * places.min():
            axes.set_xscale("log")
        axes.set(xlabel=names[0].replace("_", " "))
    else:
        axes.set_xticks(places, [name_of(point)[:-2].replace(", ", "\n") for point in points])
        axes.tick_params(axis="x", labelsize=7)
    order = np.argsort(places)
    means = np.array([point.total_return_mean for point in points])
    widths = np.nan_to_num(np.array([point.total_return_ci95 for point in points], np.float64))
    for place, point in zip(places, points, strict=True):
        totals = point.total_return_of_agents
        axes.plot([place] * len(totals), totals, "o", color=style.SKY, markersize=4)
    joined = "-" if len(names) == 1 else "none"
    axes.errorbar(
        places[order],
        means[order],
        widths[order],
        color=style.BLUE,
        linestyle=joined,
        linewidth=1.8,
        marker="o",
        capsize=3,
    )
    style.label_beside(axes, total_levels(axes, references))
    return figure


def name_of(point: PointRecord) -> str:
    """Its values, for a label before a number; nothing where nothing is swept."""
    values = ", ".join(f"{n.replace('_', ' ')} {v:g}" for n, v in point.values.items())
    return f"{values}: " if values else ""


def _how(points: Points) -> str:
    size = len(points[0].agents)
    return f"; means over {size} seeds with 95% intervals" if size > 1 else ""


def _colours(count: int) -> Sequence[Any]:
    """One alone as any policy; several from dark to light, in the order of the swept values."""
    if count == 1:
        return [style.BLUE]
    from matplotlib import colormaps

    return [colormaps["viridis"](0.85 * i / (count - 1)) for i in range(count)]


def _band(axes: "Axes", steps: np.ndarray, values: np.ndarray, colour: str) -> np.ndarray:
    """The mean of values [S, R] over agents, in its interval."""
    mean, width = values.mean(axis=0), np.nan_to_num(seeds_half_width(values))
    axes.fill_between(steps, mean - width, mean + width, color=colour, alpha=0.18, linewidth=0)
    axes.plot(steps, mean, color=colour, linewidth=1.8)
    return mean
