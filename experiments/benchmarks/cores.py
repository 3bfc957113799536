"""Some of a machine's cores: a device on a CPU would take its products to all of them."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_THREADS = Path("/proc/self/task")


def can_be_held() -> bool:
    """Whether this system can hold a process to some of its cores."""
    return hasattr(os, "sched_setaffinity") and _THREADS.exists()


@contextlib.contextmanager
def held_to(count: int) -> Iterator[None]:
    """Holds every thread of this process to the first `count` of its cores meanwhile."""
    allowed = os.sched_getaffinity(0)
    _hold(set(sorted(allowed)[:count]))
    try:
        yield
    finally:
        _hold(allowed)


def _hold(cores: set[int]) -> None:
    for thread in _THREADS.iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread.name), cores)
