"""The memory a compiled program takes, and what to do where there is less."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from metarl_jax.parallel.host import available_memory
from metarl_jax.types import ConfigurationError

MARGIN = 1.5
"""How far the memory of fewer tasks at a time may exceed its share: some of it does not shrink."""


def available_bytes(num_devices: int, *, alone: bool = False) -> int | None:
    """The memory that this process's part of some devices can still give.

    Args:
        num_devices: of all processes.
        alone: counts the memory that is in use as available too. A resumed run is measured against
            this, so that a shortage that passes does not end it for good.

    Returns:
        The bytes, or None where the system does not tell.
    """
    devices = jax.local_devices()[: num_devices // jax.process_count()]
    if devices[0].platform == "cpu":
        return available_memory(alone=alone)
    stats = [device.memory_stats() or {} for device in devices]
    if not all("bytes_limit" in s for s in stats):
        return None
    return sum(s["bytes_limit"] - (0 if alone else s.get("bytes_in_use", 0)) for s in stats)


def program_bytes(compiled: Any) -> int | None:
    """The memory that a compiled program takes on this process's devices while it runs.

    It is that of its temporary buffers and its outputs. Its inputs exist already, and donated
    inputs are reused.

    Args:
        compiled: the result of `jax.jit(...).lower(...).compile()`.

    Returns:
        The bytes, or None where the backend does not tell.
    """
    analysis = compiled.memory_analysis()
    if analysis is None:
        return None
    own = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    return (analysis.temp_size_in_bytes + own) * _local_devices(compiled)


def require_room(
    compiled: Any, chunk_sizes: Sequence[int], folder: Path, *, alone: bool = False
) -> None:
    """Refuses a compiled update that needs more memory than there is.

    Args:
        compiled: as for `program_bytes`.
        chunk_sizes: the algorithm's; the last is that of this program.
        folder: the run's, for the advice.
        alone: as for `available_bytes`.

    Raises:
        ConfigurationError: the program does not fit; says with which task chunk it should.
    """
    needed, devices = program_bytes(compiled), _local_devices(compiled)
    available = available_bytes(devices * jax.process_count(), alone=alone)
    if needed is None or available is None or needed <= available:
        return
    fitting = fitting_chunk(chunk_sizes, needed, available)
    advice = (
        "go on with fewer tasks at a time, for the same gradient: "
        f"metarl train --resume {folder} --devices {devices} --task-chunk {fitting}"
        if fitting
        else "no --task-chunk would do: begin another run with fewer tasks, --num-tasks"
    )
    raise ConfigurationError(
        f"expected an update that fits into the {gigabytes(available)} of memory available, got "
        f"one that takes {gigabytes(needed)}; {advice}"
    )


def fitting_chunk(chunk_sizes: Sequence[int], needed: int, available: int) -> int | None:
    """The largest task chunk with which an update should fit.

    What an update takes is nearly proportional to the tasks that a device takes at a time.

    Args:
        chunk_sizes: possible ones, ascending; the last is the one in use.
        needed: bytes, with the last.
        available: bytes.

    Returns:
        One of the smaller sizes, or None where even the smallest takes too much.
    """
    scaled = [(size, needed * size / chunk_sizes[-1]) for size in chunk_sizes[:-1]]
    return max((size for size, share in scaled if MARGIN * share <= available), default=None)


def gigabytes(count: int) -> str:
    """For a person: 0.05 GB, 1.3 GB, 310 GB."""
    return f"{count / 1e9:.3g} GB" if count >= 1e7 else f"{count / 1e9:.3f} GB"


def _local_devices(compiled: Any) -> int:
    shardings = jax.tree.leaves(compiled.input_shardings)
    return len(shardings[0].addressable_devices) if shardings else 1
