"""Data parallelism over the devices of all processes: tasks are split, the train state is on each.

One mesh axis, `data`. A whole update runs inside one `shard_map`, in which a device sees its own
tasks and all of everything else; only `psum`, `pmean` and `all_gather` cross between devices. Keys
belong to a task's global index, so results do not depend on the number of devices.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import (
    AxisType,
    Mesh,
    NamedSharding,
    PartitionSpec,
    Sharding,
    SingleDeviceSharding,
)

from metarl_jax.checks import require_positive
from metarl_jax.types import Array, ConfigurationError, PyTree

AXIS = "data"
REPLICATED = PartitionSpec()
SPLIT = PartitionSpec(AXIS)
"""Over the leading axis, [B, ...]."""


@dataclasses.dataclass(frozen=True)
class DataParallel:
    """So many devices, the first of each process. One device is no mesh: its programs are plain.

    Attributes:
        count: how many in all processes together, as many in each, at least 1.

    Raises:
        ConfigurationError: count is less than 1.
    """

    count: int = 1

    def __post_init__(self) -> None:
        require_positive("the number of devices", self.count)

    @property
    def mesh(self) -> Mesh:
        """The mesh, of one axis.

        Raises:
            ConfigurationError: there are fewer devices, or processes cannot have as many each.
        """
        processes = jax.process_count()
        if self.count > jax.device_count():
            raise ConfigurationError(
                f"expected at most the {jax.device_count()} devices that jax has here, got "
                f"{self.count}; ask for fewer, or on a CPU set jax_num_cpu_devices before jax "
                "starts."
            )
        if self.count % processes:
            raise ConfigurationError(
                f"expected as many devices in each of {processes} processes, got {self.count} in "
                f"all; {processes * max(1, self.count // processes)} would be."
            )
        each = self.count // processes
        devices = [jax.local_devices(process_index=i)[:each] for i in range(processes)]
        return Mesh(np.concatenate(devices), (AXIS,), axis_types=(AxisType.Auto,))

    @property
    def replicated(self) -> NamedSharding | None:
        """Where the train state lies; None: wherever jax puts it."""
        return NamedSharding(self.mesh, REPLICATED) if self.count > 1 else None

    def replicate(self, tree: PyTree) -> PyTree:
        """The tree, whole on each of these devices."""
        place = self.replicated or SingleDeviceSharding(jax.local_devices()[0])
        return jax.tree.map(lambda x: place_global(x, place), tree)

    def shard_map(
        self, function: Callable[..., Any], inputs: Any = REPLICATED, outputs: Any = REPLICATED
    ) -> Callable[..., Any]:
        """The function, on every device at once.

        Args:
            function: of arrays, those split over tasks with this device's part of the tasks.
            inputs: a partition of each argument, REPLICATED or one of the SPLITs.
            outputs: likewise; REPLICATED for what is the same on all devices.
        """
        if self.count == 1:
            return function
        # A host callback's output counts as the same everywhere, which the check would refuse.
        return jax.shard_map(
            function, mesh=self.mesh, in_specs=inputs, out_specs=outputs, check_vma=False
        )

    def first_task(self, num_tasks: int) -> int | Array:
        """Inside `shard_map`: the global index of this device's first of `num_tasks` tasks."""
        return 0 if self.count == 1 else jax.lax.axis_index(AXIS) * (num_tasks // self.count)

    def psum(self, tree: PyTree) -> PyTree:
        """Inside `shard_map`: the sum over devices."""
        return tree if self.count == 1 else jax.lax.psum(tree, AXIS)

    def pmean(self, tree: PyTree) -> PyTree:
        """Inside `shard_map`: the mean over devices."""
        return tree if self.count == 1 else jax.lax.pmean(tree, AXIS)

    def all_gather(self, tree: PyTree) -> PyTree:
        """Inside `shard_map`: those of every device, on a new leading axis; of one dtype."""
        if self.count == 1:
            return jax.tree.map(lambda x: x[None], tree)
        flat, unravel = ravel_pytree(tree)  # one message, however many leaves
        return jax.vmap(unravel)(jax.lax.all_gather(flat, AXIS))

    def all_gather_tasks(self, tree: PyTree, axis: int = 0) -> PyTree:
        """Inside `shard_map`: the tasks of every device on the axis where this one's were."""
        return tree if self.count == 1 else jax.lax.all_gather(tree, AXIS, axis=axis, tiled=True)

    def padded_indices(self, num_tasks: int) -> np.ndarray:
        """[>= num_tasks] indices of tasks, begun anew at the end so that these divide them."""
        return np.arange(-(-num_tasks // self.count) * self.count) % num_tasks

    def largest_divisor(self, num_tasks: int) -> "DataParallel":
        """As many of these devices as divide the tasks evenly."""
        return DataParallel(max(n for n in range(1, self.count + 1) if num_tasks % n == 0))


def place_global(array: Any, place: Sharding | None) -> Array:
    """The array laid out so, of which every process has the whole; None: wherever jax puts it."""
    if place is None or place.is_fully_addressable:
        return jax.device_put(array, place)
    host = np.asarray(array)
    return jax.make_array_from_callback(host.shape, place, lambda index: host[index])


def local_replica(tree: PyTree) -> PyTree:
    """What is whole on every device of all processes, on the first of this one's own."""
    return jax.tree.map(lambda x: x if x.is_fully_addressable else x.addressable_data(0), tree)


def check_divides(num_tasks: int, *parts: tuple[int, str]) -> None:
    """Refuses a batch of tasks that does not divide evenly.

    Args:
        num_tasks: of the batch.
        parts: (how many, of what), each of which divides what the one before it leaves.

    Raises:
        ConfigurationError: names the nearest number of tasks that would do.
    """
    factor = int(np.prod([count for count, _ in parts]))
    if num_tasks % factor:
        nearest = max(1, round(num_tasks / factor)) * factor
        names = " on each of ".join(f"{count} {name}" for count, name in parts)
        raise ConfigurationError(
            f"expected the tasks of a batch to divide into {names}, got {num_tasks} tasks; "
            f"{nearest} tasks would."
        )
