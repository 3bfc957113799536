"""The files of a run's folder: written whole, and never through a link to somewhere else."""

import os
from pathlib import Path

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
