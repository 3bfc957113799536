"""What a run is made with and on: versions, devices, commit."""

import importlib.metadata
import platform
import subprocess
from typing import Any

import jax

from metarl_jax.parallel.host import usable_cores

PACKAGES = (
    *("metarl-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "gymnax"),
    *("mujoco", "mujoco-mjx", "gymnasium", "numpy"),
)


def versions() -> dict[str, str]:
    """Of the packages that are installed, among those that a run depends on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES if _has(name)}


def describe_machine() -> dict[str, Any]:
    """Versions, devices and commit, and nothing that a published record had better not name."""
    system = (platform.system(), platform.machine(), *platform.libc_ver())
    return {
        "python": platform.python_version(),
        "platform": "-".join(filter(None, system)),
        "versions": versions(),
        "backend": jax.default_backend(),
        "devices": [device.device_kind for device in jax.local_devices()],
        "cores": usable_cores(),
        **describe_commit(),
    }


def describe_commit() -> dict[str, str]:
    """The commit of the repository that this is run from; nothing where there is none.

    It says "with changes" where tracked files differ from that commit.
    """

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        told = subprocess.run(command, capture_output=True, check=True, timeout=10, text=True)
        return told.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return {"commit": git("rev-parse", "HEAD") + " with changes" * bool(changed)}
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}


def _has(name: str) -> bool:
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False
