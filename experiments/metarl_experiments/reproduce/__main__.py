"""`make reproduce`: the runs behind docs/results.md, from fixed seeds, last checkpoints only.

The rows go to `experiments/results/families.csv`; their seconds are those of training and of the
evaluations during it, without compilation.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import tyro

from metarl_experiments.reproduce.classical import reproduce_classical
from metarl_experiments.reproduce.jobs import Job, longer_evaluation, result_of, run
from metarl_experiments.reproduce.more_episodes import more_episodes_figure, with_more_episodes
from metarl_experiments.reproduce.results import (
    RESULTS,
    ResultKey,
    markdown_table,
    measures_table,
    memories_table,
    read_results,
    write_results,
)
from metarl_experiments.reproduce.rl2 import reproduce_rl2
from metarl_jax.evaluation.record import read_record
from metarl_jax.experiment.kinds import CHOICES
from metarl_jax.experiment.registry import load_experiment
from metarl_jax.experiment.run_config import load_config
from metarl_jax.files import jsonable
from metarl_jax.report.style import save_figure
from metarl_jax.types import ConfigurationError

BOUNDED = ("bandit_10_5", "goal_grid_3", "mouse_lecture", "cheetah_vel")
"""One of each family, with its lower and upper line; of the others the adaptive policy alone."""


def _with_every_memory(experiment: str, *flags: str, more_episodes: int | None = None) -> list[Job]:
    """One job a memory, the preset's own among them."""
    own = load_experiment(experiment).settings.memory_name
    return [
        Job(experiment, memory=None if m == own else m, flags=flags, more_episodes=more_episodes)
        for m in CHOICES["memory"]
    ]


SHORT = ("--total-steps", "2000000")
TWO_EPISODES = ("--family.num-episodes", "2")
JOBS = (
    *(Job(e, policy) for e in BOUNDED for policy in ("memoryless", "contextual", "adaptive")),
    *map(Job, ("goal_grid_5", "mouse_cheese", "mouse_both")),
    Job("bandit_10_5", algorithm="reinforce"),
    Job("goal_grid_3", algorithm="ppo"),
    Job("goal_grid_5", algorithm="ppo"),
    Job("cheetah_vel", algorithm="a2c"),
    *_with_every_memory("bandit_100_10"),
    *(job for job in _with_every_memory("goal_grid_3") if job.memory),
    Job("cheetah_vel", "memoryless", flags=SHORT),
    *_with_every_memory("cheetah_vel", *SHORT),
    *_with_every_memory("goal_grid_5", *TWO_EPISODES, more_episodes=6),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReproduceOptions:
    """Runs the experiments behind the tables of docs/results.md.

    Attributes:
        what: presets, or parts of the names of their runs; all where none is given. The run of
            bandit_100_10 with a transformer is bandit_100_10-adaptive-transformer. `classical`
            alone: the classical agents of bandits and tabular MDPs, which nobody trains. `rl2`
            alone: agents trained on the same tasks, beside those of RL² and SNAIL.
        runs: where the runs' folders go.
    """

    what: tyro.conf.Positional[tuple[str, ...]] = ()
    runs: Path = Path("runs/reproduce")


def main() -> int:
    """Runs what was asked for; returns the first exit code that is not 0."""
    options = tyro.cli(ReproduceOptions, prog="make reproduce")
    try:
        return _reproduce(options.what, options.runs)
    except ConfigurationError as error:
        print(f"make reproduce: {error}", file=sys.stderr)
        return 2


def _reproduce(what: tuple[str, ...], runs: Path) -> int:
    if what == ("classical",):
        reproduce_classical()
        return 0
    if what == ("rl2",):
        return reproduce_rl2(runs)
    jobs = [job for job in JOBS if not what or any(w in job.name for w in what)]
    if not jobs:
        names = ", ".join(["classical", "rl2", *sorted({job.experiment for job in JOBS})])
        raise ConfigurationError(f"expected presets among {names}, got {' '.join(what)}")
    for job in jobs:
        if code := run(job, runs / job.name):
            return code
        record(job, runs / job.name)
    if any(job.more_episodes for job in jobs):
        rows = with_more_episodes(read_results())
        figure = more_episodes_figure(rows, trained_on=int(TWO_EPISODES[1]))
        save_figure(figure, RESULTS.with_name("more_episodes.png"))
    for table in (markdown_table, measures_table, memories_table):
        print(f"{table(read_results())}\n")
    return 0


def record(job: Job, folder: Path, path: Path = RESULTS) -> None:
    """Puts a run's row into the table, in place of an older one."""
    rows = read_results(path)
    key = key_of(job)
    rows[key] = key._asdict() | _figures(job, folder)
    write_results(rows, path)


def _figures(job: Job, folder: Path) -> dict[str, Any]:
    evaluation = read_record(folder / "evaluation.json")
    figures = result_of(folder) | {
        "first_episode": round(evaluation.episode_return_mean[0], 4),
        "last_episode": round(evaluation.episode_return_mean[-1], 4),
        "seed": load_config(folder).settings.budget.seed,
        "measures": json.dumps(jsonable(evaluation.measures or {})),
    }
    ablation = folder / "evaluation_without_memory.json"
    if ablation.exists():
        ablated = read_record(ablation)
        figures["ablated_return"] = round(ablated.total_return_mean, 4)
        figures["ablated_ci95"] = round(ablated.total_return_ci95, 4)
    if job.more_episodes:
        more = read_record(folder / longer_evaluation(job))
        for column, values in (
            ("more_episodes", more.episode_return_mean),
            ("more_episodes_ci95", more.episode_return_ci95),
        ):
            figures[column] = json.dumps([round(x, 4) for x in values])
    return figures


def key_of(job: Job) -> ResultKey:
    """Of a job's row."""
    own = load_experiment(job.experiment).settings
    memory = "" if job.policy == "memoryless" else job.memory or own.memory_name
    algorithm = job.algorithm or own.algorithm.name
    return ResultKey(job.experiment, job.policy, algorithm, memory, " ".join(job.flags))


if __name__ == "__main__":
    sys.exit(main())
