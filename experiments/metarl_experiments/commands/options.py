"""From a preset to the flags of the command line."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import tyro

from metarl_experiments.process.distributed import DistributedOptions
from metarl_experiments.process.runtime import flag_value
from metarl_jax.checks import require_positive
from metarl_jax.experiment.experiment import Experiment
from metarl_jax.experiment.settings import AlgorithmName, MemoryName, Settings
from metarl_jax.experiment.sweep import NO_SWEEP, Sweep
from metarl_jax.types import ConfigurationError


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions(DistributedOptions):
    """Meta-train a policy, evaluate it on meta-test tasks, and draw what it learned.

    Attributes:
        out: the run's folder, which must not hold a run yet; runs/NAME-DATE-TIME by default.
        or_resume: where the folder holds this very run already, go on with it.
        tensorboard: also log to TensorBoard, in the run's folder.
        wandb: also log to Weights & Biases, under this project name.
        devices: split the tasks over so many devices of each process; by default over all that
            divide them. On a CPU a device is a core.
    """

    out: Path | None = None
    or_resume: bool = False
    tensorboard: bool = False
    wandb: str | None = None
    devices: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.or_resume and self.out is None:
            raise ConfigurationError(
                "expected --out RUN beside --or-resume, got none; name the folder to go on in."
            )
        if self.devices is not None:
            require_positive("devices", self.devices)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepFlags(RunOptions):
    """Meta-train an agent for each value of a numeric setting, in one program, and compare them.

    Attributes:
        over: SETTING=VALUE,VALUE,...; given twice, every combination is trained. A value holds from
            the first update to the last, in place of the preset's schedule.
    """

    over: tyro.conf.UseAppendAction[tuple[str, ...]] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions(RunOptions):
    """All that `metarl train` was told.

    Attributes:
        family: arguments of the task family, a dataclass made by `family_options`.
        settings: how it is learned.
        sweep: the hyper-parameters, and the values of each, that agents differ in.
    """

    family: Any = None
    settings: Settings = Settings()
    sweep: Sweep = dataclasses.field(default_factory=lambda: NO_SWEEP)


def parse_train_options(experiment: Experiment, arguments: Sequence[str]) -> TrainOptions:
    """Reads the flags of `metarl train NAME`, the preset's values being their defaults.

    Exits with code 2 and a message where a flag or a value is off.

    Args:
        experiment: the preset.
        arguments: those after its name.

    Raises:
        ConfigurationError: a setting would do nothing under the others.
    """
    return _parse(experiment, arguments, RunOptions, "train")


def parse_sweep_options(experiment: Experiment, arguments: Sequence[str]) -> TrainOptions:
    """Reads the flags of `metarl sweep NAME`: those of `metarl train NAME`, and `--over`.

    Args:
        experiment: the preset.
        arguments: those after its name.

    Raises:
        ConfigurationError: `--over` is missing or no SETTING=VALUE,VALUE, or a setting would do
            nothing under the others.
    """
    return _parse(experiment, arguments, SweepFlags, "sweep")


def _parse(
    experiment: Experiment, arguments: Sequence[str], base: type[RunOptions], command: str
) -> TrainOptions:
    arguments = _without_memory(arguments)
    settings = experiment.settings_for(
        _asked("--algorithm", get_args(AlgorithmName), arguments),
        _asked("--memory", get_args(MemoryName), arguments),
    )
    family = family_options(experiment.family, experiment.arguments)
    flags = dataclasses.make_dataclass(
        "TrainFlags",
        [
            ("family", type(family), dataclasses.field(default=family)),
            ("settings", tyro.conf.OmitArgPrefixes[Settings], dataclasses.field(default=settings)),
        ],
        bases=(base,),
        frozen=True,
        kw_only=True,
    )
    flags.__doc__ = base.__doc__
    parsed: Any = tyro.cli(flags, prog=f"metarl {command} {experiment.name}", args=list(arguments))
    # A variant's changes are the preset's; that its memory was asked for is not.
    asked_of = dataclasses.replace(settings, memory=experiment.settings.memory)
    if idle := parsed.settings.idle_changes(asked_of):
        raise ConfigurationError(
            f"expected settings that are read, got some that would do nothing: {'; '.join(idle)}; "
            "leave them out."
        )
    given: dict[str, Any] = {f.name: getattr(parsed, f.name) for f in dataclasses.fields(parsed)}
    sweep = read_sweep(given.pop("over", None))
    if twice := [n for n in sweep if getattr(parsed.settings, n, 0) != getattr(settings, n, 0)]:
        raise ConfigurationError(
            f"expected either a flag or a sweep of {', '.join(twice)}, got both; leave the flag "
            "out."
        )
    return TrainOptions(**given, sweep=sweep)


def _without_memory(arguments: Sequence[str]) -> list[str]:
    """The arguments, with `--policy memoryless` in place of `--memory memoryless`.

    Raises:
        ConfigurationError: another policy is asked for as well.
    """
    if flag_value(arguments, "--memory") != "memoryless":
        return list(arguments)
    policy = flag_value(arguments, "--policy")
    if policy not in (None, "memoryless"):
        raise ConfigurationError(
            f"expected no other --policy beside --memory memoryless, got {policy}; the memoryless "
            "policy sees the current observation alone."
        )
    at = next(i for i, word in enumerate(arguments) if word.partition("=")[0] == "--memory")
    taken = 1 if "=" in arguments[at] else 2
    rest = [*arguments[:at], *arguments[at + taken :]]
    return rest if policy else ["--policy", "memoryless", *rest]


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


def _asked(flag: str, choices: Sequence[Any], arguments: Sequence[str]) -> Any:
    """What is asked for of a field on which a preset's defaults depend; None: no choice of it."""
    asked = flag_value(arguments, flag)
    return asked if asked in choices else None
