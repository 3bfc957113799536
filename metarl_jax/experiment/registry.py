"""Finding experiments: by the entry points of installed packages, or in a file of the user's own.

A package offers presets in its `pyproject.toml`, one entry point each, by the preset's name:

    [project.entry-points."metarl_jax.experiments"]
    corridor_9 = "corridors.presets:corridor_9"
"""

import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from metarl_jax.checks import suggestion
from metarl_jax.experiment.contents import contents, return_type
from metarl_jax.experiment.experiment import Experiment
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.types import ConfigurationError

GROUP = "metarl_jax.experiments"


def experiment_names() -> list[str]:
    """Names of all installed presets; imports none of them."""
    return sorted({point.name for point in importlib.metadata.entry_points(group=GROUP)})


def load_experiment(name: str) -> Experiment:
    """The experiment of that name.

    Args:
        name: an installed preset, or `FILE.py:NAME` or `MODULE:NAME`, where NAME is an `Experiment`
            or a function that makes a task distribution.

    Raises:
        ConfigurationError: there is none; a near name is suggested.
    """
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


def contents_of(path: Path) -> dict[str, dict[str, str]]:
    """What a file of the user's own holds: kind -> name -> summary; see `contents`.

    Raises:
        ConfigurationError: there is no such file, or it cannot be imported.
    """
    return contents(_import_file(path))


def _example(place: str) -> str:
    """What may follow a file's name, for a person."""
    names = [name for group in contents_of(Path(place)).values() for name in group]
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
    place, _, attribute = name.rpartition(":")
    module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place)
    found = getattr(module, attribute, None)
    if isinstance(found, Experiment):
        return found
    if not callable(found):
        names = [name for group in contents(module).values() for name in group]
        listed = f"`metarl check {place}` lists what it holds."
        otherwise = listed if place.endswith(".py") else "check the name after the colon."
        raise ConfigurationError(
            f"expected in {place} an Experiment, or a function that returns a TaskDistribution, "
            f"got none called {attribute!r}; {suggestion(attribute, names, otherwise)}"
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


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (ImportError, ValueError, TypeError) as error:  # the last two: no name, a relative one
        raise ConfigurationError(
            f"expected MODULE:NAME or FILE.py:NAME, got a module {name!r} that cannot be imported "
            f"({error}); install the package that holds it, or name a file."
        ) from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigurationError(
            f"expected FILE.py:NAME, got no file {str(path)!r} to take an experiment from; check "
            "the path."
        )
    # A name of its own, so that a file called random.py takes no module's place.
    spec = importlib.util.spec_from_file_location(f"metarl_experiment_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    sys.path.append(str(path.absolute().parent))  # its neighbours can be imported, as in a script
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        raise ConfigurationError(
            f"{path} cannot be imported: {error}; mend it until `python {path}` runs."
        ) from error
    return module
