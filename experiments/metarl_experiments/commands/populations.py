"""The end of a run of several agents: each evaluated, and what they come to per swept value."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from metarl_experiments.commands.evaluation_record import (
    EvaluateOptions,
    evaluation_record,
    evaluator_of,
    write_evaluation,
)
from metarl_experiments.runs import RunConfig
from metarl_jax.evaluation.evaluation import Evaluation
from metarl_jax.evaluation.statistics import seeds_half_width
from metarl_jax.experiment.build import Setup
from metarl_jax.experiment.sweep import sweep_points
from metarl_jax.learning.train_state import TrainState
from metarl_jax.report.population import adaptation_figure, learning_figure, sweep_figure
from metarl_jax.report.run_report import write_points_report
from metarl_jax.report.style import save_figure
from metarl_jax.training.metrics_file import read_rows
from metarl_jax.training.plan import SKIPPED_IN_A_ROW
from metarl_jax.trees import take


def evaluate_population(
    options: EvaluateOptions, config: RunConfig, setup: Setup, state: TrainState
) -> dict[str, Any]:
    """Evaluates every agent on the same meta-test tasks; writes LABEL.npz and LABEL.json.

    Args:
        options: which question is asked of each.
        config: the run's.
        setup: the run's.
        state: of all agents, leading axis [S].

    Returns:
        What LABEL.json holds: what was asked, and a list of `points`, one for each combination of
        swept values, with means over its agents and, where these are several, 95% intervals;
        and `diverged_agents`, whose last updates were skipped.
    """
    evaluator = evaluator_of(options, config, setup)
    params = state.learner.params
    each = [evaluator(take(params, i)) for i in range(len(setup.agents))]
    asked = evaluation_record(each[0], options, config, setup, int(state.update[0]))
    record = {
        name: value
        for name, value in asked.items()
        if not {"return", "gain", "regret", "score", "references"} & set(name.split("_"))
    }
    record["points"] = _points(config, each)
    skipped = np.asarray(state.skipped_in_a_row)
    record["diverged_agents"] = np.flatnonzero(skipped >= SKIPPED_IN_A_ROW).tolist()
    write_evaluation(options, record, np.stack([e.episode_returns for e in each]))
    return record


def _points(config: RunConfig, each: list[Evaluation]) -> list[dict[str, Any]]:
    num_seeds = config.settings.num_seeds
    return [
        _point(values, list(range(i * num_seeds, (i + 1) * num_seeds)), config, each)
        for i, values in enumerate(sweep_points(config.sweep))
    ]


def _point(
    values: dict[str, float], agents: list[int], config: RunConfig, each: list[Evaluation]
) -> dict[str, Any]:
    curves = np.stack([each[i].episode_return_mean for i in agents])  # [seeds, E]
    totals = np.array([each[i].total_return_mean for i in agents])  # [seeds]
    return {
        "values": values,
        "seeds": list(range(config.settings.seed, config.settings.seed + len(agents))),
        "agents": agents,
        "episode_return_mean": curves.mean(axis=0).tolist(),
        "episode_return_ci95": seeds_half_width(curves).tolist(),
        "total_return_mean": float(totals.mean()),
        "total_return_ci95": float(seeds_half_width(totals)),
        "total_return_of_agents": totals.tolist(),
    }


def print_population(record: dict[str, Any]) -> None:
    """One line for each point."""
    points = record["points"]
    names = list(points[0]["values"])
    last = len(points[0]["episode_return_mean"])
    table = Table(*names, "agents", box=None)
    for column in dict.fromkeys(("episode 1", f"episode {last}", "total")):
        table.add_column(column, justify="right")
    for point in points:
        means, widths = point["episode_return_mean"], point["episode_return_ci95"]
        shown = [(means[i], widths[i]) for i in sorted({0, last - 1})]
        shown.append((point["total_return_mean"], point["total_return_ci95"]))
        cells = [f"{mean:.4f}" + (f" ± {w:.4f}" if np.isfinite(w) else "") for mean, w in shown]
        table.add_row(
            *(f"{value:g}" for value in point["values"].values()),
            str(len(point["agents"])),
            *cells,
        )
    several = len(points[0]["agents"]) > 1
    print(
        f"{record['num_tasks']:,} meta-test tasks for each agent"
        + (", means over agents with 95% intervals:" if several else ":")
    )
    Console(highlight=False).print(table)
    if record["diverged_agents"]:
        print(
            f"diverged: agents {', '.join(map(str, record['diverged_agents']))} (counted from 0): "
            f"their last {SKIPPED_IN_A_ROW} updates or more were skipped, for what they led to was "
            "not finite."
        )


def draw_population(
    folder: Path, config: RunConfig, setup: Setup, record: dict[str, Any]
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
    title = f"{config.experiment.rpartition(':')[2]}, {config.settings.policy} policy"
    rows, points = read_rows(folder / "metrics.jsonl"), record["points"]
    named = {"title": title, "references": setup.tasks.references()}
    figures = {
        "learning.png": learning_figure(rows, points, **named),
        "adaptation.png": adaptation_figure(points, **named),
    }
    if config.sweep:
        figures["sweep.png"] = sweep_figure(points, **named)
    for name, figure in figures.items():
        save_figure(figure, folder / name)
    report = write_points_report(folder, record, named["references"])
    return [*(folder / name for name in figures), report]
