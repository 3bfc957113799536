"""What runs where: devices, processes, signals and the host."""

from metarl_jax.parallel.host import available_memory, usable_cores
from metarl_jax.parallel.processes import Ballot, by_first, is_first, together
from metarl_jax.parallel.sharding import REPLICATED, SPLIT, Devices
from metarl_jax.parallel.signals import Stopped, StopRequest, stop_requests, stops_raise

__all__ = [
    "REPLICATED",
    "SPLIT",
    "Ballot",
    "Devices",
    "StopRequest",
    "Stopped",
    "available_memory",
    "by_first",
    "is_first",
    "stop_requests",
    "stops_raise",
    "together",
    "usable_cores",
]
