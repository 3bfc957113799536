"""From a preset to the flags of the command line."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tyro

from metarl_jax.experiment import Experiment, Settings
from metarl_jax.learner import require_positive
from metarl_jax.types import ConfigurationError


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Meta-train a policy, evaluate it on meta-test tasks, and draw what it learned.

    Attributes:
        out: the run's folder, which must not hold a run yet; runs/NAME-DATE-TIME by default.
        tensorboard: also log to TensorBoard, in the run's folder.
        wandb: also log to Weights & Biases, under this project name.
        devices: split the tasks over so many devices; by default over all that divide them. On a
            CPU a device is a core.
    """

    out: Path | None = None
    tensorboard: bool = False
    wandb: str | None = None
    devices: int | None = None

    def __post_init__(self) -> None:
        if self.devices is not None:
            require_positive("devices", self.devices)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions(RunOptions):
    """All that `metarl train` was told.

    Attributes:
        family: arguments of the task family, a dataclass made by `family_options`.
        settings: how it is learned.
    """

    family: Any = None
    settings: Settings = Settings()


def parse_train_options(experiment: Experiment, arguments: Sequence[str]) -> TrainOptions:
    """Reads the flags of `metarl train NAME`, the preset's values being their defaults.

    Exits with code 2 and a message where a flag or a value is off.

    Args:
        experiment: the preset.
        arguments: those after its name.

    Raises:
        ConfigurationError: a setting would do nothing under the others.
    """
    settings = experiment.settings_for(_asked_algorithm(experiment, arguments))
    family = family_options(experiment.family, experiment.arguments)
    flags = dataclasses.make_dataclass(
        "TrainFlags",
        [
            ("family", type(family), dataclasses.field(default=family)),
            ("settings", tyro.conf.OmitArgPrefixes[Settings], dataclasses.field(default=settings)),
        ],
        bases=(RunOptions,),
        frozen=True,
        kw_only=True,
    )
    flags.__doc__ = RunOptions.__doc__
    parsed: Any = tyro.cli(flags, prog=f"metarl train {experiment.name}", args=list(arguments))
    if idle := parsed.settings.idle_changes(settings):
        raise ConfigurationError(
            f"expected settings that are read, got some that would do nothing: {'; '.join(idle)}; "
            "leave them out."
        )
    return TrainOptions(**{f.name: getattr(parsed, f.name) for f in dataclasses.fields(parsed)})


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


def _asked_algorithm(experiment: Experiment, arguments: Sequence[str]) -> str:
    """The algorithm asked for, known before the rest: a preset's defaults depend on it."""
    for i, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == "--algorithm":
            asked = value if equals else "".join(arguments[i + 1 : i + 2])
            return asked if asked in ("a2c", "ppo", "reinforce") else experiment.settings.algorithm
    return experiment.settings.algorithm
