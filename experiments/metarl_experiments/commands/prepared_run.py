"""A run that is prepared: trained, evaluated and drawn, to its exit code."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT
from typing import Any, Protocol

from metarl_experiments.commands.ablations import ablations_after_training
from metarl_experiments.commands.evaluate import evaluate_and_draw
from metarl_experiments.commands.evaluation_record import EvaluateOptions
from metarl_experiments.commands.first_row import FirstRow
from metarl_experiments.commands.run_header import processes, run_header
from metarl_jax.evaluation.evaluation import Evaluation, PopulationEvaluation
from metarl_jax.evaluation.protocol import make_validation
from metarl_jax.experiment.build import Setup
from metarl_jax.experiment.policy_file import PolicyRecord, write_policy_record
from metarl_jax.experiment.run_config import RunConfig, settings_to_json
from metarl_jax.files import reason
from metarl_jax.learning.train_state import TrainState
from metarl_jax.parallel.processes import is_first
from metarl_jax.parallel.sharding import local_replica
from metarl_jax.parallel.signals import Stopped, stops_raise
from metarl_jax.policy.policy import PolicyParams
from metarl_jax.report.console import Console
from metarl_jax.tasks.interface import interface_of, write_interface
from metarl_jax.training.plan import Evaluate, ExitCode, TrainingPlan
from metarl_jax.training.tags import schedule_values
from metarl_jax.training.train import run_training
from metarl_jax.trees import take


@dataclasses.dataclass(frozen=True)
class PreparedRun:
    """A run about to begin."""

    folder: Path
    config: RunConfig
    setup: Setup
    loggers: list[Any]
    imported: float  # seconds of the process until all was imported
    prepare: Callable[[TrainState], TrainState]  # what the first state becomes
    policy: PolicyRecord

    def describe(self) -> None:
        """Writes what an agent is loaded from, beside the checkpoints."""
        write_interface(self.folder, interface_of(self.setup.tasks))
        write_policy_record(self.folder, self.policy)


def run_prepared(
    run: PreparedRun, *, resume: bool, on_start: Callable[[], object] = lambda: None
) -> int:
    """Trains, evaluates and draws; returns the exit code.

    Args:
        run: to begin, or to go on with.
        resume: whether its folder holds a checkpoint to go on from.
        on_start: called once the run's folder is held and the first state is there.
    """
    folder, config, setup = run.folder, run.config, run.setup
    console, plan = Console(silent=not is_first()), setup.plan
    steps = setup.algorithm.steps_per_update
    loggers = [FirstRow(folder, run.imported, plan, steps, console.note), *run.loggers]
    console.start(run_header(config, setup) | {"folder": str(folder)})
    if not is_first():
        print(f"process {processes()['process']}", flush=True)
    try:
        outcome = run_training(
            setup.algorithm,
            _validation(setup, config.settings.evaluation.evaluation_tasks, console),
            plan,
            folder=folder,
            key=setup.key,
            reporter=console,
            loggers=loggers,
            resume_from="latest" if resume else None,
            prepare=run.prepare,
            on_start=lambda: (run.describe(), on_start()),
        )
        console.finish(outcome.message)
    finally:
        console.close()
        for logger in run.loggers:
            logger.close()
    code = outcome.exit_code
    if code == ExitCode.FINISHED:
        code = _conclude(folder, config, setup, outcome.state)
    if is_first() and code not in (ExitCode.FINISHED, ExitCode.DIVERGED):
        print(f"go on with:  metarl train --resume {folder}")
    return int(code)


def _conclude(folder: Path, config: RunConfig, setup: Setup, state: TrainState) -> ExitCode:
    """Evaluates and draws a run that has been trained."""
    try:
        with stops_raise():
            options, replica = EvaluateOptions(run=folder), local_replica(state)
            ablations = ablations_after_training(folder, config, setup)
            pictures = evaluate_and_draw(options, config, setup, replica, ablations)
            for report in pictures[-1:]:  # where there are some: the page that holds the others
                print(f"report: {report}")
    except Stopped as stopped:
        print(f"stopped by {stopped} before all of the evaluation was done.")
        return ExitCode.INTERRUPTED if stopped.signal == SIGINT else ExitCode.TERMINATED
    except OSError as error:
        print(f"metarl: trained and saved, but: {reason(error)}", file=sys.stderr)
        return ExitCode.NOT_SAVED
    return ExitCode.FINISHED


def _validation(setup: Setup, num_tasks: int, console: Console) -> Evaluate:
    """The evaluation that is shown during training, of every agent where there are several."""
    validate = make_validation(setup.tasks, setup.policy, num_tasks, setup.num_devices)
    agents = range(len(setup.agents))

    def evaluate(params: PolicyParams) -> Evaluation | PopulationEvaluation:
        console.evaluating(num_tasks)
        if not setup.is_population:
            return validate(params)
        return PopulationEvaluation(tuple(validate(take(params, i)) for i in agents))

    return evaluate


class LoggerOptions(Protocol):
    """What says which loggers a run has."""

    @property
    def tensorboard(self) -> bool:
        """Whether rows go to TensorBoard too."""
        ...

    @property
    def wandb(self) -> str | None:
        """The project of Weights & Biases that rows go to; None for none."""
        ...


def make_loggers(
    folder: Path, config: RunConfig, options: LoggerOptions, plan: TrainingPlan
) -> list[Any]:
    """The places that rows of metrics go to beside the run's folder.

    Args:
        folder: the run's.
        config: of the run.
        options: which are asked for.
        plan: of the run, over which hyper-parameters change.

    Raises:
        ConfigurationError: a package is missing.
    """
    shared = {n: x for n, x in config.settings.schedules().items() if n not in config.sweep}
    hyperparameters = schedule_values(shared, plan.schedule_updates or plan.num_updates)
    loggers: list[Any] = []
    if options.tensorboard:
        from metarl_jax.training.loggers import TensorBoardLogger

        loggers.append(TensorBoardLogger(folder, hyperparameters))
    if options.wandb is not None:
        from metarl_jax.training.loggers import WandbLogger

        loggers.append(
            WandbLogger(
                folder,
                project=options.wandb,
                name=folder.name,
                config=settings_to_json(config.settings) | {"experiment": config.experiment},
                hyperparameters=hyperparameters,
            )
        )
    return loggers
