"""The files of a run's folder: written whole, and never through a link to somewhere else."""

import json
import os
from pathlib import Path
from typing import Any

from metarl_jax.types import ConfigurationError


def require_own(*places: Path) -> None:
    """Refuses links: of somebody else's run they may lead anywhere, also to files of one's own.

    Raises:
        ConfigurationError: one is.
    """
    for place in places:
        if place.is_symlink():
            raise ConfigurationError(
                f"expected {place} to be the run's own, got a link; it would lead to what belongs "
                "elsewhere: copy that into its place."
            )


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file in one step: a reader, or who comes after a kill, sees the old or the new.

    A link in its place is replaced; what it points to is let be.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # two processes may write at once
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


LARGEST_BYTES = 10_000_000
"""Of a file of JSON that is read."""


def read_object(place: Path) -> dict[str, Any]:
    """What a file of a run's folder holds, in which somebody else may have put anything.

    Raises:
        ConfigurationError: it is no JSON object, no plain file, or larger than ten megabytes.
    """
    try:
        if place.is_symlink() or (place.exists() and not place.is_file()):
            raise OSError("it is not a plain file")
        if place.stat().st_size > LARGEST_BYTES:
            raise OSError(f"it has more than {LARGEST_BYTES:,} bytes")
        found = json.loads(place.read_text())
        if not isinstance(found, dict):
            raise ValueError("it holds no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"expected a {place.name} in the folder of a run, as `metarl train` writes it, got "
            f"{place.parent} ({error}); give another folder."
        ) from error
    return found
