"""What the first row tells: how long the start took, and how long a signal will have to wait."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

from metarl_jax.files import read_object, write_whole
from metarl_jax.parallel.host import process_seconds
from metarl_jax.training.metrics_row import MetricsRow
from metarl_jax.training.plan import TrainingPlan
from metarl_jax.types import ConfigurationError

LONG_SECONDS = 10.0
"""Of a chunk of updates: a machine that is taken away gives half a minute, and two have to end."""


class FirstRow:
    """A logger that looks at the first row alone; tells the times, and records them in run.json.

    Args:
        folder: the run's.
        imported: seconds of the process until all was imported.
        plan: of the run.
        steps_per_update: environment steps.
        tell: takes a sentence.
    """

    def __init__(
        self,
        folder: Path,
        imported: float,
        plan: TrainingPlan,
        steps_per_update: int,
        tell: Callable[[str], None],
    ) -> None:
        self._folder, self._tell = folder, tell
        self._plan, self._steps_per_update = plan, steps_per_update
        self._imported = imported
        self._told = False

    def log(self, row: MetricsRow) -> None:
        """Tells when the first update was done, the row being that of several, and what is long."""
        if self._told or row.env_steps_per_second is None:
            return
        self._told = True
        update = self._steps_per_update / row.env_steps_per_second
        later_updates = (self._plan.updates_per_chunk - 1) * update
        first = process_seconds() - later_updates - (row.evaluation_seconds or 0.0)
        self._tell(f"first update after {first:.1f} s, {self._imported:.1f} s of them imports")
        self._tell_of_long_chunks(self._plan.updates_per_chunk * update)
        self._record(first)

    def _tell_of_long_chunks(self, chunk: float) -> None:
        if chunk <= LONG_SECONDS:
            return
        save = (self._plan.chunks_per_checkpoint or self._plan.chunks_per_evaluation) * chunk
        several = self._plan.updates_per_chunk > 1
        sooner = ": a run begun with more --num-evaluations has both sooner" * several
        self._tell(
            f"a signal may wait for two chunks of updates, {2 * chunk:.0f} s; a checkpoint comes "
            f"every {save / 60:.1f} min{sooner}"
        )

    def _record(self, first: float) -> None:
        times = {"imports_seconds": self._imported, "first_update_seconds": first}
        rounded = {name: round(seconds, 2) for name, seconds in times.items()}
        place = self._folder / "run.json"
        with contextlib.suppress(
            OSError, ConfigurationError
        ):  # a full disk must not end a run for this
            # A run that goes on keeps the times of its first start.
            text = json.dumps(rounded | read_object(place), indent=2) + "\n"
            write_whole(place, text)
