"""What runs where: devices, processes, signals and the host."""

from metarl_jax.parallel.host import available_memory, usable_cores
from metarl_jax.parallel.processes import StopVote, broadcast_from_first, is_first, on_all_processes
from metarl_jax.parallel.sharding import REPLICATED, SPLIT, DataParallel
from metarl_jax.parallel.signals import Stopped, StopRequest, stop_requests, stops_raise

__all__ = [
    "REPLICATED",
    "SPLIT",
    "DataParallel",
    "StopRequest",
    "StopVote",
    "Stopped",
    "available_memory",
    "broadcast_from_first",
    "is_first",
    "on_all_processes",
    "stop_requests",
    "stops_raise",
    "usable_cores",
]
