"""How long a start took: from the process's first moment to its first update."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

from metarl_experiments.runs import read_object
from metarl_jax.machine import process_seconds
from metarl_jax.metrics_file import Row, write_whole
from metarl_jax.types import ConfigurationError


class StartTimes:
    """A logger that looks at the first row alone; tells it, and records it in run.json.

    Args:
        folder: the run's.
        imported: seconds of the process until all was imported.
        updates_per_chunk: of which a row is made.
        chunk_steps: environment steps of as many updates.
        tell: takes the sentence.
    """

    def __init__(
        self,
        folder: Path,
        imported: float,
        updates_per_chunk: int,
        chunk_steps: int,
        tell: Callable[[str], None],
    ) -> None:
        self._folder, self._tell = folder, tell
        self._updates, self._steps = updates_per_chunk, chunk_steps
        self._imported = imported
        self._told = False

    def log(self, row: Row) -> None:
        """Tells when the first update was done, the first row being that of several."""
        if self._told:
            return
        self._told = True
        later_updates = (1 - 1 / self._updates) * self._steps / row["env_steps_per_second"]
        first = process_seconds() - later_updates - row.get("evaluation_seconds", 0.0)
        self._tell(f"first update after {first:.1f} s, {self._imported:.1f} s of them imports")
        times = {"imports_seconds": self._imported, "first_update_seconds": first}
        rounded = {name: round(seconds, 2) for name, seconds in times.items()}
        place = self._folder / "run.json"
        with contextlib.suppress(
            OSError, ConfigurationError
        ):  # a full disk must not end a run for this
            # A run that goes on keeps the times of its first start.
            text = json.dumps(rounded | read_object(place), indent=2) + "\n"
            write_whole(place, text)
