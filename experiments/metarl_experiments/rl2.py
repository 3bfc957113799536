"""`make reproduce WHAT=rl2`: our agents on the tasks of RL², beside what was published.

Published are the totals of Duan et al. (2016), "RL²: Fast Reinforcement Learning via Slow
Reinforcement Learning", Tables 1 and 2, and of Mishra et al. (2018), "A Simple Neural Attentive
Meta-Learner", on the same tasks.
"""

import csv
import gzip
import json
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metarl_experiments import classical
from metarl_experiments.jobs import Job, run
from metarl_experiments.results import RESULTS, csv_text, markdown
from metarl_experiments.runs import make_tasks
from metarl_jax.metrics_file import write_whole
from metarl_jax.registry import load_experiment

RL2 = RESULTS.with_name("rl2.csv")
PER_TASK = RESULTS.with_name("rl2_tasks.csv.gz")
SEEDS = (0,)

# By preset: RL², SNAIL.
PUBLISHED: Mapping[str, tuple[float, float]] = {
    "bandit_10_5": (6.7, 6.6),
    "bandit_10_10": (6.7, 6.7),
    "bandit_10_50": (6.8, 6.7),
    "bandit_100_5": (78.7, 79.1),
    "bandit_100_10": (83.5, 83.5),
    "bandit_100_50": (84.9, 85.1),
    "tabular_mdp_10": (156.2, 159.1),
}


class Row(NamedTuple):
    """An agent's mean total on meta-test tasks.

    Attributes:
        experiment: the preset.
        seed: it was trained from.
        total: mean return of a meta-episode.
        ci95: half-width of its 95% interval.
        best: the highest total that is known to be possible.
        best_is: whose that is: the Bayes optimum's, or a classical agent's.
        num_tasks: evaluated on.
        env_steps: trained for.
        seconds: of training and of the evaluations during it, without compilation.
    """

    experiment: str
    seed: int
    total: float
    ci95: float
    best: float
    best_is: str
    num_tasks: int
    env_steps: int
    seconds: int


def jobs() -> list[tuple[int, Job]]:
    """The runs, by seed: every preset of the two tables that is trained here."""
    return [
        (seed, Job(name, flags=("--seed", str(seed)) if seed else ()))
        for seed in SEEDS
        for name in PUBLISHED
    ]


def reproduce_rl2(runs: Path, path: Path = RL2, per_task: Path = PER_TASK) -> int:
    """Trains what is not there yet, writes a row at a time, and prints the table.

    Args:
        runs: where the runs' folders are.
        path: of the CSV of means.
        per_task: of the CSV of every task's total, compressed.

    Returns:
        The first exit code that is not 0.
    """
    rows, totals = [], {}
    for seed, job in jobs():
        folder = runs / job.name
        if code := run(job, folder):
            return code
        rows.append(_row(job, seed, folder))
        with np.load(folder / "evaluation.npz") as evaluation:
            totals[f"{job.experiment} seed {seed}"] = evaluation["episode_returns"].sum(axis=1)
        write_whole(path, csv_text(Row._fields, rows))
        _write_per_task(totals, per_task)
    print(rl2_table(rows))
    return 0


def _row(job: Job, seed: int, folder: Path) -> Row:
    evaluation = json.loads((folder / "evaluation.json").read_text())
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    best, best_is = _best(job.experiment)
    return Row(
        experiment=job.experiment,
        seed=seed,
        total=round(evaluation["total_return_mean"], 4),
        ci95=round(evaluation["total_return_ci95"], 4),
        best=round(best, 4),
        best_is=best_is,
        num_tasks=evaluation["num_tasks"],
        env_steps=last["env_steps"],
        seconds=round(last["seconds"]),
    )


def _best(name: str) -> tuple[float, str]:
    """The Bayes optimum where it is known, else the best agent among `classical.csv`'s."""
    experiment = load_experiment(name)
    tasks = make_tasks(experiment, experiment.arguments)
    optimum = tasks.references().optimal_total
    if optimum is not None:
        return optimum, "optimum"
    place = (tasks.name, tasks.num_episodes, experiment.arguments.get("num_arms", 0))
    found = [
        row
        for row in classical.read_rows()
        if (row.family, row.episodes, row.arms) == place and row.agent != "known-mdp"
    ]
    best = max(found, key=lambda row: row.total)
    return best.total, best.agent


def read_rows(path: Path = RL2) -> list[Row]:
    """What was measured."""
    kinds = Row.__annotations__
    with path.open(newline="") as file:
        return [
            Row(**{name: kinds[name](x) for name, x in line.items()})
            for line in csv.DictReader(file)
        ]


def read_per_task(path: Path = PER_TASK) -> dict[str, np.ndarray]:
    """Every task's total, [N], by preset and seed, in the order of the meta-test tasks."""
    with gzip.open(path, "rt", newline="") as file:
        names, *lines = csv.reader(file)
    columns = zip(*lines, strict=True)
    return {
        name: np.array([float(x) for x in column if x])
        for name, column in zip(names, columns, strict=True)
    }


def _write_per_task(totals: Mapping[str, np.ndarray], path: Path) -> None:
    columns = [[f"{x:.2f}".removesuffix(".00") for x in column] for column in totals.values()]
    text = csv_text(totals, zip_longest(*columns, fillvalue=""))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def rl2_table(rows: Iterable[Row]) -> str:
    """A line for every agent, beside the best total that is known and those published."""
    return markdown(
        ("tasks", "seed", "ours", "best known", "of that", "RL²", "SNAIL", "M steps", "seconds"),
        (
            [
                f"`{row.experiment}`",
                str(row.seed),
                f"{row.total:.2f} ± {row.ci95:.2f}",
                f"{row.best:.2f}, {row.best_is}",
                f"{row.total / row.best:.1%}",
                *(f"{published:g}" for published in PUBLISHED[row.experiment]),
                f"{row.env_steps / 1e6:.0f}",
                str(row.seconds),
            ]
            for row in sorted(rows, key=lambda row: list(PUBLISHED).index(row.experiment))
        ),
    )
