"""From a preset to the flags of the command line."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from metarl_experiments.process.distributed import DistributedOptions
from metarl_experiments.process.early_flags import EarlyFlags, read_early_flags
from metarl_jax.checks import require_positive
from metarl_jax.experiment.experiment import Experiment
from metarl_jax.experiment.settings import CHOICES, Settings
from metarl_jax.experiment.sweep import NO_SWEEP, Sweep
from metarl_jax.policy.settings import Memoryless
from metarl_jax.types import ConfigurationError

NO_MEMORY = "memoryless"


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where a run goes, and what it logs to.

    Attributes:
        out: Folder of the run, which must not hold one yet; runs/NAME-DATE-TIME by default.
        or_resume: Go on with this very run where the folder holds it already.
        tensorboard: Also log to TensorBoard, in the run's folder.
        wandb: Also log to Weights & Biases, under this project name.
    """

    out: Path | None = None
    or_resume: bool = False
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


Field = tuple[str, Any, Any]
OVER: Field = (
    "over",
    Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(
            help="SETTING=VALUE,VALUE,...; each value is held throughout. Given twice, every "
            "combination is trained."
        ),
    ],
    dataclasses.field(default=()),
)


def _parse(
    experiment: Experiment, arguments: Sequence[str], prog: str, description: str, *more: Field
) -> TrainOptions:
    settings = _choose(experiment, read_early_flags(arguments))
    _require_options_of(settings, arguments)
    flags = dataclasses.make_dataclass(
        "Flags", [*more, *_fields_of(experiment, settings)], frozen=True, kw_only=True
    )
    parsed: Any = tyro.cli(
        flags, prog=prog, description=description, args=list(arguments), compact_help=True
    )
    branches: dict[str, Any] = {
        f.name: getattr(parsed, f.name, None) for f in dataclasses.fields(Settings)
    }
    chosen, sweep = Settings(**branches), read_sweep(getattr(parsed, "over", None))
    before, after = settings.schedules(), chosen.schedules()
    if twice := [name for name in sweep if before.get(name) != after.get(name)]:
        raise ConfigurationError(
            f"expected either a flag or a sweep of {', '.join(twice)}, got both; leave the flag "
            "out."
        )
    return TrainOptions(
        family=parsed.family,
        settings=chosen,
        output=parsed.output,
        machine=parsed.machine,
        sweep=sweep,
    )


def _choose(experiment: Experiment, flags: EarlyFlags) -> Settings:
    """The preset's settings with the policy, the memory and the algorithm that are asked for.

    A name that is none is left for the parser of all flags to refuse.

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
    asked = {"policy": policy, "memory": memory, "algorithm": flags.algorithm}
    return experiment.settings_for(**{n: x for n, x in asked.items() if x in CHOICES[n]})


def _require_options_of(settings: Settings, arguments: Sequence[str]) -> None:
    """Refuses an option that another kind has than the one that is chosen, and names that kind."""
    for argument in arguments:
        branch, dot, option = argument.partition("=")[0].removeprefix("--").partition(".")
        option = option.replace("-", "_")
        owners = [
            name for name, kind in CHOICES.get(branch, {}).items() if dot and hasattr(kind, option)
        ]
        if owners and not settings.has(f"{branch}.{option}"):
            chosen = getattr(settings, branch)
            raise ConfigurationError(
                f"expected options that {branch} {chosen.name if chosen else NO_MEMORY} has, got "
                f"{argument}, an option of {' and '.join(owners)}; leave it out, or choose another "
                f"with --{branch}."
            )


def _fields_of(experiment: Experiment, settings: Settings) -> list[Field]:
    """A field for every choice, then one for each group of flags, the common ones first."""
    flat = tyro.conf.OmitArgPrefixes
    family = family_options(experiment.family, experiment.arguments)
    groups: list[tuple[str, Any, Any]] = [
        ("budget", flat[type(settings.budget)], settings.budget),
        ("optimizer", flat[type(settings.optimizer)], settings.optimizer),
        ("discounting", flat[type(settings.discounting)], settings.discounting),
        ("algorithm", type(settings.algorithm), settings.algorithm),
        ("memory", type(settings.memory), settings.memory),
        ("policy", type(settings.policy), settings.policy),
        ("family", type(family), family),
        ("evaluation", flat[type(settings.evaluation)], settings.evaluation),
        ("output", flat[OutputOptions], OutputOptions()),
        ("machine", flat[MachineOptions], MachineOptions()),
    ]
    fields = [
        (name, kind, dataclasses.field(default=default))
        for name, kind, default in groups
        if default is not None
    ]
    return [*(_choice(name, settings) for name in ("algorithm", "memory", "policy")), *fields]


def _choice(branch: str, settings: Settings) -> Field:
    """The flag that chooses a branch's kind, on which the flags of its group depend."""
    names = tuple(CHOICES[branch])
    default = NO_MEMORY if getattr(settings, branch) is None else getattr(settings, branch).name
    if branch == "memory":
        names = (*names, NO_MEMORY)
    told = tyro.conf.arg(name=branch, help=f"The {branch}; --{branch}.* are its own options.")
    return f"{branch}_name", Annotated[Literal[names], told], dataclasses.field(default=default)


def read_sweep(over: Sequence[str] | None) -> Sweep:
    """What `--over SETTING=VALUE,VALUE` asks for, given once or more; None: not a sweep.

    Raises:
        ConfigurationError: it has another form, or names a setting or a value twice.
    """
    if over is None:
        return NO_SWEEP
    sweep: dict[str, tuple[float, ...]] = {}
    for text in over:
        name, _, listed = text.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        try:
            values = tuple(float(value) for value in listed.split(","))
        except ValueError:
            values = ()
        if not values or len(set(values)) < len(values) or name in sweep:
            raise ConfigurationError(
                "expected --over SETTING=VALUE,VALUE,... with numbers that differ, and each "
                f"setting once, got {text!r}; for instance --over learning_rate=1e-4,1e-3."
            )
        sweep[name] = values
    if not sweep:
        raise ConfigurationError(
            "expected what the sweep is over, got no --over; for instance "
            "--over learning_rate=1e-4,1e-3."
        )
    return sweep


def family_options(family: Callable[..., Any], changes: dict[str, Any] | Any) -> Any:
    """The keyword arguments of a task family as a frozen dataclass, with its docstring.

    Args:
        family: a function whose arguments all have defaults and plain types.
        changes: values that differ from the function's own defaults.
    """
    fields = [
        (name, parameter.annotation, dataclasses.field(default=parameter.default))
        for name, parameter in inspect.signature(family).parameters.items()
    ]
    kind = dataclasses.make_dataclass("FamilyOptions", fields, frozen=True, kw_only=True)
    kind.__doc__ = inspect.cleandoc(family.__doc__ or "").replace("Args:", "Attributes:")
    return kind(**changes)
