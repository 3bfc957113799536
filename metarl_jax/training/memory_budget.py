"""The memory an update will need: told from its traced program, and from its compiled one.

The first costs no compilation: what is alive at once, step by step through the program. XLA fuses
operations, shares buffers and keeps some for longer: the figure is 0.75 to 1.6 times what it comes
to. The second is what XLA has laid out, and what the process will grow by.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend import core

from metarl_jax.learning.train_state import Algorithm
from metarl_jax.parallel.host import available_memory
from metarl_jax.tasks.purity import programs_of
from metarl_jax.types import ConfigurationError, Key

MARGIN = 1.35
"""So many times the figure must be available."""


def update_bytes(algorithm: Algorithm, key: Key) -> int:
    """Bytes that one update needs on all devices of this process, its train state among them.

    Args:
        algorithm: of one agent or of a population.
        key: of its first train state, for the shape.
    """
    state = jax.eval_shape(algorithm.init, key)
    traced = jax.jit(algorithm.update).trace(state)
    return _peak(traced.jaxpr.jaxpr) + sum(map(_bytes, traced.jaxpr.jaxpr.invars))


def available_bytes(num_devices: int, *, alone: bool = False) -> int | None:
    """What this process's part of so many devices can still give; None: that is not told.

    Args:
        num_devices: of all processes.
        alone: what it could give if nothing else held any: what a run that goes on is measured
            against, for want of a moment must not end it for good.
    """
    devices = jax.local_devices()[: num_devices // jax.process_count()]
    if devices[0].platform == "cpu":
        return available_memory(alone=alone)
    stats = [device.memory_stats() or {} for device in devices]
    if not all("bytes_limit" in s for s in stats):
        return None
    return sum(s["bytes_limit"] - (0 if alone else s.get("bytes_in_use", 0)) for s in stats)


def check_fits(needed_with: Callable[[int | None], int], num_tasks: int, available: int) -> int:
    """Refuses an update that would not find the memory it needs.

    Args:
        needed_with: the most tasks that a device takes at a time (None: as is) -> bytes.
        num_tasks: of the batch.
        available: bytes.

    Returns:
        The bytes needed.

    Raises:
        ConfigurationError: too many; names the largest task chunk, of halves of halves of the
            tasks, that would fit.
    """
    most = available / MARGIN
    needed = needed_with(None)
    if needed <= most:
        return needed

    def fits(chunk: int) -> bool:
        try:
            return needed_with(chunk) <= most
        except ConfigurationError:  # the tasks do not divide near it
            return False

    chunks = (num_tasks >> halved for halved in range(1, num_tasks.bit_length()))
    fitting = next(filter(fits, chunks), None)
    advice = f"--task-chunk {fitting} would fit" if fitting else "fewer tasks: --num-tasks"
    raise ConfigurationError(
        f"expected an update that fits into the {gigabytes(available)} of memory available, got "
        f"one of {num_tasks} tasks that needs {gigabytes(needed)} to "
        f"{gigabytes(round(MARGIN * needed))}; {advice}."
    )


def program_bytes(compiled: Any) -> int | None:
    """Bytes that a compiled program takes on this process's devices while it runs.

    Its buffers and its outputs; what it is given is there already, and what is donated is used
    again.

    Args:
        compiled: of `jax.jit(...).lower(...).compile()`.

    Returns:
        The bytes, or None where the backend does not tell.
    """
    analysis = compiled.memory_analysis()
    if analysis is None:
        return None
    own = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    return (analysis.temp_size_in_bytes + own) * _local_devices(compiled)


def require_room(compiled: Any, *, alone: bool = False) -> None:
    """Refuses a compiled program that would not find the memory it takes.

    Args:
        compiled: as for `program_bytes`.
        alone: as for `available_bytes`.

    Raises:
        ConfigurationError: it takes more than there is.
    """
    needed = program_bytes(compiled)
    available = available_bytes(_local_devices(compiled) * jax.process_count(), alone=alone)
    if needed is None or available is None or needed <= available:
        return
    raise ConfigurationError(
        f"expected an update that fits into the {gigabytes(available)} of memory available, got "
        f"one that takes {gigabytes(needed)} as it is compiled; take fewer tasks at a time: "
        "metarl train --resume RUN --task-chunk N."
    )


def _local_devices(compiled: Any) -> int:
    shardings = jax.tree.leaves(compiled.input_shardings)
    return len(shardings[0].addressable_devices) if shardings else 1


def gigabytes(count: int) -> str:
    """For a person: 0.05 GB, 1.3 GB, 310 GB."""
    return f"{count / 1e9:.3g} GB" if count >= 1e7 else f"{count / 1e9:.3f} GB"


def _peak(jaxpr: core.Jaxpr) -> int:
    """Bytes alive at once beyond the program's inputs, at the worst of its operations."""
    last_use = {v: len(jaxpr.eqns) for v in _variables(jaxpr.outvars)}
    for i, eqn in reversed(list(enumerate(jaxpr.eqns))):
        for v in _variables(eqn.invars):
            last_use.setdefault(v, i)
    alive: dict[Any, int] = {}
    peak = 0
    for i, eqn in enumerate(jaxpr.eqns):
        alive |= {v: _bytes(v) for v in eqn.outvars if v in last_use}
        peak = max(peak, sum(alive.values()) + _inside(eqn))
        for v in _variables(eqn.invars):
            if last_use[v] == i:
                alive.pop(v, None)
    return peak


def _inside(eqn: core.JaxprEqn) -> int:
    """Bytes beyond its inputs and outputs that an operation made of others needs."""
    peak = max((_peak(jaxpr) for jaxpr in programs_of(eqn)), default=0)
    if eqn.primitive.name == "shard_map":  # on each device at once
        peak *= eqn.params["mesh"].size // jax.process_count()
    if eqn.primitive.name in ("scan", "while"):  # its outputs are whole stacks, not a step's own
        return peak
    return max(0, peak - sum(map(_bytes, eqn.outvars)))


def _variables(atoms: Any) -> Iterator[core.Var]:
    return (atom for atom in atoms if isinstance(atom, core.Var))


def _bytes(variable: core.Var) -> int:
    aval: Any = variable.aval
    return math.prod(getattr(aval, "shape", ())) * getattr(
        getattr(aval, "dtype", None), "itemsize", 0
    )
