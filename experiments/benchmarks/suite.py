"""Everything that `make bench` does, one benchmark after the other."""

import dataclasses
import sys
from collections.abc import Callable
from importlib import util
from typing import TYPE_CHECKING, Any

import jax
from rich.console import Console

from benchmarks.agent import agent_table, measure_agent
from benchmarks.flops import count_flops, peak_product
from benchmarks.memories import LENGTHS, MemoryRow, measure_memories, memories_table
from benchmarks.physics import physics_variants
from benchmarks.picture import memories_figure, scaling_figure
from benchmarks.rows import Measured, measure, table, write_record
from benchmarks.scaling import measure_scaling
from benchmarks.timing import Variant, make_variants
from benchmarks.workloads import (
    WORKLOADS,
    Size,
    Workload,
    batch_size,
    build_policy,
    chunk_size,
    fast_update,
    usual_update,
)
from metarl_jax.parallel.host import usable_cores
from metarl_jax.parallel.sharding import DataParallel
from metarl_jax.report.style import save_figure
from metarl_jax.training.provenance import describe_machine

if TYPE_CHECKING:
    from benchmarks.options import BenchOptions

QUICK_REPETITIONS, QUICK_PEAK_SIZE, QUICK_LENGTHS = 2, 512, (4, 8)
CORES_TO_COMPILE = 4
"""Cores for each of the programs that are compiled beside each other: its seconds are reported."""


def run_suite(options: "BenchOptions") -> None:
    """Measures what was asked for, prints the tables, writes bench.json and the pictures.

    Args:
        options: of the command line.
    """
    devices = DataParallel(options.devices or jax.local_device_count())
    peers = options.peers and _has_torch()
    measured: dict[str, Measured] = {}
    record = _describe(devices, measured)
    for name, workload in WORKLOADS.items():
        if options.wants(name):
            _say(name)
            size = batch_size(workload, devices, options.quick)
            measured[name] = run_benchmark(name, workload, size, options, peers=peers)
            record = _describe(devices, measured)
            write_record(options.out, record)  # what is measured is kept if the next takes too long
            Console().print(table(measured[name].rows))
    if options.wants("agent"):
        _say("agent")
        acting = measure_agent(_repetitions(options))
        record["agent"] = [dataclasses.asdict(row) for row in acting]
        write_record(options.out, record)
        Console().print(agent_table(acting))
    if options.wants("memories"):
        _say("memories")
        lengths = QUICK_LENGTHS if options.quick else LENGTHS
        rows: list[MemoryRow] = []
        for length in lengths:
            rows += measure_memories(devices, _repetitions(options), length)
            record["memories"] = [dataclasses.asdict(row) for row in rows]
            write_record(options.out, record)
        Console().print(memories_table(rows))
        figure = memories_figure(rows, subtitle=record["device"])
        save_figure(figure, options.out.with_name("memories.png"))
    if options.wants("scaling"):
        _say("scaling")
        points = measure_scaling(devices, options.axes, quick=options.quick)
        record["scaling"] = [dataclasses.asdict(point) for point in points]
        write_record(options.out, record)
        figure = scaling_figure(points, subtitle=record["device"])
        save_figure(figure, options.out.with_name("scaling.png"))


def run_benchmark(
    name: str, workload: Workload, size: Size, options: "BenchOptions", *, peers: bool
) -> Measured:
    """Makes the variants of a benchmark and times them.

    Args:
        name: of the benchmark.
        workload: what is learned.
        size: of the batch.
        options: of the command line.
        peers: whether the bandits are learned in PyTorch too.
    """
    makers: dict[str, Callable[[], Variant]] = {
        "fast": lambda: fast_update(workload, size),
        "usual": lambda: usual_update(workload, size),
    }
    if size.num_tasks > chunk_size() * size.devices.count:
        makers["chunked"] = lambda: fast_update(workload, size, task_chunk=chunk_size())
    if jax.default_backend() != "cpu":  # which has no such products
        makers["fast_bf16"] = lambda: fast_update(workload, size, precision="bf16")
    if name == "cheetah_vel":
        makers |= physics_variants(workload, size)
    if peers and name.startswith("bandit"):
        makers["torch"] = lambda: _torch_update(workload, size)
    wanted = {n: make for n, make in makers.items() if n in (options.variants or makers)}
    variants = make_variants(name, wanted, at_once=max(1, usable_cores() // CORES_TO_COMPILE))
    peak = peak_product(size.devices, **({"size": QUICK_PEAK_SIZE} if options.quick else {}))
    return measure(name, variants, peak, size.num_tasks, _repetitions(options))


def _repetitions(options: "BenchOptions") -> int:
    return QUICK_REPETITIONS if options.quick else options.repetitions


def _torch_update(workload: Workload, size: Size) -> Variant:
    from benchmarks.peer import torch_update

    tasks = workload.family()
    flops = count_flops(build_policy(workload, tasks), tasks)
    return torch_update(workload.hidden_size, size.num_tasks, flops)


def _describe(devices: DataParallel, measured: dict[str, Measured]) -> dict[str, Any]:
    """What bench.json says; the scaling comes later."""
    kind = jax.local_devices()[0].device_kind
    rows = [dataclasses.asdict(row) for part in measured.values() for row in part.rows]
    peaks = {name: part.peak_flops_per_s for name, part in measured.items()}
    named = {"device": f"{devices.count} × {kind}", "num_devices": devices.count}
    return {"rows": rows} | named | {"peak_flops_per_s": peaks} | describe_machine()


def _has_torch() -> bool:
    """Whether PyTorch is installed; says so where it is not."""
    if util.find_spec("torch") is None:
        _say(
            "the variant torch is left out: expected PyTorch, got no package torch; install it "
            "beside metarl_jax (pip install torch), or leave PEERS out."
        )
        return False
    return True


def _say(what: str) -> None:
    print(f"make bench: {what}", file=sys.stderr, flush=True)
