"""`metrics.jsonl`: one row of JSON for every chunk of updates."""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metarl_jax.files import write_whole

Row = Mapping[str, Any]
LARGEST = 1e300


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

    def append(self, row: Row) -> OSError | None:
        """Writes a row. Not-a-number and infinities become null, which JSON has.

        Returns:
            None, or why the row waits.
        """
        if self._file is None:
            return None
        self._since += (json.dumps(jsonable(row)) + "\n").encode()
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


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All rows, oldest first; what is no row, like a last one that was cut off, is left out."""
    if path.is_symlink() or not path.is_file():
        return []
    lines = path.read_text(errors="replace").splitlines()
    return [row for row in map(_row, lines) if row is not None]


def keep_rows_until(path: Path, update: int) -> None:
    """Drops the rows after an update. On a full disk too, which has no room for another file."""
    kept = [row for row in read_rows(path) if row["update"] <= update]
    content = "".join(json.dumps(row) + "\n" for row in kept).encode()
    cut = path.is_file() and path.read_bytes().startswith(content)
    if cut and not path.is_symlink() and path.stat().st_nlink == 1:  # it has no other name
        os.truncate(path, len(content))
    else:
        write_whole(path, content)


def _row(line: str) -> dict[str, Any] | None:
    """What a line of the file holds; None where that is no row."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("update")) is not int:
        return None
    counts = [row.get("seconds", 0.0), row.get("env_steps", 0)]
    plain = all(map(_is_plain, row.values())) and all(isinstance(x, (int, float)) for x in counts)
    return row if plain else None


def _is_plain(value: Any, depth: int = 3) -> bool:
    """Whether it is made of numbers that a float holds, in lists in lists at most."""
    if isinstance(value, list):
        return depth > 0 and all(_is_plain(item, depth - 1) for item in value)
    return value is None or (isinstance(value, (int, float)) and not abs(value) > LARGEST)


def jsonable(value: Any) -> Any:
    """The value, with null for every number that JSON does not have."""
    if isinstance(value, Mapping):
        return {name: jsonable(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
