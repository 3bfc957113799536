"""More places for the rows of `metrics.jsonl`: TensorBoard and Weights & Biases, both optional."""

import math
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metarl_jax.types import ConfigurationError


class TensorBoardLogger:
    """Event files in `RUN/tensorboard/`, over environment steps.

    A resumed run's first row purges the events from there on that it finds.

    Args:
        folder: the run's.

    Raises:
        ConfigurationError: the extra is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboardX import SummaryWriter  # type: ignore[import-not-found]
        except ImportError as error:
            raise _missing("TensorBoard", "tensorboard") from error
        self._folder, self._make_writer = str(folder / "tensorboard"), SummaryWriter
        self._writer: Any = None

    def log(self, row: Mapping[str, Any]) -> None:
        """Writes every number of a row; flushed, so that a run can be watched."""
        if self._writer is None:
            self._writer = self._make_writer(self._folder, purge_step=row["env_steps"])
        for name, value in _scalars(row):
            self._writer.add_scalar(name, value, row["env_steps"])
        self._writer.flush()

    def close(self) -> None:
        """Ends the event file."""
        if self._writer is not None:
            self._writer.close()


class WandbLogger:
    """A run on Weights & Biases; resuming the run's folder resumes the run there.

    Args:
        folder: the run's; keeps the id in `wandb_id` from the first row on.
        project: where it is shown.
        name: what it is called.
        config: the resolved configuration, for the run's table.

    Raises:
        ConfigurationError: the extra is not installed.
    """

    def __init__(self, folder: Path, *, project: str, name: str, config: Mapping[str, Any]) -> None:
        try:
            import wandb  # type: ignore[import-not-found]
        except ImportError as error:
            raise _missing("Weights & Biases", "wandb") from error
        self._identity, self._init = folder / "wandb_id", wandb.init
        self._options = {
            "project": project,
            "name": name,
            "config": dict(config),
            "dir": str(folder),
            "resume": "allow",
        }
        self._run: Any = None

    def log(self, row: Mapping[str, Any]) -> None:
        """Sends every number of a row."""
        if self._run is None:
            if not self._identity.exists():
                self._identity.write_text(uuid.uuid4().hex)
            self._run = self._init(id=self._identity.read_text(), **self._options)
        self._run.log(dict(_scalars(row)), step=row["env_steps"])

    def close(self) -> None:
        """Ends the run there."""
        if self._run is not None:
            self._run.finish()


def _scalars(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Every finite number of a row by its name; those of a list by `name/1` and so on."""
    for name, value in row.items():
        if isinstance(value, list):
            yield from _scalars({f"{name}/{i}": x for i, x in enumerate(value, start=1)})
        elif math.isfinite(value):
            yield name, value


def _missing(what: str, extra: str) -> ConfigurationError:
    return ConfigurationError(
        f"expected the package's extra `{extra}` for logging to {what}, got none installed; "
        f"`pip install 'metarl-jax[{extra}]'`, or leave that logger out."
    )
