"""A run's folder, held by who trains it: two that write there undo each other's checkpoints."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from metarl_jax.parallel.processes import broadcast_from_first
from metarl_jax.types import ConfigurationError, PeerError

PATIENCE_SECONDS = 60.0
"""For who held it before to end: a process that was stopped may still be saving."""
POLL_SECONDS = 0.1


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a run's folder until the end of the block, or of this process, however it ends.

    Of several processes the first holds it. It is held against others of this machine: file systems
    that machines share keep no such locks, or not of folders.

    Raises:
        ConfigurationError: there is no such folder.
        PeerError: another process holds it, and does not let go.
    """
    with contextlib.ExitStack() as stack:

        def hold() -> str:
            if not folder.is_dir():
                raise ConfigurationError(
                    f"expected a run's folder, got {folder}, which is none; give one that exists."
                )
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            until = time.monotonic() + PATIENCE_SECONDS
            while not _locked(descriptor):
                if time.monotonic() > until:
                    raise PeerError(
                        f"expected a run that nobody else is training, got {folder}, which another "
                        "process holds; wait for its end, or stop it, and go on then."
                    )
                time.sleep(POLL_SECONDS)
            return ""

        broadcast_from_first(hold)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system that has none
        return True
    return True
