"""How the cost of an update grows: sweeps of one size each, around the bandit with a GRU.

Each sweep has an ideal: the work at the best measured price. Work is what must be done, counted
in tasks, steps, operations or members; the price is what a unit of it cost where it was cheapest.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterable
from typing import Any

import jax

from benchmarks.cores import can_be_held, held_to
from benchmarks.flops import count_flops
from benchmarks.timing import Variant, compare, make_variants
from benchmarks.workloads import NUM_ARMS, NUM_PULLS, chunk_size, update_variant
from metarl_envs.bandit import bandit
from metarl_jax import Policy, UpdateConfig, a2c, adaptive_policy, gru, hyperparameters
from metarl_jax.learning.population import population
from metarl_jax.parallel.host import usable_cores
from metarl_jax.parallel.sharding import DataParallel
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.types import ConfigurationError

REPETITIONS = 5
BUDGET_S = 4.0
"""Seconds after which a point is not repeated any more."""
SHORT = 20
"""Pulls where the number of tasks grows: memory grows with the product of the two."""
HIDDEN_SIZE = 128
SEED_TASKS = 64


@dataclasses.dataclass(frozen=True)
class Point:
    """One update of one size.

    Attributes:
        axis: what grows.
        held: what does not.
        line: of several on this axis, which.
        value: how large it is.
        seconds: of an update, median.
        ideal_seconds: the work at the best price on this axis.
        env_steps_per_s: the speed that comes to.
        peak_memory_bytes: it takes.
    """

    axis: str
    held: str
    line: str
    value: int
    seconds: float
    ideal_seconds: float
    env_steps_per_s: float
    peak_memory_bytes: int | None


@dataclasses.dataclass(frozen=True)
class Sweep:
    """One line of one axis.

    Attributes:
        axis: what grows.
        held: what does not, for people.
        line: its name, where the axis has several.
        values: how large it gets.
        make: value -> an update of that size.
        work: value -> the work there is, in any unit.
    """

    axis: str
    held: str
    line: str
    values: tuple[int, ...]
    make: Callable[[int], Variant]
    work: Callable[[int], float] = float


def measure_scaling(
    devices: DataParallel, wanted: Collection[str] = (), *, quick: bool = False
) -> list[Point]:
    """Measures every axis that this machine has.

    Args:
        devices: all that may be used.
        wanted: axes, these alone; all where none is named.
        quick: the first two values of each alone.

    Raises:
        ConfigurationError: nothing that is wanted can grow here.
    """
    sweeps = [
        *task_sweeps(devices),
        length_sweep(devices),
        hidden_sweep(devices),
        seed_sweep(devices),
        *device_sweeps(devices),
    ]
    sweeps = [sweep for sweep in sweeps if not wanted or sweep.axis in wanted]
    if quick:
        sweeps = [dataclasses.replace(sweep, values=sweep.values[:2]) for sweep in sweeps]
    axes = dict.fromkeys(sweep.axis for sweep in sweeps if len(sweep.values) > 1)
    if not axes:
        raise ConfigurationError(
            f"expected an axis that can grow here, got {', '.join(wanted)} on one device; ask for "
            "another, or for more devices, as in --devices 2."
        )
    parts = [
        measure_axis([s for s in sweeps if s.axis == axis], 2 if quick else REPETITIONS)
        for axis in axes
    ]
    return [point for part in parts for point in part]


def measure_axis(sweeps: Iterable[Sweep], repetitions: int) -> list[Point]:
    """Times all points of an axis in turn.

    Args:
        sweeps: its lines.
        repetitions: of each point at most.
    """
    places = {f"{s.line}, {value}": (s, value) for s in sweeps for value in s.values}
    axis = next(iter(places.values()))[0].axis
    makers = {name: _maker(sweep, value) for name, (sweep, value) in places.items()}
    variants = make_variants(axis, makers, at_once=usable_cores())
    runs = {name: variant.run for name, variant in variants.items()}
    seconds = compare(runs, repetitions, budget_s=BUDGET_S)
    work = {name: sweep.work(value) for name, (sweep, value) in places.items()}
    price = min((seconds[name] / work[name] for name in seconds), default=0.0)

    def point(name: str, sweep: Sweep, value: int) -> Point:
        taken, variant = seconds[name], variants[name]
        return Point(
            axis=axis,
            held=sweep.held,
            line=sweep.line,
            value=value,
            seconds=taken,
            ideal_seconds=price * work[name],
            env_steps_per_s=variant.env_steps / taken,
            peak_memory_bytes=variant.peak_memory_bytes,
        )

    return [point(name, *place) for name, place in places.items() if name in seconds]


def _maker(sweep: Sweep, value: int) -> Callable[[], Variant]:
    return lambda: sweep.make(value)


def task_sweeps(devices: DataParallel) -> list[Sweep]:
    """Tasks of a batch, all at once and in chunks; so few steps that memory lasts."""
    values = (64, 256, 1024, 4096, 16_384, *((65_536,) if _accelerated() else ()))
    chunk = chunk_size()
    chunked = tuple(n for n in values if n >= chunk * devices.largest_divisor(n).count)
    held = f"{SHORT} steps, GRU {HIDDEN_SIZE}"

    def whole(num_tasks: int) -> Variant:
        return _update(devices, num_tasks, SHORT)

    def in_chunks(num_tasks: int) -> Variant:
        return _update(devices, num_tasks, SHORT, task_chunk=chunk)

    return [
        Sweep("tasks", held, "all at once", values, whole),
        Sweep("tasks", held, f"in chunks of {chunk:,}", chunked, in_chunks),
    ]


def length_sweep(devices: DataParallel) -> Sweep:
    """Steps of a meta-episode."""
    held = f"{_batch():,} tasks, GRU {HIDDEN_SIZE}"
    values = (10, 32, 100, 316, 1000)
    return Sweep("length", held, "", values, lambda n: _update(devices, _batch(), n))


def hidden_sweep(devices: DataParallel) -> Sweep:
    """Units of the GRU; the work is the network's operations."""

    def make(hidden_size: int) -> Variant:
        return _update(devices, _batch(), NUM_PULLS, hidden_size)

    def work(hidden_size: int) -> float:
        tasks, policy = _problem(NUM_PULLS, hidden_size)
        return count_flops(policy, tasks).update

    held = f"{_batch():,} tasks, {NUM_PULLS} steps"
    return Sweep("hidden", held, "", (32, 64, 128, 256, 512, 1024), make, work)


def seed_sweep(devices: DataParallel) -> Sweep:
    """Members of a population, split over the devices that divide them."""

    def make(members: int) -> Variant:
        used = devices.largest_divisor(members)
        tasks, policy = _problem(NUM_PULLS, HIDDEN_SIZE)
        one = a2c(tasks, policy, hyperparameters(), UpdateConfig(num_tasks=SEED_TASKS))
        whole = population(one, used)._replace(steps_per_update=members * one.steps_per_update)
        return update_variant(whole, tasks, policy, used, members=members)

    held = f"{SEED_TASKS} tasks each, {NUM_PULLS} steps, GRU {HIDDEN_SIZE}"
    return Sweep("seeds", held, "", (1, 2, 4, 8, 16), make)


def device_sweeps(devices: DataParallel) -> list[Sweep]:
    """Devices that share one batch, and devices that bring a batch each.

    On a CPU each has a core, as far as there are cores: a single device would take its products to
    all of them.
    """
    values = tuple(2**n for n in range(devices.count.bit_length()))
    at_once = devices.count if _accelerated() else usable_cores()
    batch = 4 * _batch()
    held = f"{NUM_PULLS} steps, GRU {HIDDEN_SIZE}"
    if not _accelerated():
        held = f"a core each, {held}"
        values = values if can_be_held() else (1,)

    def make(count: int, num_tasks: int) -> Variant:
        variant = _update(DataParallel(count), num_tasks, NUM_PULLS, task_chunk=chunk_size())
        return variant if _accelerated() else _on_cores(variant, count)

    def shared(count: int) -> Variant:
        return make(count, batch)

    def each(count: int) -> Variant:
        return make(count, count * batch)

    return [
        Sweep("devices", held, f"{batch:,} tasks", values, shared, lambda n: 1 / min(n, at_once)),
        Sweep("devices", held, f"{batch:,} each", values, each, lambda n: n / min(n, at_once)),
    ]


def _on_cores(variant: Variant, count: int) -> Variant:
    def run() -> None:
        with held_to(count):
            variant.run()

    return dataclasses.replace(variant, run=run)


def _update(
    devices: DataParallel,
    num_tasks: int,
    num_pulls: int,
    hidden_size: int = HIDDEN_SIZE,
    **config: Any,
) -> Variant:
    """An update on as many of the devices as divide the tasks."""
    used = devices.largest_divisor(num_tasks)
    tasks, policy = _problem(num_pulls, hidden_size)
    update = UpdateConfig(num_tasks=num_tasks, num_devices=used.count, **config)
    algorithm = a2c(tasks, policy, hyperparameters(), update)
    return update_variant(algorithm, tasks, policy, used)


def _problem(num_pulls: int, hidden_size: int) -> tuple[TaskDistribution, Policy]:
    tasks = bandit(num_arms=NUM_ARMS, num_pulls=num_pulls)
    return tasks, adaptive_policy(tasks, gru(hidden_size))


def _batch() -> int:
    """Tasks where something else grows."""
    return 4096 if _accelerated() else 128


def _accelerated() -> bool:
    return jax.default_backend() != "cpu"
