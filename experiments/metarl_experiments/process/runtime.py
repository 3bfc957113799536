"""What must be set before jax makes its first array; importing this imports no jax."""

import contextlib
import ctypes
import os
import platform
import signal
import sys
from pathlib import Path

HOST_DEVICES_FLAG = "xla_force_host_platform_device_count"
SUPERVISOR = "METARL_SUPERVISOR"
"""The variable in which a supervisor tells its child the number of its process."""
_SET_PARENT_DEATH_SIGNAL = 1  # of prctl

COMMAND = (sys.executable, "-P", "-m", "metarl_experiments")
"""`metarl` as a process of its own. -P: no module is taken from the folder that it is called in."""
HUGE_PAGES = "glibc.malloc.hugetlb=1"


def use_huge_pages() -> None:
    """Starts this process anew with an allocator that asks for huge pages, where it is glibc's.

    XLA allocates a program's temporary memory at every call, and the system hands it out page by
    page, each wiped first: with pages of 4 KiB a third of the time of an update of a GRU on a CPU.
    glibc reads the setting as a process begins; one that is set already is left as it is.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if platform.libc_ver()[0] != "glibc" or "glibc.malloc.hugetlb" in tunables:
        return
    os.environ["GLIBC_TUNABLES"] = ":".join(filter(None, (tunables, HUGE_PAGES)))
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def draw_into_files() -> None:
    """Lets matplotlib draw into files, whatever MPLBACKEND says.

    A notebook sets it for the processes that it starts too, and then to a backend that is not
    installed here, with which matplotlib cannot even be imported.
    """
    os.environ["MPLBACKEND"] = "agg"


def end_with_supervisor() -> None:
    """Where this process is supervised, it heeds its supervisor, and ends with it.

    It is sent SIGTERM should that be killed: no run is left over, that the next one would collide
    with. Linux alone can do it.
    """
    supervisor = os.environ.pop(SUPERVISOR, None)
    if supervisor is None:
        return
    from metarl_jax.parallel.signals import obey_supervisor

    obey_supervisor()
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if str(os.getppid()) != supervisor:  # it was killed before
        os.kill(os.getpid(), signal.SIGTERM)


def cache_folder() -> Path | None:
    """Where compiled programs are kept between starts; None for a user without a home directory."""
    if folder := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return Path(folder)
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(caches) / "metarl_jax" / "compiled" if os.path.isabs(caches) else None


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        return False


def configure_jax(num_devices: int | None = None, *, keep_compiled: bool = True) -> None:
    """Makes a CPU's cores devices, and turns the persistent compilation cache on.

    Args:
        num_devices: of a CPU; None: as many as this process may use cores.
        keep_compiled: whether there is a cache; not where the seconds of compiling are measured.
    """
    import jax

    from metarl_jax.parallel.host import usable_cores

    if HOST_DEVICES_FLAG not in os.environ.get("XLA_FLAGS", ""):
        # Where jax has run already, as in a notebook, it keeps the devices that it has.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", num_devices or usable_cores())
    if keep_compiled:
        _keep_compiled_programs()


def _keep_compiled_programs() -> None:
    """A program compiled once starts at once the next time."""
    import jax

    folder = cache_folder()
    if folder is None or not _is_writable(folder):
        # A cache is a convenience: without a place for it, programs compile each time.
        jax.config.update("jax_enable_compilation_cache", False)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def no_device() -> str | None:
    """For people, why jax has no device here and how to get one; None where it has one."""
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        asked = os.environ.get("JAX_PLATFORMS", "")
        reason = f", where jax says: {error}" if str(error) else ""
        return (
            f"expected a device that jax can compute on, got none under JAX_PLATFORMS={asked}"
            f"{reason}; install what it needs (make setup EXTRAS=cuda for an NVIDIA GPU, "
            "EXTRAS=tpu for a TPU), or unset JAX_PLATFORMS to compute on what there is."
        )
    return None
