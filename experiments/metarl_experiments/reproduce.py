"""`make reproduce`: the runs behind the README's table, from a fixed seed, last checkpoints only.

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
from typing import Any

import tyro

from metarl_experiments.options import parse_train_options
from metarl_experiments.results import (
    RESULTS,
    ResultKey,
    markdown_table,
    measures_table,
    read_results,
    write_results,
)
from metarl_experiments.runs import RunConfig, load_config
from metarl_jax.registry import load_experiment
from metarl_jax.types import ConfigurationError


@dataclasses.dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        experiment: the preset.
        policy: recurrent, memoryless or contextual.
        algorithm: None for the preset's own.
    """

    experiment: str
    policy: str
    algorithm: str | None = None

    @property
    def name(self) -> str:
        """Of the run's folder."""
        return "-".join(filter(None, (self.experiment, self.policy, self.algorithm)))


BOUNDED = ("bandit_10_5", "goal_grid_3", "mouse_lecture", "cheetah_vel")
"""One of each family, with its lower and upper line; of the others the recurrent policy alone."""

JOBS = (
    *(Job(e, policy) for e in BOUNDED for policy in ("memoryless", "contextual", "recurrent")),
    *(Job(e, "recurrent") for e in ("goal_grid_5", "mouse_cheese", "mouse_both")),
    Job("bandit_10_5", "recurrent", "reinforce"),
    Job("goal_grid_3", "recurrent", "ppo"),
    Job("goal_grid_5", "recurrent", "ppo"),
    Job("cheetah_vel", "recurrent", "a2c"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReproduceOptions:
    """Runs the experiments behind the README's table.

    Attributes:
        what: presets, or parts of their names; all where none is given.
        runs: where the runs' folders go.
    """

    what: tyro.conf.Positional[tuple[str, ...]] = ()
    runs: Path = Path("runs/reproduce")


def main() -> int:
    """Runs what was asked for; returns the first exit code that is not 0."""
    options = tyro.cli(ReproduceOptions, prog="make reproduce")
    jobs = [job for job in JOBS if not options.what or any(w in job.name for w in options.what)]
    if not jobs:
        names = ", ".join(sorted({job.experiment for job in JOBS}))
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
    for table in (markdown_table, measures_table):
        print(f"{table(read_results())}\n")
    return 0


def run(job: Job, folder: Path) -> int:
    """Trains, or goes on, or does nothing where the run has ended; then without its memory.

    Raises:
        ConfigurationError: the folder holds a run with other settings than the preset's.
    """
    options = ["--policy", job.policy, "--out", str(folder)]
    options += ["--algorithm", job.algorithm] if job.algorithm else []
    steps = {"evaluation.json": ["train", job.experiment, *options]}
    if (folder / "config.json").exists():
        _require_preset(job, options, folder)
        steps["evaluation.json"] = ["train", "--resume", str(folder)]
    if job.policy == "recurrent":
        steps["evaluation_without_memory.json"] = ["evaluate", str(folder), "--ablate-memory"]
    for result, arguments in steps.items():
        if (folder / result).exists():
            print(f"{folder / result}: there already")
        elif code := subprocess.call([sys.executable, "-m", "metarl_experiments", *arguments]):
            return code
    return 0


def _require_preset(job: Job, options: list[str], folder: Path) -> None:
    preset = parse_train_options(load_experiment(job.experiment), options)
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
    rows[key] = {"experiment": key[0], "policy": key[1], "algorithm": key[2]} | _figures(folder)
    write_results(rows, path)


def _figures(folder: Path) -> dict[str, Any]:
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
    return figures


def key_of(job: Job) -> ResultKey:
    """Of a job's row."""
    own = load_experiment(job.experiment).settings.algorithm
    return job.experiment, job.policy, job.algorithm or own


if __name__ == "__main__":
    sys.exit(main())
