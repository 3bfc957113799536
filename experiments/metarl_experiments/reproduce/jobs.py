"""A run of a published result: `metarl train` in a process of its own, from a preset's settings.

A run that is there already is not repeated, one that was stopped is resumed, one with other
settings is refused.
"""

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

from metarl_experiments.commands.options import parse_train_options
from metarl_experiments.process.runtime import COMMAND
from metarl_jax.evaluation.record import read_record
from metarl_jax.experiment.registry import load_experiment
from metarl_jax.experiment.run_config import RunConfig, load_config
from metarl_jax.training.metrics_file import read_rows
from metarl_jax.types import ConfigurationError


@dataclasses.dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        experiment: the preset.
        policy: adaptive, memoryless or contextual.
        algorithm: None for the preset's own.
        memory: likewise.
        flags: more of the command line.
        more_episodes: evaluated over so many episodes too; None: as trained alone.
    """

    experiment: str
    policy: str = "adaptive"
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


def run(job: Job, folder: Path) -> int:
    """Trains, or goes on, or does nothing where the run has ended; then evaluates as asked.

    An adaptive policy is evaluated without its memory too, and over more episodes.

    Raises:
        ConfigurationError: the folder holds a run with other settings than the preset's.
    """
    steps = {"evaluation.json": ["train", job.experiment, *job.options, "--out", str(folder)]}
    if (folder / "config.json").exists():
        _require_preset(job, folder)
        steps["evaluation.json"] = ["train", "--resume", str(folder)]
    if job.policy == "adaptive":
        steps["evaluation_without_memory.json"] = ["evaluate", str(folder), "--ablate", "memory"]
    if job.more_episodes:
        longer = ["evaluate", str(folder), "--episodes", str(job.more_episodes)]
        steps[longer_evaluation(job)] = longer
    for result, arguments in steps.items():
        if (folder / result).exists():
            print(f"{folder / result}: there already")
        elif code := subprocess.call([*COMMAND, *arguments]):
            return code
    return 0


def longer_evaluation(job: Job) -> str:
    """The name of the file of the evaluation over more episodes than were trained on."""
    return f"evaluation_{job.more_episodes}_episodes.json"


def result_of(folder: Path) -> dict[str, Any]:
    """What a finished run came to, as columns of a table.

    Returns:
        `total_return`, the half-width of its 95% interval `total_ci95`, `num_tasks` evaluated on,
        `env_steps` trained for, in so many `seconds`, evaluations among them.
    """
    evaluation = read_record(folder / "evaluation.json")
    last = read_rows(folder / "metrics.jsonl")[-1]
    return {
        "total_return": round(evaluation.total_return_mean, 4),
        "total_ci95": round(evaluation.total_return_ci95, 4),
        "num_tasks": evaluation.num_tasks,
        "env_steps": last.env_steps,
        "seconds": round(last.seconds or 0.0),
    }


def _require_preset(job: Job, folder: Path) -> None:
    preset = parse_train_options(load_experiment(job.experiment), job.options)
    expected = RunConfig(job.experiment, dataclasses.asdict(preset.family), preset.settings)
    if not load_config(folder).defines(expected):
        raise ConfigurationError(
            f"expected in {folder} a run with the settings that {job.experiment} has now, got one "
            "with others; move it away, and the run is made anew."
        )
