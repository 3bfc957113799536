"""From a preset to the flags of the command line."""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from metarl_experiments.commands.help import Group, Row, print_help
from metarl_experiments.commands.numbers import numbers_of, own_schedules
from metarl_experiments.commands.parsing import parse
from metarl_experiments.process.distributed import DistributedOptions
from metarl_experiments.process.early_flags import EarlyFlags, read_early_flags
from metarl_jax.checks import require_positive
from metarl_jax.experiment.experiment import Experiment
from metarl_jax.experiment.kinds import CHOICES, GROUPS, kind_names
from metarl_jax.experiment.settings import Settings
from metarl_jax.experiment.sweep import NO_SWEEP, Sweep
from metarl_jax.policy.settings import Memoryless
from metarl_jax.types import ConfigurationError

NO_MEMORY = "memoryless"
NONE = {"memory": NO_MEMORY, "objective": "algorithm"}
"""How a branch is called that may be left empty: no memory, and the algorithm's own loss."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where a run goes, and what it logs to.

    Attributes:
        out: Folder of the run, which must not hold one yet; runs/NAME-DATE-TIME by default.
        or_resume: Go on with this very run where the folder holds it already.
        init_from: Begin with the weights of this run's last checkpoint.
        tensorboard: Also log to TensorBoard, in the run's folder.
        wandb: Also log to Weights & Biases, under this project name.
    """

    out: Path | None = None
    or_resume: bool = False
    init_from: Path | None = None
    tensorboard: bool = False
    wandb: str | None = None

    def __post_init__(self) -> None:
        if self.or_resume and self.out is None:
            raise ConfigurationError(
                "expected --out RUN beside --or-resume, got none; name the folder to go on in."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MachineOptions(DistributedOptions):
    """Devices, and the processes of several machines.

    Attributes:
        devices: Devices of each process to split the tasks over; by default all that divide them.
        distributed: Join the processes of a cluster that jax knows or the next three flags name.
        coordinator: HOST:PORT of the first process, the same for all; or METARL_COORDINATOR.
        num_processes: Number of processes; or METARL_NUM_PROCESSES.
        process_id: Number of this process, from 0; or METARL_PROCESS_ID.
        heartbeat: Seconds without a sign of life after which a process counts as gone.
    """

    devices: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.devices is not None:
            require_positive("devices", self.devices)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """All that `metarl train` was told.

    Attributes:
        family: arguments of the task family, a dataclass made by `family_options`.
        settings: how it is learned.
        output: where the run goes.
        machine: devices and processes.
        sweep: the hyper-parameters, and the values of each, that agents differ in.
    """

    family: Any = None
    settings: Settings = Settings()
    output: OutputOptions = OutputOptions()
    machine: MachineOptions = MachineOptions()
    sweep: Sweep = dataclasses.field(default_factory=lambda: NO_SWEEP)


def parse_train_options(experiment: Experiment, arguments: Sequence[str]) -> TrainOptions:
    """Reads the flags of `metarl train NAME`, the preset's values being their defaults.

    Exits with code 2 and a message where a flag or a value is off.

    Args:
        experiment: the preset.
        arguments: those after its name.

    Raises:
        ConfigurationError: a policy and a memory do not go together, or a value is out of its
            range.
    """
    description = "Meta-train a policy, evaluate it on meta-test tasks, and draw what it learned."
    return _parse(experiment, arguments, f"metarl train {experiment.name}", description)


def parse_sweep_options(experiment: Experiment, arguments: Sequence[str]) -> TrainOptions:
    """Reads the flags of `metarl sweep NAME`: those of `metarl train NAME`, and `--over`.

    Args:
        experiment: the preset.
        arguments: those after its name.

    Raises:
        ConfigurationError: `--over` is missing or no SETTING=VALUE,VALUE, or as
            `parse_train_options`.
    """
    description = "Meta-train an agent for each value of a hyper-parameter, and compare them."
    return _parse(experiment, arguments, f"metarl sweep {experiment.name}", description, OVER)


def parse_family_options(experiment: Experiment, arguments: Sequence[str], prog: str) -> Any:
    """Reads the flags of a task family alone.

    Args:
        experiment: the preset.
        arguments: those after its name.
        prog: the command, as it is typed.

    Returns:
        The family's arguments, a dataclass made by `family_options`.
    """
    family = family_options(experiment.family, experiment.arguments)
    fields = [_field(Group("task family", "family", family, prefixed=True))]
    flags = dataclasses.make_dataclass("Flags", fields, frozen=True, kw_only=True)
    return parse(flags, prog, arguments).family


Field = tuple[str, Any, Any]
OVER: Field = ("over", tyro.conf.UseAppendAction[tuple[str, ...]], dataclasses.field(default=()))
OWN: Field = (
    "hyperparameter",
    tyro.conf.UseAppendAction[tuple[str, ...]],
    dataclasses.field(default=()),
)
OWN_ROW = Row(
    "--hyperparameter NAME=VALUE,...",
    "A schedule that an objective or an optimizer of yours reads; may be given several times.",
    "",
)


def _parse(
    experiment: Experiment, arguments: Sequence[str], prog: str, description: str, *more: Field
) -> TrainOptions:
    early = read_early_flags(arguments)
    settings = _choose(experiment, early)
    groups = _groups_of(experiment, settings)
    if {"-h", "--help"} & set(arguments):
        rows = [_over_row(settings) for _ in more]
        rows += [_choice_row(b, settings) for b in CHOICES if b != "objective"]
        own = [_choice_row("objective", settings), OWN_ROW]
        operands = "--over SETTING=VALUE,VALUE [options]" if more else "[options]"
        print_help(prog, description, rows, groups, operands, {"a loss of your own": own})
        sys.exit(0)
    _require_options_of(settings, arguments)
    choices = [_choice(branch, settings, getattr(early, branch)) for branch in CHOICES]
    fields = [*more, OWN, *choices, *map(_field, groups)]
    flags = dataclasses.make_dataclass("Flags", fields, frozen=True, kw_only=True)
    parsed: Any = parse(flags, prog, arguments, add_help=False)
    output = parsed.output
    if output.out is None and early.out:  # a folder named None, which the parser takes for none
        output = dataclasses.replace(output, out=Path(early.out))
    branches: dict[str, Any] = {
        f.name: getattr(parsed, f.name, None) for f in dataclasses.fields(Settings)
    }
    branches["objective"] = settings.objective
    own, sweep = own_schedules(settings, parsed.hyperparameter, getattr(parsed, "over", None))
    branches["own_hyperparameters"] = own
    chosen = Settings(**branches)
    before = settings.schedules() | {n: own[n] for n in sweep if n in own}
    after = chosen.schedules()
    told = {name for name, _ in map(numbers_of, parsed.hyperparameter)}
    if twice := [n for n in sweep if before.get(n) != after.get(n) or n in told]:
        raise ConfigurationError(
            f"expected either a flag or a sweep of {', '.join(twice)}, got both; leave the flag "
            "out."
        )
    return TrainOptions(
        family=parsed.family,
        settings=chosen,
        output=output,
        machine=parsed.machine,
        sweep=sweep,
    )


def _choose(experiment: Experiment, flags: EarlyFlags) -> Settings:
    """The preset's settings with the kinds that are asked for.

    A name that there is not is left for the parser of all flags to refuse.

    Raises:
        ConfigurationError: a memory is asked for beside the memoryless policy, or the reverse.
    """
    policy, memory = flags.policy, flags.memory
    if memory == NO_MEMORY and policy in (None, Memoryless.name):
        policy, memory = Memoryless.name, None
    told = policy or experiment.settings.policy.name
    if memory is not None and (memory == NO_MEMORY) != (told == Memoryless.name):
        raise ConfigurationError(
            "expected every policy but the memoryless one with a memory, and no other --policy "
            f"beside --memory memoryless, got --policy {told} and --memory {memory}; leave one of "
            "the two out."
        )
    asked = {branch: getattr(flags, branch) for branch in CHOICES}
    asked |= {"policy": policy, "memory": memory}
    return experiment.settings_for(**{n: x for n, x in asked.items() if x and _may_be(n, x)})


def _may_be(branch: str, name: str) -> bool:
    return name in kind_names(branch) or (branch in GROUPS and ":" in name)


def _require_options_of(settings: Settings, arguments: Sequence[str]) -> None:
    """Refuses an option that another kind has than the one that is chosen, and names that kind."""
    for argument in arguments:
        branch, dot, option = argument.partition("=")[0].removeprefix("--").partition(".")
        option = option.replace("-", "_")
        owners = [
            name
            for name, kind in CHOICES.get(branch, {}).items()
            if dot and option in kind.__dataclass_fields__
        ]
        if owners and not settings.has(f"{branch}.{option}"):
            chosen = getattr(settings, branch)
            raise ConfigurationError(
                f"expected options that {branch} {chosen.name if chosen else NO_MEMORY} has, got "
                f"{argument}, an option of {' and '.join(owners)}; leave it out, or choose another "
                f"with --{branch}."
            )


def _groups_of(experiment: Experiment, settings: Settings) -> list[Group]:
    """The options in groups, the common ones first."""
    family = family_options(experiment.family, experiment.arguments)
    groups = [
        Group("training", "budget", settings.budget, prefixed=False),
        Group("optimizer", "optimizer", settings.optimizer, prefixed=False),
        Group("discounting", "discounting", settings.discounting, prefixed=False),
        Group("algorithm", "algorithm", settings.algorithm, prefixed=True),
        Group("encoder", "encoder", settings.encoder, prefixed=True),
        Group("memory", "memory", settings.memory, prefixed=True),
        Group("policy", "policy", settings.policy, prefixed=True),
        Group("task family", "family", family, prefixed=True),
        Group("evaluation", "evaluation", settings.evaluation, prefixed=False),
        Group("output", "output", OutputOptions(), prefixed=False),
        Group("several machines", "machine", MachineOptions(), prefixed=False),
    ]
    return [group for group in groups if group.default is not None]


def _field(group: Group) -> Field:
    kind: Any = type(group.default)
    kind = kind if group.prefixed else tyro.conf.OmitArgPrefixes[kind]
    return group.name, kind, dataclasses.field(default=group.default)


def _choices(branch: str, settings: Settings) -> tuple[list[str], str]:
    """The names that a branch may be given, and its own."""
    chosen = getattr(settings, branch)
    none = [NONE[branch]] if branch in NONE else []
    return [*kind_names(branch), *none], none[0] if chosen is None else chosen.name


def _choice(branch: str, settings: Settings, given: str | None) -> Field:
    """The field that chooses a branch's kind, on which the options of its group depend."""
    names, own = _choices(branch, settings)
    if given and _may_be(branch, given):  # code of your own among them
        names.append(given)
    kind = Annotated[Literal[tuple(dict.fromkeys([*names, own]))], tyro.conf.arg(name=branch)]
    return f"{branch}_name", kind, dataclasses.field(default=own)


def _choice_row(branch: str, settings: Settings) -> Row:
    names, own = _choices(branch, settings)
    also = " Or FILE.py:NAME." if branch in GROUPS else ""
    return Row(f"--{branch} NAME", f"One of {', '.join(names)}.{also}", own)


def _over_row(settings: Settings) -> Row:
    names = ", ".join(settings.schedules())
    text = "Train an agent with each value; given twice, with every combination. SETTING is one of "
    return Row("--over SETTING=VALUE,VALUE,...", f"{text}{names}.", "")


def _flag_type(parameter: inspect.Parameter) -> Any:
    """The type of a family's argument; a record's flags are `--RECORD.FIELD`, wherever it is."""
    if dataclasses.is_dataclass(parameter.default):
        by_itself = tyro.conf.arg(name=parameter.name, prefix_name=False)
        return Annotated[parameter.annotation, by_itself]
    return parameter.annotation


def family_options(family: Callable[..., Any], changes: dict[str, Any] | Any) -> Any:
    """The keyword arguments of a task family as a frozen dataclass, with its docstring.

    Args:
        family: a function whose arguments all have defaults and plain types.
        changes: values that differ from the function's own defaults.
    """
    parameters = inspect.signature(family).parameters.values()
    fields = [(p.name, _flag_type(p), dataclasses.field(default=p.default)) for p in parameters]
    kind = dataclasses.make_dataclass("FamilyOptions", fields, frozen=True, kw_only=True)
    kind.__doc__ = inspect.cleandoc(family.__doc__ or "").replace("Args:", "Attributes:")
    default = kind()
    nested = {n: x for n, x in changes.items() if dataclasses.is_dataclass(getattr(default, n))}
    parts = {n: dataclasses.replace(getattr(default, n), **x) for n, x in nested.items()}
    return dataclasses.replace(default, **(dict(changes) | parts))
