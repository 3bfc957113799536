"""`metarl train`: from a preset's name to a run's folder."""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from signal import SIGINT
from typing import Any

import jax
import numpy as np

from metarl_experiments.commands.ablations import ablations_after_training
from metarl_experiments.commands.evaluate import evaluate_and_draw
from metarl_experiments.commands.evaluation_record import EvaluateOptions
from metarl_experiments.commands.first_row import FirstRow
from metarl_experiments.commands.options import (
    MachineOptions,
    OutputOptions,
    TrainOptions,
    parse_sweep_options,
    parse_train_options,
)
from metarl_experiments.commands.parsing import parse
from metarl_experiments.commands.starting_settings import load_with_settings
from metarl_experiments.commands.sweep_help import print_sweep_help
from metarl_experiments.commands.warm_start import warm_start
from metarl_experiments.process.early_flags import read_early_flags
from metarl_experiments.runs import (
    create_run,
    default_folder,
    holds_run,
    load_tasks,
    make_tasks,
    removed_if_empty,
    require_shared,
)
from metarl_jax.evaluation.evaluation import Evaluation, PopulationEvaluation
from metarl_jax.evaluation.protocol import make_validation
from metarl_jax.experiment.build import Setup, build_setup, longest_meta_episode, shorter_context
from metarl_jax.experiment.experiment import Experiment
from metarl_jax.experiment.policy_file import PolicyRecord, write_policy_record
from metarl_jax.experiment.run_config import (
    RunConfig,
    load_config,
    require_code_elsewhere,
    settings_to_json,
    write_config,
)
from metarl_jax.experiment.sweep import agents_of
from metarl_jax.files import reason
from metarl_jax.learning.train_state import TrainState
from metarl_jax.parallel.host import process_seconds
from metarl_jax.parallel.processes import broadcast_from_first, is_first, on_all_processes
from metarl_jax.parallel.sharding import local_replica
from metarl_jax.parallel.signals import Stopped, stops_raise
from metarl_jax.policy.conformance import check_unroll
from metarl_jax.policy.policy import PolicyParams
from metarl_jax.report.console import Console
from metarl_jax.tasks.conformance import check_task_distribution
from metarl_jax.tasks.interface import interface_of, write_interface
from metarl_jax.training.plan import Evaluate, ExitCode, TrainingPlan
from metarl_jax.training.tags import schedule_values
from metarl_jax.training.train import run_training
from metarl_jax.trees import take
from metarl_jax.types import ConfigurationError

USAGE = """\
usage: metarl train NAME [options]
       metarl train --resume RUN [--total-steps N]

`metarl list` shows the presets, `metarl train NAME --help` the options of one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResumeOptions(MachineOptions):
    """Go on with a run that was stopped, with the settings it was begun with.

    Attributes:
        resume: the run's folder.
        tensorboard: also log to TensorBoard, in the run's folder.
        wandb: also log to Weights & Biases, under this project name.
        task_chunk: the most tasks that a device takes at a time; as it was begun by default.
        total_steps: environment steps in all, more than it was begun with; schedules that have
            ended hold their last values.
    """

    resume: Path
    tensorboard: bool = False
    wandb: str | None = None
    task_chunk: int | None = None
    total_steps: int | None = None


def train_command(arguments: Sequence[str]) -> int:
    """Trains, evaluates and draws; returns the exit code."""
    named = bool(arguments) and not arguments[0].startswith("-")
    resumes = read_early_flags(arguments).resume is not None
    if resumes and named:
        raise ConfigurationError(
            f"expected `metarl train --resume RUN` alone, got the name {arguments[0]!r} too; a run "
            "is resumed with its own settings."
        )
    if resumes:
        return _resume(parse(ResumeOptions, "metarl train", arguments))
    if arguments and arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if not named:
        raise ConfigurationError(
            "expected `metarl train NAME [options]`, the name before the options, got no name; "
            "`metarl list` shows the presets."
        )
    experiment = load_with_settings(arguments[0])
    options = parse_train_options(experiment, arguments[1:])
    return _begin(experiment, options, ["train", *arguments])


def sweep_command(arguments: Sequence[str]) -> int:
    """`train_command` over hyper-parameters: one agent for each combination and each seed."""
    if arguments and arguments[0] in ("-h", "--help"):
        print_sweep_help()
        return 0
    if not arguments or arguments[0].startswith("-"):
        raise ConfigurationError(
            "expected `metarl sweep NAME --over SETTING=VALUE,VALUE [options]`, the name before "
            "the options, got no name; `metarl list` shows the presets."
        )
    experiment = load_with_settings(arguments[0])
    options = parse_sweep_options(experiment, arguments[1:])
    if len(agents_of(options.settings, options.sweep)) == 1:
        raise ConfigurationError(
            "expected several values, or several seeds (--num-seeds), to compare, got one agent; "
            "`metarl train` trains one."
        )
    return _begin(experiment, options, ["sweep", *arguments])


def _begin(experiment: Experiment, options: TrainOptions, command_line: Sequence[str]) -> int:
    name = command_line[1]
    family = dataclasses.asdict(options.family)
    tasks = make_tasks(experiment, family)
    imported = process_seconds()
    check_task_distribution(tasks)  # first: a sampler that changes must be seen to do so
    setup = build_setup(tasks, options.settings, options.machine.devices, options.sweep)
    check_unroll(setup.policy)
    place, _, attribute = name.rpartition(":")
    if place.endswith(".py"):  # so that the run can be evaluated from any folder
        name = f"{Path(place).absolute()}:{attribute}"
    source = options.output.init_from
    init_from = "" if source is None else str(source.absolute())
    config = RunConfig(name, family, options.settings, options.sweep, init_from)
    policy = PolicyRecord.of(setup.policy, setup.algorithm, setup.key)
    prepare = warm_start(config, setup)
    folder = Path(broadcast_from_first(lambda: str(options.output.out or default_folder(name))))
    resume = options.output.or_resume and bool(
        broadcast_from_first(lambda: holds_run(folder, config))
    )
    require_code_elsewhere(name, folder)
    # Loggers first: a missing extra leaves no run behind.
    with removed_if_empty(folder) if options.output.out is None else contextlib.nullcontext():
        loggers = on_all_processes(
            lambda: _loggers(folder, config, options.output, setup.plan) if is_first() else []
        )
    if not resume:
        on_all_processes(lambda: create_run(folder, config, command_line) if is_first() else None)
    on_all_processes(lambda: require_shared(folder))
    return _run(_Prepared(folder, config, setup, loggers, imported, prepare, policy), resume=resume)


def _resume(options: ResumeOptions) -> int:
    config = load_config(options.resume)
    _, tasks = load_tasks(config)
    imported = process_seconds()
    longer = config if options.total_steps is None else _longer(config, options.total_steps)
    config = longer
    if options.task_chunk is not None:  # the same gradient: for a machine with less memory
        settings = config.settings.change({"budget.task_chunk": options.task_chunk})
        config = dataclasses.replace(config, settings=settings)
    setup = build_setup(tasks, config.settings, options.devices, config.sweep)
    loggers = on_all_processes(
        lambda: _loggers(options.resume, config, options, setup.plan) if is_first() else []
    )
    policy = PolicyRecord.of(setup.policy, setup.algorithm, setup.key)
    prepare = lambda state: warm_start(config, setup)(state)  # where it was stopped at once
    prepared = _Prepared(options.resume, config, setup, loggers, imported, prepare, policy)
    return _run(prepared, resume=True, on_start=partial(write_config, options.resume, longer))


def _longer(config: RunConfig, total_steps: int) -> RunConfig:
    """The same run with more steps; its schedules run over as many as before.

    Raises:
        ConfigurationError: it has as many steps already.
    """
    budget = config.settings.budget
    if total_steps < budget.total_steps:
        raise ConfigurationError(
            f"expected --total-steps of at least the {budget.total_steps:,} of this run, got "
            f"{total_steps:,}; give more, or leave it out."
        )
    if total_steps == budget.total_steps:
        return config
    steps = {
        "budget.total_steps": total_steps,
        "budget.schedule_steps": budget.schedule_steps or budget.total_steps,
    }
    return dataclasses.replace(config, settings=config.settings.change(steps))


@dataclasses.dataclass(frozen=True)
class _Prepared:
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
        if is_first():
            write_interface(self.folder, interface_of(self.setup.tasks))
            write_policy_record(self.folder, self.policy)


def _run(run: _Prepared, *, resume: bool, on_start: Callable[[], object] = lambda: None) -> int:
    folder, config, setup = run.folder, run.config, run.setup
    on_all_processes(run.describe)
    console, plan = Console(silent=not is_first()), setup.plan
    steps = setup.algorithm.steps_per_update
    loggers = [FirstRow(folder, run.imported, plan, steps, console.note), *run.loggers]
    console.start(_header(config, setup) | {"folder": str(folder)})
    if not is_first():
        print(f"process {_processes()['process']}", flush=True)
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
            on_start=on_start,
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


def _header(config: RunConfig, setup: Setup) -> dict[str, str]:
    settings, tasks = config.settings, setup.tasks
    shapes: Any = jax.eval_shape(setup.policy.init, jax.random.key(0))
    weights = sum(int(np.prod(x.shape)) for x in jax.tree.leaves(shapes.weights))
    size = getattr(settings.memory, "hidden_size", "")
    memory = f", {settings.memory_name} {size}".rstrip() if settings.memory_name else ""
    episodes = (
        settings.budget.meta_episode_steps or f"{tasks.num_episodes} × {tasks.episode_length}"
    )
    device = jax.devices()[0]
    agents = {"agents": _agents(config, setup)} if setup.is_population else {}
    looks_back = shorter_context(setup.policy, longest_meta_episode(tasks, settings))
    return {
        "task family": config.experiment,
        **agents,
        "policy": f"{settings.policy.name}{memory}, {weights:,} parameters",
        **({"context": looks_back} if looks_back else {}),
        "algorithm": settings.algorithm.name,
        "training": f"{setup.plan.num_updates:,} updates of {settings.budget.num_tasks} tasks × "
        f"{episodes} = {setup.algorithm.steps_per_update:,} steps",
        **_processes(),
        "device": f"{setup.num_devices} × {device.device_kind} ({device.platform}), "
        f"{settings.policy.precision}",
    }


def _processes() -> dict[str, str]:
    """Which of several processes this is; nothing of one alone."""
    if jax.process_count() == 1:
        return {}
    own, every = jax.local_device_count(), jax.device_count()
    counted = f"{jax.process_index()} of {jax.process_count()}"
    return {"process": f"{counted}, {own} devices here and {every} in all"}


def _agents(config: RunConfig, setup: Setup) -> str:
    seeds = f"{config.settings.budget.num_seeds} seeds" * (config.settings.budget.num_seeds > 1)
    swept = [f"{len(values)} values of {name}" for name, values in config.sweep.items()]
    return f"{len(setup.agents)} in one program: {' × '.join([*swept, *filter(None, [seeds])])}"


def _loggers(
    folder: Path, config: RunConfig, options: OutputOptions | ResumeOptions, plan: TrainingPlan
) -> list[Any]:
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
