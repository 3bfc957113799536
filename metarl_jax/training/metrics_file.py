"""`metrics.jsonl`: one row of JSON for every chunk of updates; see `MetricsRow` for its keys."""

import contextlib
import json
import os
from pathlib import Path

from metarl_jax.files import write_whole
from metarl_jax.training.metrics_row import MetricsRow
from metarl_jax.types import ConfigurationError


class MetricsFile:
    """Appends rows, each flushed whole.

    A full disk loses nothing: rows that could not be written are tried again with the next.

    Args:
        path: of the file; made where it is missing. None drops the rows: of several processes one
            writes them.
    """

    def __init__(self, path: Path | None) -> None:
        # Unbuffered: what a buffer could not write, it would try again when it is closed.
        self._file = path.open("ab", buffering=0) if path else None
        self._synced = path.stat().st_size if path else 0
        self._since = b""  # what must come after that
        self._written = 0  # bytes of it

    def append(self, row: MetricsRow) -> OSError | None:
        """Writes a row. Not-a-number and infinities become null, which JSON has.

        Returns:
            None, or why the row waits.
        """
        if self._file is None:
            return None
        self._since += (json.dumps(row.to_json()) + "\n").encode()
        return self.write_waiting()

    def write_waiting(self) -> OSError | None:
        """Writes the rows that wait for room; None, or why they still do."""
        left = memoryview(self._since)[self._written :]
        if self._file is None or not left:
            return None
        try:
            self._file.truncate(self._synced + self._written)  # half a row, if the last try failed
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            return error
        self._written = len(self._since)
        return None

    def sync(self) -> OSError | None:
        """Writes what waits, and sees that all of it outlives the machine; None, or why not."""
        if error := self.write_waiting():
            return error
        try:
            if self._file is not None:
                os.fsync(self._file)
        except OSError as error:
            self._written = 0  # what it could not keep it has forgotten, and says so but once
            return error
        self._synced, self._since, self._written = self._synced + len(self._since), b"", 0
        return None

    def close(self) -> None:
        """Closes the file; what waits for room is lost."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # all that was synchronised is there
                self._file.close()


def read_rows(path: Path) -> list[MetricsRow]:
    """All rows, oldest first; a line that is not a row, such as one cut off, is left out."""
    return [row for row in map(_row, _lines(path)) if row is not None]


def keep_rows_until(path: Path, update: int) -> None:
    """Drops the rows after an update. On a full disk too, which has no room for another file."""
    rows = ((line, _row(line)) for line in _lines(path))
    kept = [line for line, row in rows if row is not None and row.update <= update]
    content = "".join(f"{line}\n" for line in kept).encode()
    cut = path.is_file() and path.read_bytes().startswith(content)
    if cut and not path.is_symlink() and path.stat().st_nlink == 1:  # it has no other name
        os.truncate(path, len(content))
    else:
        write_whole(path, content)


def _lines(path: Path) -> list[str]:
    if path.is_symlink() or not path.is_file():
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _row(line: str) -> MetricsRow | None:
    """What a line of the file holds; None where that is no row."""
    try:
        return MetricsRow.from_json(json.loads(line))
    except (ValueError, RecursionError, ConfigurationError):
        return None
