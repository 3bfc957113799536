"""More places for the rows of `metrics.jsonl`: TensorBoard and Weights & Biases, both optional."""

import contextlib
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metarl_jax.files import require_own, write_whole
from metarl_jax.training.metrics_row import MetricsRow
from metarl_jax.training.tags import HyperparametersAt, no_hyperparameters, tagged
from metarl_jax.types import ConfigurationError


class TensorBoardLogger:
    """Event files in `RUN/tensorboard/`, over environment steps.

    A resumed run's first row purges the events from there on that it finds. Written without the
    library's `SummaryWriter`, whose thread ends on a full disk and leaves who calls it waiting.

    Args:
        folder: the run's.
        hyperparameters: of each update, logged beside its row; see `tags.schedule_values`.

    Raises:
        ConfigurationError: the extra is not installed; or a link is in its place.
    """

    def __init__(
        self, folder: Path, hyperparameters: HyperparametersAt = no_hyperparameters
    ) -> None:
        try:
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto import event_pb2
        except ImportError as error:
            raise _missing("TensorBoard", "tensorboard") from error
        self._hyperparameters = hyperparameters
        self._folder, self._make_writer = folder / "tensorboard", EventsWriter
        require_own(self._folder)
        self._protocol: Any = event_pb2
        self._writer: Any = None

    def log(self, row: MetricsRow) -> None:
        """Writes every number of a row as one event; flushed, so that a run can be watched.

        Raises:
            OSError: there is no room. The next row begins a new file.
        """
        step = row.env_steps
        suffix = f".{os.getpid()}.{step}"
        tags = tagged(row, self._hyperparameters(row.update))
        values = [{"tag": name, "simple_value": x} for name, x in tags.items()]
        try:
            if self._writer is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._writer = self._make_writer(str(self._folder / "events"), suffix)
                self._write(step=step, session_log={"status": "START"})
            self._write(step=step, summary={"value": values})
            self._writer.flush()
        except OSError:
            self.close()
            for begun in self._folder.glob(f"*{suffix}"):  # with this row, and nothing else in it
                begun.unlink()
            raise

    def close(self) -> None:
        """Ends the event file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(OSError):  # what was logged is flushed
                writer.close()

    def _write(self, **content: Any) -> None:
        self._writer.write_event(self._protocol.Event(wall_time=time.time(), **content))


class WandbLogger:
    """A run on Weights & Biases; resuming the run's folder resumes the run there.

    Args:
        folder: the run's; keeps the id in `wandb_id` from the first row on.
        project: where it is shown.
        name: what it is called.
        config: the resolved configuration, for the run's table.
        hyperparameters: of each update, logged beside its row; see `tags.schedule_values`.

    Raises:
        ConfigurationError: the extra is not installed; or a link is in its place.
    """

    def __init__(
        self,
        folder: Path,
        *,
        project: str,
        name: str,
        config: Mapping[str, Any],
        hyperparameters: HyperparametersAt = no_hyperparameters,
    ) -> None:
        try:
            import wandb  # type: ignore[import-not-found]
        except ImportError as error:
            raise _missing("Weights & Biases", "wandb") from error
        self._hyperparameters = hyperparameters
        self._identity, self._init, self._error = folder / "wandb_id", wandb.init, wandb.Error
        require_own(self._identity, folder / "wandb")
        self._options = {
            "project": project,
            "name": name,
            "config": dict(config),
            "dir": str(folder),
            "resume": "allow",
        }
        self._run: Any = None
        self._unheard = False

    def log(self, row: MetricsRow) -> None:
        """Sends every number of a row.

        Raises:
            OSError: there is no room for the id, or no server. Where it did not answer at the
                first row it is not asked again, for that takes a minute and a half.
        """
        if self._unheard:
            return
        try:
            self._run = self._run or self._begin()
            self._run.log(tagged(row, self._hyperparameters(row.update)), step=row.env_steps)
        except self._error as error:
            self._unheard = self._run is None
            raise OSError(f"Weights & Biases: {error}") from error

    def close(self) -> None:
        """Ends the run there."""
        if self._run is not None:
            self._run.finish()

    def _begin(self) -> Any:
        if not self._identity.exists():
            write_whole(self._identity, uuid.uuid4().hex)
        return self._init(id=self._identity.read_text(encoding="utf-8"), **self._options)


def _missing(what: str, extra: str) -> ConfigurationError:
    return ConfigurationError(
        f"expected the package's extra `{extra}` for logging to {what}, got none installed; "
        f"`pip install 'metarl-jax[{extra}]'`, or leave that logger out."
    )
