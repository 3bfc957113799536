"""`metarl report RUN`: a run's ablations, and its report with them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import tyro

from metarl_experiments.commands.evaluate import evaluate_and_draw, evaluate_run, restore_run
from metarl_experiments.commands.evaluation_record import EvaluateOptions
from metarl_experiments.commands.pictures import ABLATION_WORDS
from metarl_experiments.runs import load_tasks
from metarl_jax.evaluation.ablations import Ablation
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
    # Of one episode there is none before, whose memory or history could be taken.
    ablations: tuple[Ablation, ...] = get_args(Ablation) if tasks.num_episodes > 1 else ("rewards",)
    for ablation in ablations:
        print(f"metarl: evaluating: {ABLATION_WORDS[ablation]} ...")
        evaluate_run(EvaluateOptions(run=options.run, ablate=ablation), config, setup, state)
    for path in evaluate_and_draw(EvaluateOptions(run=options.run), config, setup, state):
        print(f"  {path}")
    return 0
