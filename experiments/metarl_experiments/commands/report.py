"""`metarl report RUN`: a run's ablations, and its report with them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import tyro

from metarl_experiments.commands.ablations import ablations_of
from metarl_experiments.commands.evaluate import evaluate_and_draw, restore_run
from metarl_experiments.commands.evaluation_record import EvaluateOptions
from metarl_experiments.runs import load_tasks
from metarl_jax.experiment.run_config import load_config
from metarl_jax.types import ConfigurationError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Evaluate a run, and again with something taken from it; draw report.html.

    Attributes:
        run: the folder that `metarl train` made.
    """

    run: tyro.conf.Positional[Path]


def report_command(arguments: Sequence[str]) -> int:
    """Evaluates the last checkpoint, plain and ablated, and draws it."""
    options = tyro.cli(ReportOptions, prog="metarl report", args=list(arguments))
    config = load_config(options.run)
    _, tasks = load_tasks(config)
    setup, state = restore_run(options.run, config, tasks)
    if setup.is_population:
        raise ConfigurationError(
            f"expected a run of one agent, got {options.run}, which holds {len(setup.agents)}; "
            "`metarl evaluate` evaluates and draws them all."
        )
    ablations = ablations_of(setup)
    print(f"metarl: evaluating, also with {len(ablations)} ablations ...", flush=True)
    evaluated = EvaluateOptions(run=options.run)
    for path in evaluate_and_draw(evaluated, config, setup, state, ablations):
        print(f"  {path}")
    return 0
