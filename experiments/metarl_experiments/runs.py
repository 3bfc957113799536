"""A run's folder: what was asked for, and what it ran on.

config.json       experiment, family arguments and settings, fully resolved
run.json          versions, device, command line, commit, the update that it was begun with
metrics.jsonl     a row for every chunk of updates
checkpoints/      train states
evaluation.json   meta-test returns, with evaluation.npz: every task's return per episode
*.png             learning, adaptation, behaviour
report.html       all of it on one page, with a replay
"""

import contextlib
import datetime
import inspect
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metarl_jax.experiment.experiment import Experiment
from metarl_jax.experiment.registry import load_experiment
from metarl_jax.experiment.run_config import RunConfig, config_text, load_config
from metarl_jax.files import write_whole
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.training.provenance import describe_machine
from metarl_jax.types import ConfigurationError

SHARED_WITHIN_SECONDS = 10
INIT_FROM_UPDATE = "init_from_update"
"""The field of run.json that says which checkpoint of `init_from` the weights come from."""


def default_folder(name: str) -> Path:
    """Makes runs/NAME-DATE-TIME, or the same with a number where another run has just made that.

    Args:
        name: of the experiment, whose path is left out.

    Raises:
        ConfigurationError: no folder can be made here.
    """
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    first = Path("runs") / f"{name.rpartition(':')[2]}-{stamp}"
    more = (first.with_name(f"{first.name}-{n}") for n in itertools.count(2))
    with _writable(first):
        first.parent.mkdir(parents=True, exist_ok=True)
        return next(folder for folder in itertools.chain([first], more) if _made(folder))


def _made(folder: Path) -> bool:
    """Whether this call made the folder: of two runs that ask for one at once, one is told so."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


@contextlib.contextmanager
def removed_if_empty(folder: Path) -> Iterator[None]:
    """Removes an empty folder if the block raises: what could not begin leaves nothing behind."""
    try:
        yield
    except Exception:
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise


def create_run(
    folder: Path,
    config: RunConfig,
    arguments: Sequence[str],
    *,
    init_from_update: int | None = None,
) -> None:
    """Makes the folder and writes config.json and run.json.

    Args:
        folder: of the run; parents are made too.
        config: what defines the run.
        arguments: of the command line, for run.json.
        init_from_update: the update of the checkpoint that the run's weights come from.

    Raises:
        ConfigurationError: it holds a run already, or cannot be written.
    """
    with _writable(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Exclusive: of two runs that begin in one folder at once, one is refused.
            with (folder / "config.json").open("x", encoding="utf-8") as file:
                file.write(config_text(config))
            told = {"executable": sys.executable, "arguments": list(arguments)}
            told |= {} if init_from_update is None else {INIT_FROM_UPDATE: init_from_update}
            write_whole(folder / "run.json", _json_text(describe_machine() | told))
        except FileExistsError as error:
            if not folder.is_dir():
                raise
            raise ConfigurationError(
                f"expected a folder without a run, got {folder}, which is one and is not "
                f"overwritten; choose another --out, or go on: metarl train --resume {folder}"
            ) from error


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Says of what the system refuses which folder it was."""
    try:
        yield
    except ConfigurationError:
        raise
    except (OSError, ValueError) as error:  # the second: a name that no file can have
        raise ConfigurationError(
            "expected a folder that can be written for the run, got "
            f"{str(folder)!r}: {getattr(error, 'strerror', error)}; choose another --out."
        ) from error


def holds_run(folder: Path, config: RunConfig) -> str:
    """The folder's name if it holds this very run, "" if it holds none.

    Raises:
        ConfigurationError: it holds another.
    """
    place = folder / "config.json"
    if not os.path.exists(place):  # not Path.exists: a name may be too long
        return ""
    if not place.stat().st_size:  # killed in the moment it was begun
        place.unlink()
        return ""
    if not load_config(folder).defines(config):
        raise ConfigurationError(
            f"expected in {folder} the run that is asked for, got one with other settings; choose "
            f"another --out, or go on with that one: metarl train --resume {folder}"
        )
    return str(folder)


def require_shared(folder: Path) -> None:
    """Waits until a folder that the first of several processes has made is seen here too.

    Raises:
        ConfigurationError: it is not, within ten seconds.
    """
    until = time.monotonic() + SHARED_WITHIN_SECONDS
    while not (folder / "config.json").exists():
        if time.monotonic() > until:
            raise ConfigurationError(
                f"expected {folder} on a file system that all processes of the run share, got one "
                "where another does not see it; give an --out that every machine mounts."
            )
        time.sleep(0.1)


def load_tasks(config: RunConfig) -> tuple[Experiment, TaskDistribution]:
    """The experiment of a run, and its tasks.

    Raises:
        ConfigurationError: the family is not installed any more, or refuses its arguments.
    """
    experiment = load_experiment(config.experiment)
    parameters = inspect.signature(experiment.family).parameters
    tuples = {name for name, given in parameters.items() if isinstance(given.default, tuple)}
    arguments = {n: _in_tuples(x) if n in tuples else x for n, x in config.family.items()}
    return experiment, make_tasks(experiment, arguments)


def _in_tuples(value: Any) -> Any:
    """What was a tuple, or a tuple of tuples, before JSON made lists of it."""
    return tuple(map(_in_tuples, value)) if isinstance(value, list) else value


def make_tasks(experiment: Experiment, arguments: Mapping[str, Any]) -> TaskDistribution:
    """Calls the family; what it refuses becomes a ConfigurationError that names it."""
    try:
        tasks = experiment.family(**arguments)
    except TypeError as error:
        raise ConfigurationError(
            f"{experiment.name}: expected the arguments of its family, got {dict(arguments)}: "
            f"{error}; `metarl train {experiment.name} --help` shows them."
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{experiment.name}: {error}") from error
    if not isinstance(tasks, TaskDistribution):
        raise ConfigurationError(
            f"{experiment.name}: expected a function that returns a TaskDistribution, got "
            f"{type(tasks).__name__}."
        )
    return tasks


def _json_text(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"
