"""The end of a run of several agents: each evaluated, and what they come to per swept value."""

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from metarl_experiments.commands.evaluation_record import (
    EvaluateOptions,
    evaluator_of,
    subject_of,
)
from metarl_jax.evaluation.evaluation import Evaluation
from metarl_jax.evaluation.population_record import PointRecord, PopulationRecord
from metarl_jax.evaluation.store import write_evaluation
from metarl_jax.experiment.build import Setup
from metarl_jax.experiment.run_config import RunConfig
from metarl_jax.experiment.sweep import sweep_points
from metarl_jax.learning.train_state import TrainState
from metarl_jax.report.population import figures, name_of
from metarl_jax.report.run_report import write_points_report
from metarl_jax.report.style import save_figure
from metarl_jax.training.metrics_file import read_rows
from metarl_jax.training.plan import SKIPPED_IN_A_ROW
from metarl_jax.trees import take


def evaluate_population(
    options: EvaluateOptions, config: RunConfig, setup: Setup, state: TrainState
) -> PopulationRecord:
    """Evaluates every agent on the same meta-test tasks; writes LABEL.npz and LABEL.json.

    Args:
        options: which question is asked of each.
        config: the run's.
        setup: the run's.
        state: of all agents, leading axis [S].

    Returns:
        The record that LABEL.json holds.
    """
    evaluator = evaluator_of(options, config, setup)
    params = state.learner.params
    each = [evaluator(take(params, i)) for i in range(len(setup.agents))]
    skipped = np.asarray(state.skipped_in_a_row)
    record = PopulationRecord.of(
        subject_of(each[0], options, config, setup, int(state.update[0])),
        _points(config, each),
        np.flatnonzero(skipped >= SKIPPED_IN_A_ROW).tolist(),
    )
    write_evaluation(
        options.run, options.label, record, np.stack([e.episode_returns for e in each])
    )
    return record


def _points(config: RunConfig, each: list[Evaluation]) -> list[PointRecord]:
    num_seeds, first_seed = config.settings.budget.num_seeds, config.settings.budget.seed
    seeds = range(first_seed, first_seed + num_seeds)
    points = []
    for i, values in enumerate(sweep_points(config.sweep)):
        agents = range(i * num_seeds, (i + 1) * num_seeds)
        points.append(PointRecord.of(values, seeds, agents, [each[agent] for agent in agents]))
    return points


def print_population(record: PopulationRecord) -> None:
    """One line for each point."""
    points = record.points
    names = list(points[0].values)
    last = len(points[0].episode_return_mean)
    table = Table(*names, "agents", box=None)
    several = len(points[0].agents) > 1
    middle = ["interquartile"] if points[0].total_return_iqm is not None else []
    for column in dict.fromkeys(("episode 1", f"episode {last}", "total", *middle)):
        table.add_column(column, justify="right")
    for point in points:
        means, widths = point.episode_return_mean, point.episode_return_ci95
        shown = [(means[i], widths[i]) for i in sorted({0, last - 1})]
        shown.append((point.total_return_mean, point.total_return_ci95))
        cells = [f"{mean:.4f}" + (f" ± {w:.4f}" if np.isfinite(w) else "") for mean, w in shown]
        cells += [_middle_half(point)] if middle else []
        table.add_row(
            *(f"{value:g}" for value in point.values.values()),
            str(len(point.agents)),
            *cells,
        )
    print(
        f"{record.num_tasks:,} meta-test tasks for each agent"
        + (", means over agents with 95% intervals:" if several else ":")
    )
    Console(highlight=False).print(table)
    if len(points) > 1:
        best = max(points, key=lambda point: point.total_return_mean)
        print(f"highest return: {name_of(best)}")
    if record.diverged_agents:
        print(
            f"diverged: agents {', '.join(map(str, record.diverged_agents))} (counted from 0): "
            f"their last {SKIPPED_IN_A_ROW} updates or more were skipped, for what they led to was "
            "not finite."
        )


def _middle_half(point: PointRecord) -> str:
    """The interquartile mean over agents with the ends of its interval."""
    if point.total_return_iqm is None or point.total_return_iqm_interval95 is None:
        return ""
    low, high = point.total_return_iqm_interval95
    return f"{point.total_return_iqm:.4f}, {low:.4f} to {high:.4f}"


def draw_population(
    folder: Path, config: RunConfig, setup: Setup, record: PopulationRecord
) -> list[Path]:
    """Draws learning and adaptation of every point, and a sweep's outcome.

    Args:
        folder: the run's, with metrics.jsonl.
        config: the run's.
        setup: the run's.
        record: of `evaluate_population`.

    Returns:
        The paths of the pictures and of the report.
    """
    title = f"{config.title}, {config.settings.policy.name} policy"
    rows, points = read_rows(folder / "metrics.jsonl"), record.points
    references = setup.tasks.references()
    drawn = figures(rows, points, title=title, references=references, swept=bool(config.sweep))
    for name, figure in drawn.items():
        save_figure(figure, folder / name)
    return [*(folder / name for name in drawn), write_points_report(folder, record, references)]
