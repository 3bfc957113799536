"""The curves of a run: how it learned across updates, and how it adapts within a meta-episode.

Every function takes the rows of `metrics.jsonl` and the record of `evaluation.json`, and returns a
figure; `style.save_figure` writes it.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from metarl_jax.evaluation.record import EvaluationRecord
from metarl_jax.report import style
from metarl_jax.report.reference_lines import UNKNOWN, reference_curves, total_levels
from metarl_jax.report.style import Label
from metarl_jax.report.units import quantity
from metarl_jax.tasks.distribution import References
from metarl_jax.training.metrics_row import MetricsRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Metric = Callable[[MetricsRow], float | None]
"""Takes one number out of a row; None where the row has no such number."""


class Diagnostic(NamedTuple):
    """A metric of the updates with a panel of its own.

    Attributes:
        name: a short one, without spaces.
        quantity: what it is.
        unit: of it, or what it is before or after.
        value: takes it out of a row.
        logarithmic: its first values are far above the rest.
    """

    name: str
    quantity: str
    unit: str
    value: Metric
    logarithmic: bool = False


DIAGNOSTICS = (
    Diagnostic("entropy", "policy entropy", "nats", lambda row: row.entropy),
    # The first errors are of a value that has seen nothing.
    Diagnostic(
        "value_error",
        "value error",
        "½ (error / σ)²",
        lambda row: row.value_error,
        logarithmic=True,
    ),
    Diagnostic("gradient_norm", "gradient norm", "before clipping", lambda row: row.gradient_norm),
)


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
    style.heading(figure, title, "on meta-test tasks; pale: on the tasks trained on")
    # Two grids of their own: the labels beside the curves shall not narrow the panels below.
    above, below = figure.add_gridspec(2, 1, height_ratios=(1.8, 1))
    curves, diagnostics = above.subgridspec(1, 2), below.subgridspec(1, len(DIAGNOSTICS))
    _total_panel(figure.add_subplot(curves[0]), rows, references)
    _episodes_panel(figure.add_subplot(curves[1]), rows, references)
    for column, diagnostic in enumerate(DIAGNOSTICS):
        axes = figure.add_subplot(diagnostics[column])
        style.quiet_axes(axes, title=f"{diagnostic.quantity}, {diagnostic.unit}")
        style.step_axis(axes, _last_step(rows))
        axes.plot(*series_of(rows, diagnostic.value), color=style.INK, linewidth=1.0)
        if diagnostic.logarithmic:
            axes.set_yscale("log")
    return figure


def _total_panel(axes: "Axes", rows: Sequence[MetricsRow], references: References) -> None:
    style.quiet_axes(axes, title="return of a whole meta-episode")
    style.step_axis(axes, _last_step(rows))
    axes.plot(
        *series_of(rows, lambda row: row.total_return), color=style.BLUE, alpha=0.3, linewidth=1.0
    )
    steps, returns = meta_test_returns(rows)
    totals = returns.sum(axis=1)
    _meta_test_line(axes, steps, totals, style.BLUE)
    labels = total_levels(axes, references)
    if len(totals):
        labels.append(Label(totals[-1], quantity(totals[-1]), style.BLUE))
    style.label_beside(axes, labels)


def _episodes_panel(axes: "Axes", rows: Sequence[MetricsRow], references: References) -> None:
    steps, returns = meta_test_returns(rows)
    last = returns.shape[1]
    style.quiet_axes(axes, title=f"return of episode 1 and of episode {last}")
    style.step_axis(axes, _last_step(rows))
    curves: list[tuple[Metric, int, str]] = [
        (lambda row: row.return_first_episode, 0, style.SKY),
        (lambda row: row.return_last_episode, -1, style.BLUE),
    ]
    labels = []
    for metric, index, colour in curves[2 - min(last, 2) :]:
        axes.plot(*series_of(rows, metric), color=colour, alpha=0.3, linewidth=1.0)
        if len(steps):
            _meta_test_line(axes, steps, returns[:, index], colour)
            end, episode = returns[-1, index], range(1, last + 1)[index]
            labels.append(Label(end, f"episode {episode}: {quantity(end)}", colour))
        if references.optimal_episodes:
            axes.axhline(
                references.optimal_episodes[index],
                color=colour,
                linewidth=1.0,
                linestyle=style.DASHED,
            )
    if references.optimal_episodes:
        labels.append(Label(references.optimal_episodes[-1], "dashed: Bayes-optimal", style.INK))
    style.label_beside(axes, labels)


def _last_step(rows: Sequence[MetricsRow]) -> float:
    return max((row.env_steps for row in rows), default=0)


def series_of(rows: Sequence[MetricsRow], metric: Metric) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values [R] of the rows that hold this metric."""
    values = [(row.env_steps, metric(row)) for row in rows]
    found = [(at, value) for at, value in values if value is not None and np.isfinite(value)]
    steps, kept = np.array(found, np.float64).reshape(-1, 2).T
    return steps, kept


def meta_test_returns(rows: Sequence[MetricsRow]) -> tuple[np.ndarray, np.ndarray]:
    """Steps [R] and returns [R, E] of the evaluated rows; [0] and [0, 1] where there are none.

    Rows of another number of episodes than the last one's are left out.
    """
    found = [
        (row.env_steps, row.meta_test_episode_returns)
        for row in rows
        if row.meta_test_episode_returns
    ]
    if not found:
        return np.zeros(0), np.zeros((0, 1))
    found = [(at, returns) for at, returns in found if len(returns) == len(found[-1][1])]
    steps, returns = zip(*found, strict=True)
    return np.array(steps, np.float64), np.array(returns, np.float64)


def _meta_test_line(axes: "Axes", steps: np.ndarray, values: np.ndarray, colour: str) -> None:
    marker = "o" if len(steps) <= 30 else None
    axes.plot(steps, values, color=colour, linewidth=1.8, marker=marker, markersize=3.2)


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
        references: exact values, if these are its tasks and its number of episodes. What a policy
            without memory, or one told the task, can get is the same in every episode; of the
            optimum a total alone is drawn as the mean that it is.
    """
    figure = style.new_figure(7.2, 4.4)
    style.heading(
        figure,
        f"{evaluation.task_family}: adaptation on meta-test tasks",
        _how_evaluated(evaluation),
    )
    axes = figure.add_subplot()
    style.quiet_axes(axes)
    axes.set(xlabel="episode", ylabel="return of the episode")
    records = [*baselines, evaluation]
    labels = [_adaptation_curve(axes, record) for record in records]
    drawn = {record.policy for record in records}
    labels += reference_curves(axes, references, len(evaluation.episode_return_mean), drawn)
    style.episode_axis(axes, len(evaluation.episode_return_mean))
    style.label_beside(axes, labels, line_height=0.055)
    return figure


def _how_evaluated(evaluation: EvaluationRecord) -> str:
    actions = "sampled" if evaluation.sampled_actions else "most probable"
    width = evaluation.total_return_ci95
    interval = f" ± {quantity(width)}" if np.isfinite(width) else ""  # of one task there is none
    return (
        f"mean return per episode, 95% intervals; {evaluation.num_tasks:,} tasks, {actions} "
        f"actions; total {quantity(evaluation.total_return_mean)}{interval}"
    )


def _adaptation_curve(axes: "Axes", evaluation: EvaluationRecord) -> Label:
    mean = np.array(evaluation.episode_return_mean, np.float64)  # [E]
    half_width = np.array(evaluation.episode_return_ci95, np.float64)  # [E], NaN for one task
    episodes = np.arange(1, len(mean) + 1)
    colour = style.POLICY_COLOURS.get(evaluation.policy, style.PURPLE)
    style.curve_with_interval(axes, episodes, mean, half_width, colour)
    return Label(mean[-1], f"{evaluation.policy}: {quantity(mean[-1])}", colour)
