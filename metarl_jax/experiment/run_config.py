"""What defines a run, and its file, config.json.

format       2; folders of version 0.1 have none, and are read all the same
experiment   the name that `metarl train` was given
family       the arguments of the task family
settings     the tree of `Settings`; a branch of several kinds has its kind's `name`, which for
             code of your own is FILE.py:NAME, MODULE:NAME or an entry point
sweep        hyper-parameters, and the values of each, in which the agents differ
init_from    the folder of the run whose weights this one began with; "" for none
"""

import dataclasses
import json
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from metarl_jax.experiment.kinds import CHOICES, kind_of
from metarl_jax.experiment.settings import Settings
from metarl_jax.experiment.sweep import NO_SWEEP, Sweep
from metarl_jax.experiment.version_1 import settings_of_version_1
from metarl_jax.files import read_object, write_whole
from metarl_jax.types import ConfigurationError, UnwritableError

FORMAT = 2
NAME = "config.json"


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What defines a run.

    Attributes:
        experiment: Name it was found by.
        family: Arguments of the task family.
        settings: How it is learned.
        sweep: Hyper-parameters, and the values of each, in which its agents differ.
        init_from: Folder of the run whose weights it begins with; "" for none.
    """

    experiment: str
    family: Mapping[str, Any]
    settings: Settings
    sweep: Sweep = dataclasses.field(default_factory=lambda: NO_SWEEP)
    init_from: str = ""

    def defines(self, other: "RunConfig") -> bool:
        """Whether both define one run, read back or not: JSON makes lists of tuples."""
        return config_text(self) == config_text(other)

    @property
    def title(self) -> str:
        """The experiment's name without the file it is in."""
        return self.experiment.rpartition(":")[2]


def config_text(config: RunConfig) -> str:
    """The configuration as config.json holds it."""
    raw = {
        "format": FORMAT,
        "experiment": config.experiment,
        "family": dict(config.family),
        "settings": settings_to_json(config.settings),
        "sweep": dict(config.sweep),
        "init_from": config.init_from,
    }
    return json.dumps(raw, indent=2) + "\n"


def is_configured(folder: Path) -> bool:
    """Whether a run was made by the command line, which writes config.json."""
    return (folder / NAME).exists()


def write_config(folder: Path, config: RunConfig) -> None:
    """Writes config.json in one step, over the one that is there.

    Raises:
        UnwritableError: the folder cannot be written.
    """
    try:
        write_whole(folder / NAME, config_text(config))
    except OSError as error:
        raise UnwritableError(
            f"expected a run's folder that can be written, got {folder}: {error.strerror}; make "
            "room, or give yourself the right to write there."
        ) from error


def load_config(folder: Path) -> RunConfig:
    """Reads config.json.

    Raises:
        ConfigurationError: the folder is no run, its configuration is not one of ours, or its
            experiment is code that lies in the folder.
    """
    where = folder / NAME
    raw: dict[str, Any] = {"init_from": ""} | read_object(where)
    written_as = raw.get("format", 1)
    if type(written_as) is not int or written_as not in READERS:
        raise ConfigurationError(
            f"{where}: expected a configuration of format {FORMAT}, got "
            f"{reprlib.repr(written_as)}; it was written by a newer version: install that one."
        )
    names = {field.name for field in dataclasses.fields(RunConfig)}
    require_names(raw.keys() - {"format"}, names, "RunConfig", where)
    require_code_elsewhere(str(raw["experiment"]), folder)
    try:
        return RunConfig(
            str(raw["experiment"]),
            dict(raw["family"]),
            READERS[written_as](raw["settings"], where),
            {str(name): tuple(values) for name, values in raw["sweep"].items()},
            str(raw["init_from"]),
        )
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{where}: expected values as `metarl train` writes them, got: {error}"
        ) from error


def settings_to_json(settings: Settings) -> dict[str, Any]:
    """The tree as nested objects; a kind that was chosen stands under "name"."""
    return {
        field.name: branch_to_json(getattr(settings, field.name))
        for field in dataclasses.fields(settings)
    }


def settings_from_json(raw: Any, where: Path) -> Settings:
    """The settings of nested objects, each checked for just the names that it should have.

    Args:
        raw: as `settings_to_json` gives.
        where: the file, for errors.

    Raises:
        ConfigurationError: a name is missing or unknown, or a value is out of its range.
    """
    given = dict(ADDED[""]) | raw if isinstance(raw, dict) else {}
    require_names(given.keys(), get_type_hints(Settings).keys(), "Settings", where)
    own = {str(name): tuple(knots) for name, knots in dict(given["own_hyperparameters"]).items()}
    branches = {
        name: branch_from_json(name, value, where)
        for name, value in given.items()
        if name != "own_hyperparameters"
    }
    return Settings(**branches, own_hyperparameters=own)


def branch_from_json(name: str, value: Any, where: Path) -> Any:
    """One branch of the settings from its object.

    Args:
        name: of the branch.
        value: as `branch_to_json` gives.
        where: the file, for errors.

    Raises:
        ConfigurationError: a name is missing or unknown, or a value is out of its range; or code of
            your own lies in the run's folder or is not to be found.
    """
    if value is None:  # the memory of a memoryless policy, or the algorithm's own objective
        return None
    value, kind = dict(ADDED.get(name, {})) | dict(value), get_type_hints(Settings)[name]
    if name in CHOICES:
        chosen = str(value.pop("name", None))
        require_code_elsewhere(chosen, where.parent)
        try:
            kind = kind_of(name, chosen)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error}") from error
    fields = {field.name for field in dataclasses.fields(kind)}
    value = {n: x for n, x in value.items() if n in fields or n not in ADDED.get(name, {})}
    require_names(value.keys(), fields, kind.__name__, where)
    return kind(**{n: tuple(x) if isinstance(x, list) else x for n, x in value.items()})


ADDED: Mapping[str, Mapping[str, Any]] = {
    "": {"encoder": {"name": "flat"}, "objective": None, "own_hyperparameters": {}},
    "algorithm": {"critic_sees_task": False},
    "budget": {"schedule_steps": None},
    "optimizer": {"name": "adam"},
}
"""Settings that were added to format 2, and what the runs before them did."""
READERS = {1: settings_of_version_1, FORMAT: settings_from_json}
"""How the settings of each format are read."""


def require_names(given: Any, expected: Any, what: str, where: Path) -> None:
    """Raises ConfigurationError unless the given names are just those expected."""
    if set(given) != set(expected):
        raise ConfigurationError(
            f"{where}: expected the fields of a {what}, got some missing "
            f"{sorted(set(expected) - set(given))}, some unknown "
            f"{sorted(set(given) - set(expected))}; it was written by another version, or edited."
        )


def require_code_elsewhere(code: str, folder: Path) -> None:
    """Refuses code in a run's folder, which is data: reading it must not execute what lies there.

    Args:
        code: FILE.py:NAME of an experiment, a memory and so on; any other name is left alone.
        folder: of the run.

    Raises:
        ConfigurationError: the file lies in the folder, or its path is relative.
    """
    place = Path(code.rpartition(":")[0])
    if not str(place).endswith(".py"):
        return
    if not place.is_absolute() or place.resolve().is_relative_to(folder.resolve()):
        raise ConfigurationError(
            f"expected the code of {folder} in a file of yours outside of that folder, got "
            f"{code!r}; no code is taken from a run: move one of the two."
        )


def branch_to_json(node: Any) -> dict[str, Any] | None:
    """One branch of the settings as an object."""
    if node is None or isinstance(node, dict):
        return node
    named = {"name": node.name} if hasattr(node, "name") else {}
    return named | dataclasses.asdict(node)
