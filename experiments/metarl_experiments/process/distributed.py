"""One run over several processes: each joins the others before its first array is made.

TPU slices, Kubernetes, SLURM and OpenMPI tell jax who is who; on bare machines three flags do, or
three variables of the environment.
"""

import dataclasses
import functools
import os
import re
import signal
from collections.abc import Mapping
from typing import Literal

from metarl_jax.checks import require_positive
from metarl_jax.types import ConfigurationError, PeerError

HEARTBEAT_SECONDS = 60
"""A process that has not been heard of for so long is gone, and the others end."""
JOIN_SECONDS = 300
"""The others may start so much later."""
NO_CLUSTER = "coordinator_address should be defined"
"""What jax says where it finds no cluster."""
TOO_LATE = "must be called before"
"""What jax says where it has run something already, as in a notebook."""
TASKS_OF_A_JOB = ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
"""In which variables a cluster tells how many processes a job has."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistributedOptions:
    """Which of several processes this is.

    Attributes:
        distributed: auto joins the processes of a cluster that jax knows (a TPU slice, Kubernetes,
            SLURM, OpenMPI), or those the next three name; off runs alone.
        coordinator: HOST:PORT of the first process, the same for all; or METARL_COORDINATOR.
        num_processes: in all; or METARL_NUM_PROCESSES.
        process_id: of this one, from 0; or METARL_PROCESS_ID.
        heartbeat: seconds without a sign of life after which a process counts as gone and the
            others end; or METARL_HEARTBEAT.
    """

    distributed: Literal["auto", "off"] = "auto"
    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None
    heartbeat: int = HEARTBEAT_SECONDS

    def __post_init__(self) -> None:
        require_positive("heartbeat", self.heartbeat)
        named = (self.coordinator, self.num_processes, self.process_id)
        if named == (None, None, None):
            return
        if None in named:
            raise ConfigurationError(
                "expected --coordinator, --num-processes and --process-id together (or "
                "METARL_COORDINATOR, METARL_NUM_PROCESSES and METARL_PROCESS_ID), got "
                f"{self.coordinator}, {self.num_processes} and {self.process_id}."
            )
        if not re.fullmatch(r".+:[0-9]{1,5}", self.coordinator or ""):
            raise ConfigurationError(
                f"expected --coordinator HOST:PORT, got {self.coordinator!r}; for instance "
                "10.0.0.1:8476, an address of the first process that all can reach."
            )
        if not 0 <= (self.process_id or 0) < (self.num_processes or 0):
            raise ConfigurationError(
                f"expected a --process-id from 0 to --num-processes less 1, got {self.process_id} "
                f"of {self.num_processes}; number the processes from 0."
            )


def join(options: DistributedOptions, environment: Mapping[str, str] = os.environ) -> None:
    """Joins the processes that the options or a cluster name, if any does.

    Args:
        options: which of several processes this is.
        environment: in which a cluster says that there is one.

    Raises:
        ConfigurationError: this is a pod of an indexed job that names no other.
        PeerError: the others could not be joined.
    """
    import jax

    if options.distributed == "off" or jax.distributed.is_initialized():
        return
    initialize = functools.partial(
        jax.distributed.initialize,
        initialization_timeout=JOIN_SECONDS,
        heartbeat_timeout_seconds=options.heartbeat,
        shutdown_timeout_seconds=options.heartbeat,
    )
    named = (options.coordinator, options.num_processes, options.process_id)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        if named != (None, None, None):
            # Reachable at the address that was named, and at no other of this machine.
            bind = environment.get("JAX_COORDINATOR_BIND_ADDRESS", options.coordinator)
            initialize(*named, coordinator_bind_address=bind)
        else:
            initialize()
    except Exception as error:  # the detection of a cluster raises what its library does
        several = any(environment.get(name, "1") != "1" for name in TASKS_OF_A_JOB)
        alone = NO_CLUSTER in str(error) or (TOO_LATE in str(error) and not several)
        if alone and named == (None, None, None):
            _require_one_of_one(environment)
            return
        raise PeerError(
            f"expected to join the other processes of this run, got: {error}; start all of them "
            "with one --coordinator that each can reach, or run alone: --distributed off."
        ) from error
    if jax.process_count() == 1 and handler is not None:
        # jax's preemption service has nobody to agree with here, and never tells of a signal that
        # it has taken.
        signal.signal(signal.SIGTERM, handler)
    elif jax.process_count() > 1 and not environment.get("JAX_COMPILATION_CACHE_DIR"):
        _compile_together()


def _compile_together() -> None:
    """On GPUs, none finds its programs compiled while the others must compile theirs.

    XLA's processes divide the timing of kernels among them, and each waits for the others' share;
    jax's cache is written by the first process alone, on a disk that is its own for all we know.
    """
    import jax

    if jax.default_backend() == "gpu":
        jax.config.update("jax_compilation_cache_dir", None)


def _require_one_of_one(environment: Mapping[str, str]) -> None:
    """Of an indexed job of Kubernetes, each would train the whole run, in one folder."""
    if "JOB_COMPLETION_INDEX" in environment:
        raise ConfigurationError(
            "expected to join the other pods of this job, got no way to find them; set "
            "METARL_COORDINATOR, METARL_NUM_PROCESSES and METARL_PROCESS_ID as "
            "experiments/launch/jobset.yaml does, or run alone: --distributed off."
        )
