"""`metarl train`: from a preset's name to a run's folder."""

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from metarl_experiments.commands.options import (
    MachineOptions,
    TrainOptions,
    parse_sweep_options,
    parse_train_options,
)
from metarl_experiments.commands.parsing import parse
from metarl_experiments.commands.prepared_run import PreparedRun, make_loggers, run_prepared
from metarl_experiments.commands.starting_settings import load_with_settings
from metarl_experiments.commands.sweep_help import print_sweep_help
from metarl_experiments.commands.warm_start import begin_again, warm_start
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
from metarl_jax.experiment.build import build_setup
from metarl_jax.experiment.experiment import Experiment
from metarl_jax.experiment.kinds import GROUPS
from metarl_jax.experiment.policy_file import PolicyRecord
from metarl_jax.experiment.run_config import (
    RunConfig,
    is_configured,
    load_config,
    require_code_elsewhere,
    write_config,
)
from metarl_jax.experiment.sweep import agents_of
from metarl_jax.parallel.host import process_seconds
from metarl_jax.parallel.processes import broadcast_from_first, is_first, on_all_processes
from metarl_jax.policy.conformance import check_unroll
from metarl_jax.tasks.conformance import check_task_distribution
from metarl_jax.training.train import require_new
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
    check_unroll(setup.policy, tasks)
    place, _, attribute = name.rpartition(":")
    if place.endswith(".py"):  # so that the run can be evaluated from any folder
        name = f"{Path(place).absolute()}:{attribute}"
    source = options.output.init_from
    init_from = "" if source is None else str(source.absolute())
    config = RunConfig(name, family, options.settings, options.sweep, init_from)
    policy = PolicyRecord.of(setup.policy, setup.algorithm, setup.key)
    out = options.output.out
    resume = options.output.or_resume and bool(
        broadcast_from_first(lambda: holds_run(Path(str(out)), config))
    )
    start = None if resume else warm_start(config, setup)  # refused before the run has a folder
    folder = Path(broadcast_from_first(lambda: str(out or default_folder(name))))
    require_code_elsewhere(name, folder)
    for kind in (getattr(options.settings, branch) for branch in GROUPS):
        require_code_elsewhere("" if kind is None else kind.name, folder)
    # Not Path.is_dir: a name may be too long.
    if not resume and os.path.isdir(folder) and not is_configured(folder):
        require_new(folder)  # a run from Python
    # Loggers first: a missing extra leaves no run behind.
    with removed_if_empty(folder) if out is None else contextlib.nullcontext():
        loggers = on_all_processes(
            lambda: make_loggers(folder, config, options.output, setup.plan) if is_first() else []
        )
    update = None if start is None else start.update
    create = partial(create_run, folder, config, command_line, init_from_update=update)
    if not resume:
        on_all_processes(lambda: create() if is_first() else None)
    on_all_processes(lambda: require_shared(folder))
    prepare = begin_again(folder, config, setup) if start is None else start.prepare
    prepared = PreparedRun(folder, config, setup, loggers, imported, prepare, policy)
    return run_prepared(prepared, resume=resume)


def _resume(options: ResumeOptions) -> int:
    begun = config = load_config(options.resume)
    _, tasks = load_tasks(config)
    imported = process_seconds()
    if options.total_steps is not None:
        config = _longer(config, options.total_steps)
    write = partial(write_config, options.resume, config) if config is not begun else lambda: None
    if options.task_chunk is not None:  # the same gradient: for a machine with less memory
        settings = config.settings.change({"budget.task_chunk": options.task_chunk})
        config = dataclasses.replace(config, settings=settings)
    setup = build_setup(tasks, config.settings, options.devices, config.sweep)
    loggers = on_all_processes(
        lambda: make_loggers(options.resume, config, options, setup.plan) if is_first() else []
    )
    policy = PolicyRecord.of(setup.policy, setup.algorithm, setup.key)
    prepare = begin_again(options.resume, config, setup)
    prepared = PreparedRun(options.resume, config, setup, loggers, imported, prepare, policy)
    return run_prepared(prepared, resume=True, on_start=write)


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
