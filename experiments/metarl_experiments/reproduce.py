"""`make reproduce`: the runs behind the README's tables, from a fixed seed, last checkpoints only.

Each is `metarl train` in a process of its own, with the preset's settings; a run that is there
already is not repeated, one that was stopped is resumed, one with other settings is refused. The
rows go to `experiments/results/families.csv`; their seconds are those of training and of the
evaluations during it, without compilation.
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import tyro

from metarl_experiments.classical import reproduce_classical
from metarl_experiments.more_episodes import more_episodes_figure, with_more_episodes
from metarl_experiments.options import parse_train_options
from metarl_experiments.results import (
    RESULTS,
    ResultKey,
    markdown_table,
    measures_table,
    memories_table,
    read_results,
    write_results,
)
from metarl_experiments.runs import RunConfig, load_config
from metarl_jax.experiment import MemoryName
from metarl_jax.registry import load_experiment
from metarl_jax.report.style import save_figure
from metarl_jax.types import ConfigurationError


@dataclasses.dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        experiment: the preset.
        policy: recurrent, memoryless or contextual.
        algorithm: None for the preset's own.
        memory: likewise.
        flags: more of the command line.
        more_episodes: evaluated over so many episodes too; None: as trained alone.
    """

    experiment: str
    policy: str = "recurrent"
    algorithm: str | None = None
    memory: str | None = None
    flags: tuple[str, ...] = ()
    more_episodes: int | None = None

    @property
    def name(self) -> str:
        """Of the run's folder."""
        flags = (flag.removeprefix("--") for flag in self.flags)
        parts = (self.experiment, self.policy, self.algorithm, self.memory, *flags)
        return "-".join(filter(None, parts))

    @property
    def options(self) -> list[str]:
        """Of `metarl train`, after the experiment."""
        options = ["--policy", self.policy]
        options += ["--algorithm", self.algorithm] if self.algorithm else []
        options += ["--memory", self.memory] if self.memory else []
        return [*options, *self.flags]


BOUNDED = ("bandit_10_5", "goal_grid_3", "mouse_lecture", "cheetah_vel")
"""One of each family, with its lower and upper line; of the others the recurrent policy alone."""

MEMORIES: tuple[MemoryName, ...] = get_args(MemoryName)


def _with_every_memory(experiment: str, *flags: str, more_episodes: int | None = None) -> list[Job]:
    """One job a memory, the preset's own among them."""
    own = load_experiment(experiment).settings.memory
    return [
        Job(experiment, memory=None if m == own else m, flags=flags, more_episodes=more_episodes)
        for m in MEMORIES
    ]


SHORT = ("--total-steps", "2000000")
TWO_EPISODES = ("--family.num-episodes", "2")
JOBS = (
    *(Job(e, policy) for e in BOUNDED for policy in ("memoryless", "contextual", "recurrent")),
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
    """Runs the experiments behind the README's tables.

    Attributes:
        what: presets, or parts of the names of their runs; all where none is given. The run of
            bandit_100_10 with a transformer is bandit_100_10-recurrent-transformer. `classical`
            alone: the classical agents of bandits and tabular MDPs, which nobody trains.
        runs: where the runs' folders go.
    """

    what: tyro.conf.Positional[tuple[str, ...]] = ()
    runs: Path = Path("runs/reproduce")


def main() -> int:
    """Runs what was asked for; returns the first exit code that is not 0."""
    options = tyro.cli(ReproduceOptions, prog="make reproduce")
    if options.what == ("classical",):
        reproduce_classical()
        return 0
    jobs = [job for job in JOBS if not options.what or any(w in job.name for w in options.what)]
    if not jobs:
        names = ", ".join(["classical", *sorted({job.experiment for job in JOBS})])
        print(f"expected presets among {names}, got {' '.join(options.what)}", file=sys.stderr)
        return 2
    try:
        for job in jobs:
            if code := run(job, options.runs / job.name):
                return code
            record(job, options.runs / job.name)
    except ConfigurationError as error:
        print(f"make reproduce: {error}", file=sys.stderr)
        return 2
    if any(job.more_episodes for job in jobs):
        rows = with_more_episodes(read_results())
        figure = more_episodes_figure(rows, trained_on=int(TWO_EPISODES[1]))
        save_figure(figure, RESULTS.with_name("more_episodes.png"))
    for table in (markdown_table, measures_table, memories_table):
        print(f"{table(read_results())}\n")
    return 0


def run(job: Job, folder: Path) -> int:
    """Trains, or goes on, or does nothing where the run has ended; then evaluates as asked.

    A recurrent policy is evaluated without its memory too, and over more episodes.

    Raises:
        ConfigurationError: the folder holds a run with other settings than the preset's.
    """
    steps = {"evaluation.json": ["train", job.experiment, *job.options, "--out", str(folder)]}
    if (folder / "config.json").exists():
        _require_preset(job, folder)
        steps["evaluation.json"] = ["train", "--resume", str(folder)]
    if job.policy == "recurrent":
        steps["evaluation_without_memory.json"] = ["evaluate", str(folder), "--ablate", "memory"]
    if job.more_episodes:
        longer = ["evaluate", str(folder), "--episodes", str(job.more_episodes)]
        steps[_longer(job)] = longer
    for result, arguments in steps.items():
        if (folder / result).exists():
            print(f"{folder / result}: there already")
        elif code := subprocess.call([sys.executable, "-m", "metarl_experiments", *arguments]):
            return code
    return 0


def _longer(job: Job) -> str:
    """The file of the evaluation over more episodes than were trained on."""
    return f"evaluation_{job.more_episodes}_episodes.json"


def _require_preset(job: Job, folder: Path) -> None:
    preset = parse_train_options(load_experiment(job.experiment), job.options)
    expected = RunConfig(job.experiment, dataclasses.asdict(preset.family), preset.settings)
    if load_config(folder) != expected:
        raise ConfigurationError(
            f"expected in {folder} a run with the settings that {job.experiment} has now, got one "
            "with others; move it away, and the run is made anew."
        )


def record(job: Job, folder: Path, path: Path = RESULTS) -> None:
    """Puts a run's row into the table, in place of an older one."""
    rows = read_results(path)
    key = key_of(job)
    rows[key] = key._asdict() | _figures(job, folder)
    write_results(rows, path)


def _figures(job: Job, folder: Path) -> dict[str, Any]:
    evaluation = json.loads((folder / "evaluation.json").read_text())
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    config = json.loads((folder / "config.json").read_text())
    figures = {
        "total_return": round(evaluation["total_return_mean"], 4),
        "total_ci95": round(evaluation["total_return_ci95"], 4),
        "first_episode": round(evaluation["episode_return_mean"][0], 4),
        "last_episode": round(evaluation["episode_return_mean"][-1], 4),
        "num_tasks": evaluation["num_tasks"],
        "env_steps": last["env_steps"],
        "seconds": round(last["seconds"]),
        "seed": config["settings"]["seed"],
        "measures": json.dumps(evaluation["measures"]),
    }
    ablation = folder / "evaluation_without_memory.json"
    if ablation.exists():
        ablated = json.loads(ablation.read_text())
        figures["ablated_return"] = round(ablated["total_return_mean"], 4)
        figures["ablated_ci95"] = round(ablated["total_return_ci95"], 4)
    if job.more_episodes:
        more = json.loads((folder / _longer(job)).read_text())
        for column, name in (("", "mean"), ("_ci95", "ci95")):
            values = [round(x, 4) for x in more[f"episode_return_{name}"]]
            figures[f"more_episodes{column}"] = json.dumps(values)
    return figures


def key_of(job: Job) -> ResultKey:
    """Of a job's row."""
    own = load_experiment(job.experiment).settings
    memory = "" if job.policy == "memoryless" else job.memory or own.memory
    algorithm = job.algorithm or own.algorithm
    return ResultKey(job.experiment, job.policy, algorithm, memory, " ".join(job.flags))


if __name__ == "__main__":
    sys.exit(main())
