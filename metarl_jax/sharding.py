"""Data parallelism over the devices of this process: tasks are split, the train state is on each.

One mesh axis, `data`. A whole update runs inside one `shard_map`, where a device sees its own tasks
and all of everything else; `total`, `mean` and `gather` are all that crosses between devices. Keys
are those of a task's global index: what a task brings does not depend on the number of devices.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from metarl_jax.types import Array, ConfigurationError, PyTree

AXIS = "data"
REPLICATED = PartitionSpec()
SPLIT = PartitionSpec(AXIS)
"""Over the leading axis, [B, ...]."""
SPLIT_AFTER_TIME = PartitionSpec(None, AXIS)
"""Over the second, [T, B, ...]."""


@dataclasses.dataclass(frozen=True)
class Devices:
    """The first `count` devices of this process. One device is no mesh: its programs are plain.

    Attributes:
        count: how many, at least 1.

    Raises:
        ConfigurationError: count is less than 1.
    """

    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigurationError(
                f"the number of devices must be at least 1, got {self.count}; 1 is the plain one."
            )

    @property
    def mesh(self) -> Mesh:
        """The mesh, of one axis.

        Raises:
            ConfigurationError: this process has fewer devices.
        """
        devices = jax.local_devices()
        if self.count > len(devices):
            raise ConfigurationError(
                f"expected at most the {len(devices)} devices that jax has here, got {self.count}; "
                "ask for fewer, or on a CPU set jax_num_cpu_devices before jax starts."
            )
        return Mesh(np.array(devices[: self.count]), (AXIS,))

    @property
    def replicated(self) -> NamedSharding | None:
        """Where the train state lies; None: wherever jax puts it."""
        return NamedSharding(self.mesh, REPLICATED) if self.count > 1 else None

    def place(self, tree: PyTree) -> PyTree:
        """The tree, whole on each of these devices."""
        return jax.device_put(tree, self.replicated or jax.local_devices()[0])

    def run(
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

    def first(self, num_tasks: int) -> int | Array:
        """Inside `run`: the global index of this device's first task, of `num_tasks` in all."""
        return 0 if self.count == 1 else jax.lax.axis_index(AXIS) * (num_tasks // self.count)

    def total(self, tree: PyTree) -> PyTree:
        """Inside `run`: the sum over devices."""
        return tree if self.count == 1 else jax.lax.psum(tree, AXIS)

    def mean(self, tree: PyTree) -> PyTree:
        """Inside `run`: the mean over devices."""
        return tree if self.count == 1 else jax.lax.pmean(tree, AXIS)

    def gather(self, tree: PyTree) -> PyTree:
        """Inside `run`: those of every device, on a new leading axis."""
        if self.count == 1:
            return jax.tree.map(lambda x: x[None], tree)
        return jax.lax.all_gather(tree, AXIS)

    def dividing(self, num_tasks: int) -> "Devices":
        """As many of these devices as divide the tasks evenly."""
        return Devices(max(n for n in range(1, self.count + 1) if num_tasks % n == 0))


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
