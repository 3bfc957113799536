"""What the machine has."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

_IMPORTED = time.monotonic()
_OWN_GROUP = Path("/proc/self/cgroup")
_CONTROL_GROUPS = (
    ("", Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (
        "memory",
        Path("/sys/fs/cgroup/memory"),
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)
"""Of version 2 and 1: controllers, root, limit, use, and what of the use can be had back."""


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def process_seconds() -> float:
    """Seconds since this process began; where the system does not tell, since this import."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        began = int(
            Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
        )
        uptime = float(Path("/proc/uptime").read_text(encoding="utf-8").split()[0])
        return uptime - began / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - _IMPORTED


def available_memory(*, alone: bool = False) -> int | None:
    """Bytes of main memory this process can still have; None where the system does not tell.

    Args:
        alone: that it could have if nothing else, itself included, held any.
    """
    found, field = [], "MemTotal" if alone else "MemAvailable"
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        found.append(next(int(x.split()[1]) * 1024 for x in lines if x.startswith(field)))
    for controllers, root, limit, used, reclaimable in _CONTROL_GROUPS:
        for group in _own_groups(controllers, root):
            with contextlib.suppress(OSError, ValueError, KeyError):  # "max" is no number: no limit
                most, held = (
                    int((group / name).read_text(encoding="utf-8")) for name in (limit, used)
                )
                cache = dict(
                    x.split()
                    for x in (group / "memory.stat").read_text(encoding="utf-8").splitlines()
                )
                found.append(most if alone else most - held + int(cache[reclaimable]))
    return min(found, default=None)


def _own_groups(controllers: str, root: Path) -> Iterator[Path]:
    """The control groups this process is in, innermost first: each sets a limit of its own."""
    with contextlib.suppress(OSError):
        for line in _OWN_GROUP.read_text(encoding="utf-8").splitlines():
            _, names, place = line.split(":", 2)
            if controllers in names.split(","):
                own = root / place.lstrip("/")
                yield from (own, *(folder for folder in own.parents if root in folder.parents))
    yield root
