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


class MetaTest(NamedTuple):
    """The evaluations of a run's rows; half-widths of 95% intervals are NaN where none is told.

    Attributes:
        steps: [R] environment steps.
        returns: [R, E] of each episode.
        returns_ci95: [R, E] of these.
        total_ci95: [R] of the return of a whole meta-episode.
    """

    steps: np.ndarray
    returns: np.ndarray
    returns_ci95: np.ndarray
    total_ci95: np.ndarray


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

    Args:
        rows: of `metrics.jsonl`.
        references: exact values of these tasks.
    """
    tested = meta_test(rows)
    last = tested.returns.shape[1]
    total = Line(
        name="meta-test tasks",
        xs=tested.steps,
        ys=tested.returns.sum(axis=1),
        colour=style.BLUE,
        half_width=known_widths(tested.total_ci95),
    )
    trained = metric_line(rows, lambda row: row.total_return, style.BLUE)
    charts = [_steps_chart("learning", "Whole meta-episode", [total, trained], references)]
    if last > 1:
        first_and_last = _first_and_last(rows, tested)
        optimal = references.optimal_episodes or ()
        known = tuple(
            Level(name="Bayes-optimal", y=float(optimal[i]), colour=colour, look="dashed")
            for i, colour in ((0, style.SKY), (-1, style.BLUE))
            if optimal
        )
        title = f"Episode 1 and episode {last}"
        charts.append(_steps_chart("episodes", title, first_and_last, levels=known))
    return charts


def _first_and_last(rows: Rows, tested: MetaTest) -> list[Line]:
    last = tested.returns.shape[1] - 1
    metrics: tuple[tuple[Metric, int, str], ...] = (
        (lambda row: row.return_last_episode, last, style.BLUE),
        (lambda row: row.return_first_episode, 0, style.SKY),
    )
    tests = [
        Line(
            name=f"episode {index + 1}",
            xs=tested.steps,
            ys=tested.returns[:, index],
            colour=colour,
            half_width=known_widths(tested.returns_ci95[:, index]),
        )
        for _, index, colour in metrics
    ]
    return tests + [metric_line(rows, metric, colour) for metric, _, colour in metrics]


def _steps_chart(
    name: str,
    title: str,
    lines: Sequence[Line],
    references: References | None = None,
    levels: tuple[Level, ...] = (),
) -> Chart:
    known = total_levels(references) if references else levels
    return Chart(name=name, title=title, x=STEPS, y=RETURN, lines=tuple(lines), levels=known)


def diagnostic_charts(rows: Rows) -> list[Chart]:
    """Entropy, value error and gradient norm of the updates."""
    charts = []
    for name, title, unit, metric, logarithmic in DIAGNOSTICS:
        line = metric_line(rows, metric, style.INK, name=title.lower(), look="solid")
        has_logarithm = len(line.ys) > 0 and bool(line.ys.min() > 0)
        y = Axis(label=unit, logarithmic=logarithmic and has_logarithm)
        charts.append(Chart(name=name, title=title, x=STEPS, y=y, lines=(line,), small=True))
    return charts


def metric_line(
    rows: Rows, metric: Metric, colour: str, *, name: str = TRAINED_ON, look: Any = "pale"
) -> Line:
    """A metric over the rows that hold it."""
    values = [(row.env_steps, metric(row)) for row in rows]
    found = [(at, value) for at, value in values if value is not None and np.isfinite(value)]
    steps, kept = np.array(found, np.float64).reshape(-1, 2).T
    return Line(name=name, xs=steps, ys=kept, colour=colour, look=look)


def meta_test(rows: Rows) -> MetaTest:
    """The evaluated rows; rows of another number of episodes than the last one's are left out."""
    found = [row for row in rows if row.meta_test_episode_returns]
    last = len(found[-1].meta_test_episode_returns or ()) if found else 1
    kept = [row for row in found if len(row.meta_test_episode_returns or ()) == last]
    unknown = (np.nan,) * last

    def array(values: list[object], *shape: int) -> np.ndarray:
        return np.array(values, np.float64).reshape(len(kept), *shape)

    return MetaTest(
        array([row.env_steps for row in kept]),
        array([row.meta_test_episode_returns for row in kept], last),
        array([row.meta_test_episode_returns_ci95 or unknown for row in kept], last),
        array([row.meta_test_total_return_ci95 for row in kept]),
    )


def known_widths(ci95: Sequence[float] | np.ndarray) -> np.ndarray | None:
    """Half-widths of intervals, 0 where one is unknown; None where all are."""
    widths = np.array(ci95, np.float64)
    return np.nan_to_num(widths) if np.isfinite(widths).any() else None
