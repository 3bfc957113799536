"""`metarl train`: from a preset's name to a run's folder."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from signal import SIGINT
from typing import Any

import jax
import numpy as np
import tyro

from metarl_experiments.evaluate import EvaluateOptions, evaluate_run, print_evaluation
from metarl_experiments.options import RunOptions, parse_train_options
from metarl_experiments.pictures import draw_run
from metarl_experiments.runs import (
    RunConfig,
    create_run,
    default_folder,
    load_config,
    load_tasks,
    make_tasks,
)
from metarl_jax.conformance import check_task_distribution
from metarl_jax.evaluation import Evaluation, make_evaluator, meta_test_tasks
from metarl_jax.experiment import Program, make_program
from metarl_jax.learner import TrainState
from metarl_jax.policy import PolicyParams
from metarl_jax.registry import load_experiment
from metarl_jax.report.console import Console
from metarl_jax.signals import Stopped, stops_raise
from metarl_jax.training import ExitCode, train
from metarl_jax.types import ConfigurationError

USAGE = """\
usage: metarl train NAME [options]
       metarl train --resume RUN

`metarl list` shows the presets, `metarl train NAME --help` the options of one."""

VALIDATION_SEED = 2_147_483_563
"""Of the tasks of the evaluations during training; the final evaluation draws others."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResumeOptions:
    """Go on with a run that was stopped, with the settings it was begun with.

    Attributes:
        resume: the run's folder.
        tensorboard: also log to TensorBoard, in the run's folder.
        wandb: also log to Weights & Biases, under this project name.
        devices: split the tasks over so many devices; by default over all that divide them.
    """

    resume: Path
    tensorboard: bool = False
    wandb: str | None = None
    devices: int | None = None


def train_command(arguments: Sequence[str]) -> int:
    """Trains, evaluates and draws; returns the exit code."""
    named = bool(arguments) and not arguments[0].startswith("-")
    resumes = any(argument.partition("=")[0] == "--resume" for argument in arguments)
    if resumes and named:
        raise ConfigurationError(
            f"expected `metarl train --resume RUN` alone, got the name {arguments[0]!r} too; a run "
            "is resumed with its own settings."
        )
    if resumes:
        return _resume(tyro.cli(ResumeOptions, prog="metarl train", args=list(arguments)))
    if arguments and arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if not named:
        raise ConfigurationError(
            "expected `metarl train NAME [options]`, the name before the options, got no name; "
            "`metarl list` shows the presets."
        )
    return _begin(arguments[0], arguments[1:])


def _begin(name: str, arguments: Sequence[str]) -> int:
    experiment = load_experiment(name)
    options = parse_train_options(experiment, arguments)
    family = dataclasses.asdict(options.family)
    tasks = make_tasks(experiment, family)
    check_task_distribution(tasks)  # first: a sampler that changes must be seen to do so
    program = make_program(tasks, options.settings, options.devices)
    place, _, attribute = name.rpartition(":")
    if place.endswith(".py"):  # so that the run can be evaluated from any folder
        name = f"{Path(place).absolute()}:{attribute}"
    config = RunConfig(name, family, options.settings)
    folder = options.out or default_folder(name)
    loggers = _loggers(folder, config, options)  # first: a missing extra leaves no run behind
    create_run(folder, config, ["train", name, *arguments])
    return _run(folder, config, program, loggers, resume=False)


def _resume(options: ResumeOptions) -> int:
    config = load_config(options.resume)
    _, tasks = load_tasks(config)
    program = make_program(tasks, config.settings, options.devices)
    loggers = _loggers(options.resume, config, options)
    return _run(options.resume, config, program, loggers, resume=True)


def _run(
    folder: Path, config: RunConfig, program: Program, loggers: list[Any], *, resume: bool
) -> int:
    key = jax.random.key(config.settings.seed)
    console = Console()
    console.start(_header(folder, config, program))
    try:
        outcome = train(
            program.algorithm,
            _validation(program, config.settings.evaluation_tasks),
            program.plan,
            folder=folder,
            key=key,
            reporter=console,
            loggers=loggers,
            resume_from="latest" if resume else None,
        )
        console.finish(outcome.message)
    finally:
        console.close()
        for logger in loggers:
            logger.close()
    code = outcome.exit_code
    if code == ExitCode.FINISHED:
        code = _conclude(folder, config, program, outcome.state)
    if code in (ExitCode.TERMINATED, ExitCode.INTERRUPTED):
        print(f"go on with:  metarl train --resume {folder}")
    return int(code)


def _conclude(folder: Path, config: RunConfig, program: Program, state: TrainState) -> ExitCode:
    """Evaluates and draws a run that has been trained."""
    try:
        with stops_raise():
            print_evaluation(evaluate_run(EvaluateOptions(run=folder), config, program, state))
            for picture in draw_run(folder, config, program, state.learner.params):
                print(f"  {picture}")
    except Stopped as stopped:
        print(f"stopped by {stopped} before all of the evaluation was done.")
        return ExitCode.INTERRUPTED if stopped.signal == SIGINT else ExitCode.TERMINATED
    return ExitCode.FINISHED


def _validation(program: Program, num_tasks: int) -> Callable[[PolicyParams], Evaluation]:
    """The evaluation that is shown during training: fixed tasks, fixed keys."""
    tasks_key, actors_key = jax.random.split(jax.random.key(VALIDATION_SEED))
    meta_test = meta_test_tasks(program.tasks, tasks_key, num_tasks)
    evaluator = make_evaluator(program.tasks, program.policy, num_devices=program.num_devices)
    return lambda params: evaluator(params, meta_test, actors_key)


def _header(folder: Path, config: RunConfig, program: Program) -> dict[str, str]:
    settings, tasks = config.settings, program.tasks
    shapes = jax.eval_shape(program.algorithm.init, jax.random.key(0))
    weights = sum(int(np.prod(x.shape)) for x in jax.tree.leaves(shapes.learner.params.weights))
    memory = (
        "" if settings.policy == "memoryless" else f", {settings.memory} {settings.hidden_size}"
    )
    episodes = settings.meta_episode_steps or f"{tasks.num_episodes} × {tasks.episode_length}"
    device = jax.devices()[0]
    return {
        "task family": config.experiment,
        "policy": f"{settings.policy}{memory}, {weights:,} parameters",
        "algorithm": settings.algorithm,
        "an update": f"{settings.num_tasks} tasks × {episodes} steps "
        f"= {program.algorithm.steps_per_update:,} steps",
        "updates": f"{program.plan.num_updates:,}",
        "device": f"{program.num_devices} × {device.device_kind} ({device.platform}), float32",
        "folder": str(folder),
    }


def _loggers(folder: Path, config: RunConfig, options: RunOptions | ResumeOptions) -> list[Any]:
    loggers: list[Any] = []
    if options.tensorboard:
        from metarl_jax.loggers import TensorBoardLogger

        loggers.append(TensorBoardLogger(folder))
    if options.wandb is not None:
        from metarl_jax.loggers import WandbLogger

        loggers.append(
            WandbLogger(
                folder,
                project=options.wandb,
                name=folder.name,
                config=dataclasses.asdict(config),
            )
        )
    return loggers
