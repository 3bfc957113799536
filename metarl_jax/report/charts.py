"""The charts of a run, from its rows and its evaluations: how it learned, and how it adapts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metarl_jax.evaluation.record import EvaluationRecord
from metarl_jax.report import style
from metarl_jax.report.chart import EPISODES, STEPS, Axis, Chart, Level, Line
from metarl_jax.report.reference_lines import mean_levels, total_levels
from metarl_jax.tasks.distribution import References
from metarl_jax.training.metrics_row import MetricsRow

Rows = Sequence[MetricsRow]
Metric = Callable[[MetricsRow], float | None]
"""Takes one number out of a row; None where the row has no such number."""
WHOLE = "Return of a whole meta-episode"
TRAINED_ON = "tasks trained on"
RETURN = Axis(label="return")


class Diagnostic(NamedTuple):
    """A metric of the updates with a chart of its own.

    Attributes:
        name: a short one, without spaces.
        title: what it is.
        unit: of it, or what it is before or after.
        value: takes it out of a row.
        logarithmic: its first values are far above the rest.
    """

    name: str
    title: str
    unit: str
    value: Metric
    logarithmic: bool = False


DIAGNOSTICS = (
    Diagnostic("entropy", "Policy entropy", "nats", lambda row: row.entropy),
    # The first errors are of a value that has seen nothing.
    Diagnostic("value_error", "Value error", "½ (error / σ)²", lambda row: row.value_error, True),
    Diagnostic("gradient_norm", "Gradient norm", "before clipping", lambda row: row.gradient_norm),
)


def adaptation_chart(
    evaluation: EvaluationRecord, baselines: Sequence[EvaluationRecord], references: References
) -> Chart:
    """Mean return of each episode with its 95% interval, between what is known.

    Args:
        evaluation: of this run.
        baselines: of other policies on the same tasks.
        references: exact values, if these are its tasks and its number of episodes. What a policy
            without memory, or one told the task, can get is the same in every episode; of the
            optimum a total alone is drawn as the mean that it is.
    """
    records = [evaluation, *baselines]
    lines = [
        episodes_line(
            record.policy,
            record.episode_return_mean,
            record.episode_return_ci95,
            style.POLICY_COLOURS.get(record.policy, style.PURPLE),
        )
        for record in records
    ]
    return episodes_chart(lines, references, {record.policy for record in records})


def ablations_chart(
    evaluation: EvaluationRecord, ablations: Mapping[str, EvaluationRecord]
) -> Chart:
    """The adaptation curve, and the same with one thing at a time taken away.

    Args:
        evaluation: of this run.
        ablations: of the same checkpoint on the same tasks, by what was taken away.
    """
    named = {"nothing taken away": evaluation, **ablations}
    lines = [
        episodes_line(name, record.episode_return_mean, record.episode_return_ci95, colour)
        for (name, record), colour in zip(named.items(), style.SEVERAL, strict=False)
    ]
    return episodes_chart(lines, References(), name="ablations")


def episodes_chart(
    lines: Sequence[Line],
    references: References,
    drawn: set[str] | None = None,
    *,
    name: str = "adaptation",
) -> Chart:
    """Adaptation curves over the same episodes, and what is known of these.

    Args:
        lines: at least one, of `episodes_line`.
        references: exact values.
        drawn: policies among the lines that stand for a reference.
        name: of the chart.
    """
    num_episodes = max(len(line.xs) for line in lines)
    optimum = (references.optimal_episodes or ())[:num_episodes]
    known = [episodes_line("Bayes-optimal", optimum, None, style.INK)] if optimum else []
    return Chart(
        name=name,
        title="Return of each episode",
        x=EPISODES,
        y=RETURN,
        lines=(*lines, *known),
        levels=mean_levels(references, num_episodes, drawn or ()),
    )


def episodes_line(
    name: str, mean: Sequence[float], ci95: Sequence[float] | None, colour: str
) -> Line:
    """Returns of episodes 1 to E in their intervals, NaN for none; dashed where they are exact."""
    return Line(
        name=name,
        xs=np.arange(1.0, len(mean) + 1),
        ys=np.array(mean, np.float64),
        colour=colour,
        half_width=None if ci95 is None else known_widths(ci95),
        look="dashed" if ci95 is None else "solid",
    )


def learning_charts(rows: Rows, references: References) -> list[Chart]:
    """Return against environment steps: of whole meta-episodes, and of the first and last episode.

    Evaluations of another number of episodes than the last one's are left out.

    Args:
        rows: of `metrics.jsonl`.
        references: exact values of these tasks.
    """
    tested = [row.meta_test_episode_returns for row in rows if row.meta_test_episode_returns]
    last = len(tested[-1]) if tested else 1

    def total(row: MetricsRow) -> float | None:
        returns = row.meta_test_episode_returns or ()
        return sum(returns) if len(returns) == last else None

    def width(row: MetricsRow) -> float | None:
        return row.meta_test_total_return_ci95

    whole = metric_line("meta-test tasks", rows, total, style.BLUE, width=width)
    trained = metric_line(TRAINED_ON, rows, lambda row: row.total_return, style.BLUE, look="pale")
    lines = (whole, trained)
    levels = total_levels(references)
    charts = [
        Chart(name="learning", title=WHOLE, x=STEPS, y=RETURN, lines=lines, levels=levels),
    ]
    return charts + ([_first_and_last(rows, last, references)] if last > 1 else [])


def _first_and_last(rows: Rows, last: int, references: References) -> Chart:
    def trained_first(row: MetricsRow) -> float | None:
        return row.return_first_episode

    def trained_last(row: MetricsRow) -> float | None:
        return row.return_last_episode

    tested, trained, levels = [], [], []
    for number, metric, colour in (
        (last, trained_last, style.BLUE),
        (1, trained_first, style.SKY),
    ):
        value, width = _of_episode(number, last)
        tested.append(metric_line(f"episode {number}", rows, value, colour, width=width))
        trained.append(metric_line(TRAINED_ON, rows, metric, colour, look="pale"))
        if references.optimal_episodes:
            y = float(references.optimal_episodes[0 if number == 1 else -1])
            levels.append(Level(name="Bayes-optimal", y=y, colour=colour, look="dashed"))
    return Chart(
        name="episodes",
        title=f"Return of episode 1 and episode {last}",
        x=STEPS,
        y=RETURN,
        lines=(*tested, *trained),
        levels=tuple(levels),
    )


def _of_episode(number: int, last: int) -> tuple[Metric, Metric]:
    """The meta-test return of an episode, of `last`, and the half-width of its interval."""

    def pick(values: Sequence[float] | None) -> float | None:
        return values[number - 1] if values is not None and len(values) == last else None

    return (
        lambda row: pick(row.meta_test_episode_returns),
        lambda row: pick(row.meta_test_episode_returns_ci95),
    )


def diagnostic_charts(rows: Rows) -> list[Chart]:
    """Entropy, value error and gradient norm of the updates."""
    charts = []
    for name, title, unit, metric, logarithmic in DIAGNOSTICS:
        line = metric_line(title.lower(), rows, metric, style.INK)
        has_logarithm = len(line.ys) > 0 and bool(line.ys.min() > 0)
        y = Axis(label=unit, logarithmic=logarithmic and has_logarithm)
        charts.append(Chart(name=name, title=title, x=STEPS, y=y, lines=(line,), small=True))
    return charts


def metric_line(
    name: str, rows: Rows, metric: Metric, colour: str, *, width: Metric | None = None, **look: Any
) -> Line:
    """A metric over the rows that hold it, in its intervals where `width` tells their half."""
    found = [(row.env_steps, metric(row), width(row) if width else None) for row in rows]
    kept = [told for told in found if told[1] is not None and np.isfinite(told[1])]
    steps, values, widths = np.array(kept, np.float64).reshape(-1, 3).T
    return Line(
        name=name, xs=steps, ys=values, colour=colour, half_width=known_widths(widths), **look
    )


def known_widths(ci95: Sequence[float] | np.ndarray) -> np.ndarray | None:
    """Half-widths of intervals, 0 where one is unknown; None where all are."""
    widths = np.array(ci95, np.float64)
    return np.nan_to_num(widths) if np.isfinite(widths).any() else None
