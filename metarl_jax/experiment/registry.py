"""Finding experiments: by the entry points of installed packages, or in a file of the user's own.

A package offers presets in its `pyproject.toml`, one entry point each, by the preset's name:

    [project.entry-points."metarl_jax.experiments"]
    corridor_9 = "corridors.presets:corridor_9"

A package offers all environments of a suite as `SUITE:NAME`, by one function from the name of an
environment to its task family:

    [project.entry-points."metarl_jax.suites"]
    gymnax = "metarl_envs.adapters.from_gymnax:gymnax_family"
"""

import importlib.metadata
import inspect
from typing import Any

from metarl_jax.checks import suggestion
from metarl_jax.experiment.code import load_module, load_object, return_type
from metarl_jax.experiment.contents import contents
from metarl_jax.experiment.experiment import Experiment
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.types import ConfigurationError

GROUP = "metarl_jax.experiments"
SUITES = "metarl_jax.suites"


def experiment_names() -> list[str]:
    """Names of all installed presets; imports none of them."""
    return sorted({point.name for point in importlib.metadata.entry_points(group=GROUP)})


def load_experiment(name: str) -> Experiment:
    """The experiment of that name.

    Args:
        name: an installed preset, `SUITE:NAME`, or `FILE.py:NAME` or `MODULE:NAME`, where NAME is
            an `Experiment` or a function that makes a task distribution.

    Raises:
        ConfigurationError: there is none; a near name is suggested.
    """
    if is_of_suite(name):
        return _experiment_of_suite(name)
    if ":" in name:
        return _experiment_at(name)
    if name.endswith(".py"):
        raise ConfigurationError(
            f"expected FILE.py:NAME, got {name!r} without a name; {_example(name)}"
        )
    points = {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}
    if name not in points:
        hint = suggestion(name, points, "`metarl list` shows them all.")
        raise ConfigurationError(
            f"expected the name of an experiment or FILE.py:NAME, got {name!r}; {hint}"
        )
    return _loaded(points[name])


def suite_names() -> list[str]:
    """Names of the suites whose environments can be named as `SUITE:NAME`; imports none."""
    return sorted({point.name for point in importlib.metadata.entry_points(group=SUITES)})


def is_of_suite(name: str) -> bool:
    """Whether a name is that of a suite's environment."""
    suite, colon, _ = name.partition(":")
    return bool(colon) and suite in suite_names()


def _experiment_of_suite(name: str) -> Experiment:
    suite, _, environment = name.partition(":")
    (point, *_) = importlib.metadata.entry_points(group=SUITES, name=suite)
    return Experiment(name=name, summary="", family=point.load()(environment))


def contents_of(file: str) -> dict[str, dict[str, str]]:
    """What a file of the user's own holds: kind -> name -> summary; see `contents`.

    Raises:
        ConfigurationError: there is no such file, or it cannot be imported.
    """
    return contents(load_module(file))


def _example(place: str) -> str:
    """What may follow a file's name, for a person."""
    names = [name for group in contents_of(place).values() for name in group]
    if not names:
        return "it holds no experiment and no task family."
    return f"for instance {place}:{names[0]}; `metarl check {place}` lists what it holds."


def _loaded(point: importlib.metadata.EntryPoint) -> Experiment:
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"expected the experiment {point.name!r} at {point.value}, got: {error}; install the "
            "package that holds it again."
        ) from error
    if not isinstance(found, Experiment):
        raise ConfigurationError(
            f"expected an Experiment at {point.value}, which the entry point {point.name!r} names, "
            f"got {type(found).__name__}."
        )
    return found


def _experiment_at(name: str) -> Experiment:
    found = load_object(name)
    if isinstance(found, Experiment):
        return found
    if not callable(found):
        raise ConfigurationError(
            f"{name}: expected an Experiment, or a function that returns a TaskDistribution, got "
            f"{type(found).__name__}; check the name after the colon."
        )
    summary = (found.__doc__ or "").strip().partition("\n")[0]
    return Experiment(name=name, summary=summary, family=_checked(name, found))


def _checked(name: str, family: Any) -> Any:
    """A task family says what it takes and returns: no other function is called by its name."""
    if return_type(family) != TaskDistribution.__name__:
        raise ConfigurationError(
            f"{name}: a task family must say that it returns a TaskDistribution, got a function "
            f"that does not; write `def {name.rpartition(':')[2]}(...) -> TaskDistribution:`."
        )
    parameters = inspect.signature(family).parameters.values()
    bare = [p.name for p in parameters if p.empty in (p.default, p.annotation)]
    if bare:
        raise ConfigurationError(
            f"{name}: every argument of a task family must have a type and a default, got "
            f"{', '.join(bare)} without; write it as `size: int = 5`."
        )
    return family
