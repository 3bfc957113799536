"""What the tests of runs share: their rows, and folders as `metarl train` makes them."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metarl_experiments.commands.options import parse_train_options
from metarl_experiments.runs import create_run
from metarl_jax.experiment.registry import load_experiment
from metarl_jax.experiment.run_config import RunConfig
from metarl_jax.training.metrics_file import read_rows
from metarl_jax.training.plan import WALL_CLOCK_FIELDS


def preset_run(
    folder: Path, experiment: str, options: Sequence[str], changes: Mapping[str, Any] = {}
) -> None:
    """A folder as `metarl train` makes it at its start, with changed settings."""
    preset = parse_train_options(load_experiment(experiment), options)
    settings = preset.settings.change(changes)
    create_run(folder, RunConfig(experiment, dataclasses.asdict(preset.family), settings), [])


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run, without what the wall clock makes of them."""
    rows = read_rows(folder / "metrics.jsonl")
    return [{k: v for k, v in row.to_json().items() if k not in WALL_CLOCK_FIELDS} for row in rows]
