"""The figures of a run of one agent: how it learned, and how it adapts within a meta-episode.

Every function takes the rows of `metrics.jsonl` or the record of `evaluation.json`, and returns a
figure; `style.save_figure` writes it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metarl_jax.evaluation.record import EvaluationRecord
from metarl_jax.report import style
from metarl_jax.report.chart import Chart
from metarl_jax.report.charts import adaptation_chart, diagnostic_charts, learning_charts
from metarl_jax.report.drawing import draw_chart
from metarl_jax.report.reference_lines import UNKNOWN
from metarl_jax.report.units import quantity
from metarl_jax.tasks.distribution import References
from metarl_jax.training.metrics_row import MetricsRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning_figure(
    rows: Sequence[MetricsRow], *, title: str, references: References = UNKNOWN
) -> "Figure":
    """Return against environment steps, and the diagnostics below it.

    Args:
        rows: of `metrics.jsonl`.
        title: whose run it is.
        references: exact values, drawn as lines.
    """
    figure = style.new_figure(9.0, 6.0)
    subtitle = "return on meta-test tasks with 95% intervals; pale: on the tasks trained on"
    style.heading(figure, title, subtitle)
    # Two grids of their own: the names beside the curves shall not narrow the panels below.
    above, below = figure.add_gridspec(2, 1, height_ratios=(1.8, 1))
    for grid, charts in (
        (above, learning_charts(rows, references)),
        (below, diagnostic_charts(rows)),
    ):
        panels = grid.subgridspec(1, len(charts))
        for column, chart in enumerate(charts):
            axes = figure.add_subplot(panels[column])
            unit = f", {chart.y.label}" if chart.small else ""
            style.quiet_axes(axes, title=f"{chart.title}{unit}")
            draw_chart(axes, chart)
    return figure


def adaptation_figure(
    evaluation: EvaluationRecord,
    *,
    baselines: Sequence[EvaluationRecord] = (),
    references: References = UNKNOWN,
) -> "Figure":
    """Mean return of each episode with its 95% interval: the adaptation curve.

    Args:
        evaluation: of this run.
        baselines: of the memoryless and the contextual policy on the same tasks, where trained.
        references: exact values, if these are its tasks and its number of episodes.
    """
    return chart_figure(
        adaptation_chart(evaluation, baselines, references),
        title=f"{evaluation.task_family}: adaptation on meta-test tasks",
        subtitle=_how_evaluated(evaluation),
    )


def chart_figure(chart: Chart, *, title: str, subtitle: str) -> "Figure":
    """A figure of one chart.

    Args:
        chart: what to draw.
        title: above the figure.
        subtitle: below the title.
    """
    figure = style.new_figure(7.2, 4.4)
    style.heading(figure, title, subtitle)
    axes = figure.add_subplot()
    style.quiet_axes(axes)
    axes.set(ylabel=chart.title[0].lower() + chart.title[1:])
    draw_chart(axes, chart, line_height=0.055)
    return figure


def _how_evaluated(evaluation: EvaluationRecord) -> str:
    actions = "sampled" if evaluation.sampled_actions else "most probable"
    width = evaluation.total_return_ci95
    interval = f" ± {quantity(width)}" if np.isfinite(width) else ""  # of one task there is none
    return (
        f"mean return per episode, 95% intervals; {evaluation.num_tasks:,} tasks, {actions} "
        f"actions; total {quantity(evaluation.total_return_mean)}{interval}"
    )
