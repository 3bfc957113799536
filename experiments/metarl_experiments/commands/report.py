"""`metarl report RUN`: a run's ablations, and its report with them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from metarl_experiments.commands.ablations import ablations_of
from metarl_experiments.commands.evaluate import evaluate_and_draw, restore_run
from metarl_experiments.commands.evaluation_record import EvaluateOptions
from metarl_experiments.commands.parsing import parse
from metarl_experiments.runs import load_tasks
from metarl_jax.experiment.run_config import load_config


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Evaluate a run, and again with something taken from it; draw report.html.

    A run of several agents (a sweep, or several seeds) is evaluated agent by agent, and nothing is
    taken from them.

    Attributes:
        run: the folder that `metarl train` or `metarl sweep` made.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]


def report_command(arguments: Sequence[str]) -> int:
    """Evaluates the last checkpoint and draws it; ablations are made of a run of one agent."""
    options = parse(ReportOptions, "metarl report", arguments)
    config = load_config(options.run)
    _, tasks = load_tasks(config)
    setup, state = restore_run(options.run, config, tasks)
    ablations = () if setup.is_population else ablations_of(setup)
    for path in evaluate_and_draw(
        EvaluateOptions(run=options.run), config, setup, state, ablations
    ):
        print(f"  {path}")
    return 0
