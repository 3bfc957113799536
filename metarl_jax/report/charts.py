"""The curves of a run as plain data, for a page to draw; each with its words for who sees none.

A chart is a mapping: `title`, names of its axes `x` and `y`, `lines` over x, `levels` across all of
it, and `words`. A colour is the name of one of the page's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metarl_jax.evaluation.population_record import PointRecord
from metarl_jax.evaluation.record import EvaluationRecord
from metarl_jax.evaluation.statistics import seeds_half_width
from metarl_jax.report import style
from metarl_jax.report.figures import DIAGNOSTICS, Metric, meta_test_returns, series_of
from metarl_jax.report.population import members_totals, name_of
from metarl_jax.report.reference_lines import LEVEL_LOOKS, known_means, reference_totals
from metarl_jax.report.units import quantity, round_count
from metarl_jax.tasks.distribution import References
from metarl_jax.training.metrics_row import MetricsRow

Chart = dict[str, Any]
Rows = Sequence[MetricsRow]

COLOURS = {
    style.INK: "ink",
    style.BLUE: "accent",
    style.SKY: "sky",
    style.GREEN: "green",
    style.VERMILION: "vermilion",
    style.PURPLE: "purple",
    style.MUTED: "muted",
}
"""Names of the style's colours, so that a dark page can have its own."""
SEVERAL = ("accent", "vermilion", "green", "purple", "sky", "ink")
MOST_POINTS = 400
"""Points of a line; of more, so many at even distances."""
DASHES = {style.DASHED: "dashed", style.DOTTED: "dotted"}
EPISODE_AXES = {"x": "episode", "y": "return", "whole": True}
STEP_AXES = {"x": "environment steps", "y": "", "steps": True, "zero": True}


def adaptation_chart(
    evaluation: EvaluationRecord, baselines: Sequence[EvaluationRecord], references: References
) -> Chart:
    """Mean return of each episode with its 95% interval, between what is known.

    Args:
        evaluation: of this run.
        baselines: of other policies on the same tasks.
        references: exact values of these tasks.
    """
    records = [evaluation, *baselines]
    lines = [
        curve(
            record.policy,
            record.episode_return_mean,
            record.episode_return_ci95,
            COLOURS[style.POLICY_COLOURS.get(record.policy, style.PURPLE)],
        )
        for record in records
    ]
    num_episodes = len(evaluation.episode_return_mean)
    if references.optimal_episodes:
        optimum = references.optimal_episodes[:num_episodes]
        lines.append(curve("Bayes-optimal", optimum, None, "ink") | {"dash": "dashed"})
    drawn = {record.policy for record in records}
    means = known_means(references, num_episodes, drawn)
    random = evaluation.references.random
    if random is not None:
        means["random actions"] = random / num_episodes
    return chart("adaptation", "Return of each episode", EPISODE_AXES, lines, means)


def ablations_chart(
    evaluation: EvaluationRecord, ablations: Mapping[str, EvaluationRecord]
) -> Chart:
    """The same curve with one thing at a time taken away.

    Args:
        evaluation: of this run.
        ablations: of the same checkpoint on the same tasks, by what was taken away.
    """
    trained = curve(
        "nothing taken away",
        evaluation.episode_return_mean,
        evaluation.episode_return_ci95,
        "accent",
    )
    lines = [trained] + [
        curve(name, ablated.episode_return_mean, None, colour)
        for (name, ablated), colour in zip(ablations.items(), SEVERAL[1:], strict=False)
    ]
    return chart("ablations", "Return of each episode", EPISODE_AXES, lines, {})


def curve(name: str, mean: Sequence[float], width: Sequence[float] | None, colour: str) -> Chart:
    """Returns of episodes 1 to E, in their intervals where they have any."""
    line = _line(name, np.arange(1, len(mean) + 1), np.array(mean, np.float64), colour)
    if width is None:
        return line
    half = np.nan_to_num(np.array(width, np.float64))
    return line | _band(np.array(mean, np.float64), half)


def learning_charts(rows: Rows, references: References) -> list[Chart]:
    """Return against environment steps: of whole meta-episodes, and of the first and last episode.

    Args:
        rows: of `metrics.jsonl`.
        references: exact values of these tasks.
    """
    steps, returns = meta_test_returns(rows)
    trained_on = "tasks trained on"
    totals = [_metric(rows, lambda row: row.total_return, trained_on, "accent") | {"pale": True}]
    totals.append(_line("meta-test tasks", steps, returns.sum(axis=1), "accent"))
    charts = [
        chart("learning", "Whole meta-episode", STEP_AXES, totals, reference_totals(references))
    ]
    last = returns.shape[1]
    if last > 1:
        ends: tuple[tuple[Metric, int, str], ...] = (
            (lambda row: row.return_first_episode, 0, "sky"),
            (lambda row: row.return_last_episode, last - 1, "accent"),
        )
        lines = []
        for metric, index, colour in ends:
            lines.append(_metric(rows, metric, trained_on, colour) | {"pale": True})
            lines.append(_line(f"episode {index + 1}", steps, returns[:, index], colour))
        charts.append(chart("episodes", f"Episode 1 and episode {last}", STEP_AXES, lines, {}))
    return charts


def diagnostic_charts(rows: Rows) -> list[Chart]:
    """Entropy, value error and gradient norm of the updates."""
    charts = []
    for name, quantity_name, unit, metric, logarithmic in DIAGNOSTICS:
        line = _metric(rows, metric, quantity_name, "ink")
        title = quantity_name[0].upper() + quantity_name[1:]
        drawn = chart(name, title, STEP_AXES | {"y": unit}, [line], {})
        log = logarithmic and min(line["ys"], default=0) > 0
        charts.append(drawn | {"plain": True, "log": log})
    return charts


def points_charts(points: Sequence[PointRecord], rows: Rows, references: References) -> list[Chart]:
    """Adaptation and learning of several agents: a mean over seeds for each point of a sweep.

    Args:
        points: of the population's record.
        rows: of its `metrics.jsonl`.
        references: exact values of these tasks.
    """
    named = [name_of(point).rstrip(": ") or "all seeds" for point in points]
    colours = [SEVERAL[i % len(SEVERAL)] for i in range(len(points))]
    adaptation = [
        curve(name, point.episode_return_mean, point.episode_return_ci95, colour)
        for name, point, colour in zip(named, points, colours, strict=True)
    ]
    means = known_means(references, len(points[0].episode_return_mean))
    steps, totals = members_totals(rows)
    learning = []
    for name, point, colour in zip(named, points, colours, strict=True):
        members = totals[:, list(point.agents)].T if len(steps) else np.zeros((1, 0))
        mean, half = members.mean(axis=0), np.nan_to_num(seeds_half_width(members))
        learning.append(_line(name, steps, mean, colour) | _band(mean, half))
    return [
        chart("adaptation", "Return of each episode", EPISODE_AXES, adaptation, means),
        chart("learning", "Whole meta-episode", STEP_AXES, learning, reference_totals(references)),
    ]


def chart(
    name: str,
    title: str,
    axes: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    levels: Mapping[str, float],
) -> Chart:
    """A chart of lines that hold something, and its words."""
    kept = [dict(line) for line in lines if line["xs"]]
    drawn = {"name": name, "title": title, **axes, "lines": kept}
    drawn["levels"] = [_level(label, value) for label, value in levels.items()]
    return drawn | {"words": _words(drawn)}


def _words(drawn: Mapping[str, Any]) -> str:
    """What the curves show, said."""
    number = round_count if drawn.get("steps") else quantity
    said = [f"Line chart: {drawn['title'].lower()} against {drawn['x']}."]
    for line in drawn["lines"]:
        values = [(x, y) for x, y in zip(line["xs"], line["ys"], strict=True) if y is not None]
        if values:
            (x0, y0), (x1, y1) = values[0], values[-1]
            way = f"from {quantity(y0)} at {number(x0)} to {quantity(y1)} at {number(x1)}"
            said.append(f"{line['name']}: {way}.")
    said += [f"{level['name']}: {quantity(level['y'])}." for level in drawn["levels"]]
    return " ".join(said)


def _level(name: str, value: float) -> dict[str, Any]:
    colour, dash = LEVEL_LOOKS.get(name, (style.MUTED, style.DOTTED))
    return {"name": name, "y": float(value), "colour": COLOURS[colour], "dash": DASHES[dash]}


def _metric(rows: Rows, metric: Metric, name: str, colour: str) -> Chart:
    """A metric over the rows that hold it."""
    return _line(name, *series_of(rows, metric), colour)


def _line(name: str, xs: np.ndarray, ys: np.ndarray, colour: str) -> Chart:
    kept = _kept(len(xs))
    return {"name": name, "colour": colour, "xs": xs[kept].tolist(), "ys": _short(ys[kept])}


def _band(mean: np.ndarray, half_width: np.ndarray) -> Chart:
    kept = _kept(len(mean))
    low, high = mean - half_width, mean + half_width
    return {"low": _short(low[kept]), "high": _short(high[kept])}


def _short(values: np.ndarray) -> list[float | None]:
    """Each to five digits of its own, so that none becomes 0 that a logarithm is taken of."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in values]


def _kept(number: int) -> np.ndarray:
    return np.linspace(0, number - 1, min(number, MOST_POINTS)).round().astype(int)
