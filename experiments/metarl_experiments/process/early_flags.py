"""The flags that must be known before the others can be parsed, read in one place.

Devices and processes are set up before anything may start jax, and which policy, memory and
algorithm are asked for decides which other flags there are.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from metarl_experiments.process.distributed import DistributedOptions
from metarl_jax.types import ConfigurationError

MOST_HOST_DEVICES = 1024


@dataclasses.dataclass(frozen=True)
class EarlyFlags:
    """What a command line says of these, None where it says nothing.

    Attributes:
        devices: devices asked for; None too where it is no number, which the full parse tells.
        policy: name of the policy.
        encoder: name of the encoder.
        memory: name of the memory, "memoryless" among them.
        algorithm: name of the algorithm.
        optimizer: name of the optimizer.
        objective: name of the objective.
        out: folder of a new run.
        resume: folder of a run to go on with.
        distributed: which of several processes this is.
    """

    devices: int | None
    policy: str | None
    encoder: str | None
    memory: str | None
    algorithm: str | None
    optimizer: str | None
    objective: str | None
    out: str | None
    resume: str | None
    distributed: DistributedOptions


def read_early_flags(
    arguments: Sequence[str], environment: Mapping[str, str] = os.environ
) -> EarlyFlags:
    """Reads them from a command line, and which process this is from the environment too.

    Args:
        arguments: of the command line.
        environment: with METARL_COORDINATOR, METARL_NUM_PROCESSES, METARL_PROCESS_ID and
            METARL_HEARTBEAT, which count where the flags are not given.

    Raises:
        ConfigurationError: what is given of processes is no number, or names no process.
    """
    devices = _value(arguments, "devices") or ""
    valid = devices.isdecimal() and 0 < int(devices) <= MOST_HOST_DEVICES
    names = ("policy", "encoder", "memory", "algorithm", "optimizer", "objective", "out", "resume")
    return EarlyFlags(
        devices=int(devices) if valid else None,
        distributed=_distributed(arguments, environment),
        **{name: _value(arguments, name) for name in names},
    )


def _distributed(arguments: Sequence[str], environment: Mapping[str, str]) -> DistributedOptions:
    given: dict[str, Any] = {}
    for field in dataclasses.fields(DistributedOptions):
        flag, value = f"--{_dashed(field.name)}", _value(arguments, field.name)
        if value is None and field.name != "distributed":
            flag = f"METARL_{field.name.upper()}"
            value = environment.get(flag)
        if value is None:
            continue
        is_text = field.name in ("distributed", "coordinator")
        if not is_text and not value.isdecimal():
            raise ConfigurationError(f"expected a whole number for {flag}, got {value!r}.")
        given[field.name] = value if is_text else int(value)
    return DistributedOptions(**given)


def _value(arguments: Sequence[str], name: str) -> str | None:
    for i, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag == f"--{_dashed(name)}":
            return value if equals else "".join(arguments[i + 1 : i + 2])
    return None


def _dashed(name: str) -> str:
    return name.replace("_", "-")
