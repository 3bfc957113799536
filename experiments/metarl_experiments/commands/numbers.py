"""Numbers by name on the command line: NAME=VALUE,VALUE."""

from collections.abc import Sequence
from typing import Any

from metarl_jax.experiment.kinds import CHOICES
from metarl_jax.experiment.settings import Settings
from metarl_jax.experiment.sweep import NO_SWEEP, Sweep
from metarl_jax.types import ConfigurationError


def numbers_of(text: str) -> tuple[str, tuple[float, ...]]:
    """NAME=VALUE,VALUE,… as a name and its numbers.

    Raises:
        ConfigurationError: it has another form.
    """
    name, _, listed = text.partition("=")
    name = name.strip().removeprefix("--").replace("-", "_")
    try:
        values = tuple(float(value) for value in listed.split(","))
    except ValueError:
        values = ()
    if not values or not name.isidentifier():
        raise ConfigurationError(
            f"expected NAME=VALUE,VALUE,... with numbers, got {text!r}; for instance "
            "learning_rate=1e-4,1e-3."
        )
    return name, values


def read_sweep(over: Sequence[str] | None) -> Sweep:
    """What `--over SETTING=VALUE,VALUE` asks for, given once or more; None: not a sweep.

    Raises:
        ConfigurationError: it has another form, or names a setting or a value twice.
    """
    if over is None:
        return NO_SWEEP
    sweep: dict[str, tuple[float, ...]] = {}
    for text in over:
        name, values = numbers_of(text)
        if len(set(values)) < len(values) or name in sweep:
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


def own_schedules(
    settings: Settings, given: Sequence[str], over: Sequence[str] | None
) -> tuple[dict[str, tuple[float, ...]], Sweep]:
    """The hyper-parameters of code of your own, and the sweep, which may be over them too.

    Args:
        settings: with those of the preset, and the kinds that are asked for.
        given: of `--hyperparameter`.
        over: of `--over`; None: not a sweep.

    Raises:
        ConfigurationError: a text has another form, or names something twice.
    """
    sweep = read_sweep(over)
    told = list(map(numbers_of, given))
    names = [name for name, _ in told]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(
            f"expected each --hyperparameter once, got {', '.join(twice)} more often; leave one "
            "out."
        )
    own: dict[str, Any] = {**settings.own_hyperparameters, **dict(told)}
    chosen = {branch: getattr(settings, branch) for branch in ("objective", "optimizer")}
    if any(kind is not None and kind.name not in CHOICES[b] for b, kind in chosen.items()):
        swept = {name: values[:1] for name, values in sweep.items()}
        own |= {name: x for name, x in swept.items() if name not in settings.schedules()}
    return own, sweep
