"""`make reproduce WHAT=rl2`: our agents on the tasks of RL², beside what was published.

Published are the totals of Duan et al. (2016), "RL²: Fast Reinforcement Learning via Slow
Reinforcement Learning", Tables 1 and 2, and of Mishra et al. (2018), "A Simple Neural Attentive
Meta-LearnerState", on the same tasks.
"""

import csv
import gzip
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metarl_experiments.reproduce import classical
from metarl_experiments.reproduce.jobs import Job, result_of, run
from metarl_experiments.reproduce.results import RESULTS, csv_text, markdown
from metarl_experiments.runs import make_tasks
from metarl_jax.evaluation.statistics import NORMAL_QUANTILE
from metarl_jax.experiment.registry import load_experiment
from metarl_jax.files import write_whole
from metarl_jax.types import ConfigurationError

RL2 = RESULTS.with_name("rl2.csv")
PER_TASK = RESULTS.with_name("rl2_tasks.csv.gz")
SEEDS = (0, 1, 2)
LONGER = {"bandit_10_5": ("--total-steps", "30000000")}
"""Than its preset: after 10 M steps one of nine seeds was at 98.5% of the optimum."""

# By preset: RL², SNAIL. Of both papers' cells, those that are trained here.
PUBLISHED: Mapping[str, tuple[float, float]] = {
    "bandit_10_5": (6.7, 6.6),
    "bandit_10_10": (6.7, 6.7),
    "bandit_10_50": (6.8, 6.7),
    "bandit_100_5": (78.7, 79.1),
    "bandit_100_10": (83.5, 83.5),
    "bandit_100_50": (84.9, 85.1),
    "tabular_mdp_10": (156.2, 159.1),
}


class Best(NamedTuple):
    """The best that is known without learning.

    Attributes:
        total: the Bayes-optimal mean return, or that of the best classical agent that is not told
            the task.
        ci95: half-width of its 95% interval, 0 of the optimum.
        whose: `optimum`, or the agent's name.
    """

    total: float
    ci95: float
    whose: str


class Row(NamedTuple):
    """An agent's mean total on meta-test tasks.

    Attributes:
        experiment: the preset.
        seed: it was trained from.
        total_return: mean return of a meta-episode, known tasks being a control variate.
        total_ci95: half-width of its 95% interval.
        best: `Best.total`, and the next two its interval and whose it is.
        num_tasks: evaluated on.
        env_steps: trained for.
        seconds: of training and of the evaluations during it, without compilation.
    """

    experiment: str
    seed: int
    total_return: float
    total_ci95: float
    best: float
    best_ci95: float
    best_is: str
    num_tasks: int
    env_steps: int
    seconds: int


def jobs() -> list[tuple[int, Job]]:
    """The runs, by seed."""
    return [
        (seed, Job(name, flags=(*LONGER.get(name, ()), *(("--seed", str(seed)) if seed else ()))))
        for seed in SEEDS
        for name in PUBLISHED
    ]


def reproduce_rl2(runs: Path, path: Path = RL2, per_task: Path = PER_TASK) -> int:
    """Trains what is not there yet; then writes the results, all at once, and prints the table.

    Args:
        runs: where the runs' folders are.
        path: of the CSV of means.
        per_task: of the CSV of every task's total, compressed.

    Returns:
        The first exit code that is not 0.

    Raises:
        ConfigurationError: the classical agents' results are not there.
    """
    bests = {name: best_known(name) for name in PUBLISHED}
    rows, totals = [], {}
    for seed, job in jobs():
        folder = runs / job.name
        if code := run(job, folder):
            return code
        rows.append(_row(job, seed, folder, bests[job.experiment]))
        with np.load(folder / "evaluation.npz") as evaluation:
            totals[f"{job.experiment} seed {seed}"] = evaluation["episode_returns"].sum(axis=1)
    write_whole(path, csv_text(Row._fields, rows))
    _write_per_task(totals, per_task)
    print(rl2_table(rows))
    return 0


def _row(job: Job, seed: int, folder: Path, best: Best) -> Row:
    return Row(
        experiment=job.experiment,
        seed=seed,
        best=round(best.total, 4),
        best_ci95=round(best.ci95, 4),
        best_is=best.whose,
        **result_of(folder),
    )


def best_known(name: str, results: Path = classical.CLASSICAL) -> Best:
    """The Bayes optimum of a preset's tasks where it is known, else the best classical agent.

    Args:
        name: the preset.
        results: of the classical agents.

    Raises:
        ConfigurationError: these are not there.
    """
    experiment = load_experiment(name)
    tasks = make_tasks(experiment, experiment.arguments)
    optimum = tasks.references().optimal_total
    if optimum is not None:
        return Best(optimum, 0.0, "optimum")
    place = (tasks.name, tasks.num_episodes, experiment.arguments.get("num_arms", 0))
    found = [
        row
        for row in (classical.read_rows(results) if results.exists() else ())
        if (row.family, row.episodes, row.arms) == place and row.agent != "known-mdp"
    ]
    if not found:
        raise ConfigurationError(
            f"expected classical agents of {name} in {results}, got none; `make reproduce "
            "WHAT=classical` makes it."
        )
    best = max(found, key=lambda row: row.total)
    return Best(best.total, NORMAL_QUANTILE * best.standard_error, best.agent)


def read_rows(path: Path = RL2) -> list[Row]:
    """What was measured."""
    kinds = Row.__annotations__
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Row(**{name: kinds[name](x) for name, x in line.items()})
            for line in csv.DictReader(file)
        ]


def read_per_task(path: Path = PER_TASK) -> dict[str, np.ndarray]:
    """Every task's total, [N], by preset and seed, in the order of the meta-test tasks."""
    with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
        names, *lines = csv.reader(file)
    columns = zip(*lines, strict=True)
    return {
        name: np.array([float(x) for x in column if x])
        for name, column in zip(names, columns, strict=True)
    }


def _write_per_task(totals: Mapping[str, np.ndarray], path: Path) -> None:
    columns = [[f"{x:.2f}".removesuffix(".00") for x in column] for column in totals.values()]
    text = csv_text(totals, zip_longest(*columns, fillvalue=""))
    write_whole(path, gzip.compress(text.encode(), mtime=0))  # no time in it: the same bytes again


def rl2_table(rows: Sequence[Row]) -> str:
    """A line for every preset, beside the best known without learning and what was published."""
    by_preset = {name: [row for row in rows if row.experiment == name] for name in PUBLISHED}
    headings = ("tasks", "ours, by seed", "best known", "of that, at least", "RL²", "SNAIL")
    return markdown(
        (*headings, "M steps", "seconds"),
        (_line(name, seeds) for name, seeds in by_preset.items() if seeds),
    )


def _line(name: str, seeds: Sequence[Row]) -> list[str]:
    totals = ", ".join(f"{row.total_return:.2f}" for row in seeds)
    return [
        f"`{name}`",
        f"{totals}, ± {max(row.total_ci95 for row in seeds):.2f}",
        _best_words(seeds[0]),
        f"{min(row.total_return / row.best for row in seeds):.1%}",
        *(f"{published:g}" for published in PUBLISHED[name]),
        f"{seeds[0].env_steps / 1e6:.0f}",
        ", ".join(str(row.seconds) for row in seeds),
    ]


def _best_words(row: Row) -> str:
    interval = f" ± {row.best_ci95:.2f}" if row.best_ci95 else ""
    return f"{row.best:.2f}{interval}, {row.best_is}"
