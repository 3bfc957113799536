"""What the machine has, and how its memory is handed out."""

import ctypes
import os
import platform

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h
_NEVER = -1


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keep_freed_memory() -> bool:
    """Has the allocator keep what is freed, instead of giving it back to the system each time.

    XLA allocates a program's temporary memory at every call. From the system it comes page by page,
    each wiped first: a third of the time of an update of a GRU on a CPU. What the process holds is
    then its peak. To be called before there are threads.

    Returns:
        Whether this system's allocator can be told so; glibc's can.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    allocator = ctypes.CDLL(None)
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER), (_M_ARENA_MAX, 1))
    return all(allocator.mallopt(parameter, value) for parameter, value in settings)
