"""What the machine has."""

import contextlib
import os
import time
from pathlib import Path

_IMPORTED = time.monotonic()
_CONTAINER_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)
"""(limit, use) of a control group, version 2 and 1."""


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def process_seconds() -> float:
    """Seconds since this process began; where the system does not tell, since this import."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return uptime - began / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - _IMPORTED


def available_memory() -> int | None:
    """Bytes of main memory this process can still have; None where the system does not tell."""
    found = []
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(next(int(x.split()[1]) * 1024 for x in lines if x.startswith("MemAvailable")))
    for limit, used in _CONTAINER_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # "max" is no number: no limit
            found.append(int(Path(limit).read_text()) - int(Path(used).read_text()))
    return min(found, default=None)
