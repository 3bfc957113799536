"""`make bench`: how it counts, how it times, and that all of it runs."""

import dataclasses
import functools
import importlib.util
import json
import os
import platform
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from benchmarks import scaling, timing, workloads
from benchmarks.__main__ import main
from benchmarks.agent import agent_table, measure_agent
from benchmarks.cores import can_be_held
from benchmarks.flops import StepFlops, count_flops, peak_product
from benchmarks.memories import measure_memories, memories_table
from benchmarks.options import BenchOptions
from benchmarks.physics import physics_variants
from benchmarks.picture import memories_figure, scaling_figure
from benchmarks.rows import Row, measure
from benchmarks.scaling import Point, Sweep, measure_axis
from benchmarks.suite import _describe
from benchmarks.timing import Program, Variant, compare, compile_program, make_variants
from benchmarks.workloads import WORKLOADS, Size, build_policy
from metarl_envs.cheetah import cheetah_vel
from metarl_jax import Architecture, ConfigurationError, adaptive_policy, gru, transformer
from metarl_jax.memory.settings import Transformer
from metarl_jax.parallel.sharding import DataParallel


def test_flops_of_a_policy_are_those_counted_by_hand():
    tasks = WORKLOADS["bandit_gru128"].family()
    policy = adaptive_policy(tasks, gru(32), Architecture(embedding_size=16, head_sizes=(8,)))
    # The transition is 1 + 10 + 3 + 1 numbers, the observation 1; the heads read 32 + 16.
    embedding = 2 * 15 * 16 + 2 * 1 * 16
    memory = 2 * (16 + 16) * 96 + 2 * 32 * 96
    heads = 2 * (48 * 8 + 8 * 10) + 2 * (48 * 8 + 8 * 1)
    forward = embedding + memory + heads
    # Backward: the weights of all, and the inputs of all but the embedding.
    assert count_flops(policy, tasks) == StepFlops(forward, forward + forward + memory + heads)


class Clock:
    """Stands still but for what runs take."""

    def __init__(self) -> None:
        self.now, self.order = 0.0, []

    def run(self, name, *seconds):
        taken = iter(seconds)

        def run() -> None:
            self.order.append(name)
            self.now += next(taken)

        return run


def test_compare_takes_turns_and_medians():
    clock = Clock()
    runs = {"a": clock.run("a", 99.0, 1.0, 9.0, 2.0), "b": clock.run("b", 99.0, 5.0, 3.0, 4.0)}
    assert compare(runs, 3, clock=lambda: clock.now) == {"a": 2.0, "b": 4.0}
    assert clock.order == ["a", "b", "a", "b", "b", "a", "a", "b"]


def test_compare_leaves_out_what_has_used_up_its_time():
    clock = Clock()
    runs = {"slow": clock.run("slow", 6.0, 6.0), "quick": clock.run("quick", *4 * [1.0])}
    assert compare(runs, 3, budget_s=5.0, clock=lambda: clock.now) == {"slow": 6.0, "quick": 1.0}


def test_rows_are_ratios_of_one_run(monkeypatch):
    seconds = {"fast": 1.0, "usual": 2.0, "bare_rollout": 0.5, "peak": 4.0}
    monkeypatch.setattr("benchmarks.rows.compare", lambda runs, repetitions: seconds)
    variants = {
        "fast": Variant(lambda: None, 100, 30.0, 1.5, 7),
        "usual": Variant(lambda: None, 100, 30.0),
        "bare_rollout": Variant(lambda: None, 100),
    }
    peak = peak_product(DataParallel(1), size=8)._replace(flops=400.0)
    rows, peak_speed = measure("physics", variants, peak, 4, 3)
    assert peak_speed == 100.0
    assert [row.env_steps_per_s for row in rows] == [100.0, 50.0, 200.0]
    assert [row.fraction_of_peak for row in rows] == [0.3, 0.15, None]
    assert [row.ratio_to_usual for row in rows] == [2.0, 1.0, 4.0]
    assert [row.fraction_of_bare for row in rows] == [0.5, 0.25, 1.0]
    assert (rows[0].compile_s, rows[0].peak_memory_bytes) == (1.5, 7)


def test_a_donated_argument_is_counted_once():
    x = jnp.zeros((1000,), jnp.float32)
    held = compile_program(lambda x: x + 1, x).peak_memory_bytes
    donated = compile_program(lambda x: x + 1, x, donate=True).peak_memory_bytes
    assert (held, donated) == (8000, 4000)


def test_what_does_not_fit_is_refused_before_it_runs(monkeypatch):
    monkeypatch.setattr(timing, "available_bytes", lambda num_devices: 10**4)
    x = jnp.zeros((1000,), jnp.float32)
    compile_program(lambda x: x + 1, x)
    with pytest.raises(ConfigurationError, match="free memory"):
        compile_program(lambda x: jnp.concatenate([x, x]), x)


def test_the_peak_is_that_of_all_devices_at_once():
    assert (
        peak_product(DataParallel(2), size=8).flops
        == 2 * peak_product(DataParallel(1), size=8).flops
    )


def test_what_this_machine_cannot_run_is_left_out_and_named(capsys):
    def refuse() -> Variant:
        raise ConfigurationError("expected a GPU, got none")

    ready = Variant(lambda: None, 1)
    assert make_variants("physics", {"warp": refuse, "fast": lambda: ready}) == {"fast": ready}
    assert (
        "physics: warp is left out: ConfigurationError: expected a GPU" in capsys.readouterr().err
    )


def test_the_ideal_is_the_work_at_the_best_price(monkeypatch):
    seconds = {"whole, 1": 3.0, "whole, 4": 4.0, "in parts, 4": 6.0}
    monkeypatch.setattr("benchmarks.scaling.compare", lambda runs, repetitions, budget_s: seconds)

    def make(value: int) -> Variant:
        return Variant(lambda: None, 12 * value)

    sweeps = [
        Sweep("tasks", "8 steps", "whole", (1, 4), make),
        Sweep("tasks", "8 steps", "in parts", (4,), make),
    ]
    points = measure_axis(sweeps, 3)
    assert [point.ideal_seconds for point in points] == [1.0, 4.0, 4.0]
    assert [point.env_steps_per_s for point in points] == [4.0, 12.0, 8.0]


def traced(function, *arguments, **options):
    """In place of compiling: whatever does not fit together is found."""
    jax.eval_shape(function, *arguments)
    return Program(function, 0.0, None)


def test_sweeps_make_updates_of_the_size_they_say(monkeypatch):
    sizes = {"SHORT": 3, "NUM_PULLS": 5, "HIDDEN_SIZE": 4, "SEED_TASKS": 2}
    for name, size in sizes.items():
        monkeypatch.setattr(scaling, name, size)
    monkeypatch.setattr(workloads, "compile_program", traced)
    two = DataParallel(2)
    whole, in_chunks = scaling.task_sweeps(two)
    assert (whole.values[0], in_chunks.values[0]) == (64, 256)
    assert in_chunks.make(512).env_steps == 512 * 3
    assert scaling.hidden_sweep(two).make(8).env_steps == 128 * 5
    assert scaling.seed_sweep(two).make(2).env_steps == 2 * 2 * 5
    shared, each = scaling.device_sweeps(two)
    assert shared.values == each.values == (1, 2)
    assert [sweep.make(2).env_steps for sweep in (shared, each)] == [512 * 5, 2 * 512 * 5]


def test_more_devices_than_cores_cannot_be_faster(monkeypatch):
    monkeypatch.setattr(scaling, "usable_cores", lambda: 2)
    monkeypatch.setattr(scaling, "can_be_held", lambda: True)
    shared, each = scaling.device_sweeps(DataParallel(4))
    assert shared.values == each.values == (1, 2, 4)
    assert [shared.work(n) for n in shared.values] == [1, 1 / 2, 1 / 2]
    assert [each.work(n) for n in each.values] == [1, 1, 2]


def test_only_the_axes_that_are_wanted_are_measured(monkeypatch):
    monkeypatch.setattr(scaling, "can_be_held", lambda: True)
    monkeypatch.setattr(scaling, "measure_axis", lambda sweeps, repetitions: [len(sweeps)])
    assert scaling.measure_scaling(DataParallel(2), ("devices",)) == [2]
    assert scaling.measure_scaling(DataParallel(2)) == [2, 1, 1, 1, 2]
    with pytest.raises(ConfigurationError, match="got devices .* as in --devices 2"):
        scaling.measure_scaling(DataParallel(1), ("devices",))


@pytest.mark.skipif(not can_be_held(), reason="the system holds no process to some of its cores")
def test_a_device_is_held_to_a_core_of_its_own(monkeypatch):
    for name, size in {"NUM_PULLS": 3, "HIDDEN_SIZE": 4}.items():
        monkeypatch.setattr(scaling, name, size)
    threads, seen = Path("/proc/self/task"), []

    def cores() -> set[frozenset[int]]:
        return {frozenset(os.sched_getaffinity(int(thread.name))) for thread in threads.iterdir()}

    variant = Variant(lambda: seen.append(cores()), 1)
    monkeypatch.setattr(scaling, "update_variant", lambda *_: variant)
    allowed = frozenset(os.sched_getaffinity(0))
    for count in (1, 2):
        scaling.device_sweeps(DataParallel(2))[0].make(count).run()
    assert seen == [{frozenset(sorted(allowed)[:count])} for count in (1, 2)]
    assert cores() == {allowed}


def test_physics_is_measured_in_its_parts():
    family = functools.partial(cheetah_vel, episode_length=2)
    workload = dataclasses.replace(WORKLOADS["cheetah_vel"], family=family, hidden_size=4)
    makers = physics_variants(workload, Size(DataParallel(2), 4))
    assert makers.keys() == {"collect", "bare_rollout"}
    made = {name: make() for name, make in makers.items()}
    assert [variant.env_steps for variant in made.values()] == [4 * 4, 4 * 4]
    tasks = workload.family()
    flops = count_flops(build_policy(workload, tasks), tasks)
    assert [variant.flops for variant in made.values()] == [4 * 4 * flops.forward, 0.0]


def test_flops_of_attention_are_those_counted_by_hand():
    tasks = WORKLOADS["bandit_gru128"].family()
    policy = adaptive_policy(tasks, transformer(100, 8, num_layers=1, num_heads=2))
    layers = 2 * 128 * 8 + 2 * 8 * 32 + 2 * 8 * 8 + 2 * (8 * 32 + 32 * 8)
    embedding, heads = 2 * 15 * 64 + 2 * 64, 2 * (8 + 64) * (10 + 1)
    attention = 2 * (100 * 8) + 2 * (100 * 8)  # queries and keys, weights and values
    flops = count_flops(policy, tasks)
    assert flops.forward == embedding + layers + attention + heads
    # Unrolled, a step is offered the window before it and all of the meta-episode.
    assert flops.update == embedding * 2 + 3 * (layers + 2 * attention + heads)


def test_a_memory_is_measured_at_every_length(monkeypatch):
    """One of a single layer, whose programs compile in half the time."""
    one_layer = functools.partial(Transformer, num_layers=1)
    monkeypatch.setattr("benchmarks.memories.CHOICES", {"memory": {"transformer": one_layer}})
    rows = [measure_memories(DataParallel(1), 1, length, ("transformer",))[0] for length in (2, 3)]
    assert [(row.memory, row.length) for row in rows] == [("transformer", 2), ("transformer", 3)]
    assert all(row.act_us > 0 and row.train_us > 0 for row in rows)
    assert [row.state_bytes for row in rows] == [4 * (2 * w * 128 + 3) for w in (2, 3)]
    layer = 128 * (3 * 128 + 1 + 2 * 4 * 128) + 128 * 128
    assert layer < rows[0].parameters < 2 * layer
    text = [str(cell) for column in memories_table(rows).columns for cell in column.cells]
    assert "transformer" in text and "2.1" in text
    panels = memories_figure(rows, subtitle="").axes
    assert [[text.get_text() for text in axes.texts] for axes in panels] == 2 * [["transformer"]]


def test_an_agent_is_measured_in_one_environment_and_in_many(monkeypatch):
    monkeypatch.setattr("benchmarks.agent.CALLS", 2)
    rows = measure_agent(1)
    assert [row.num_envs for row in rows] == [1, 64]
    assert all(row.milliseconds > 0 for row in rows)
    assert agent_table(rows).row_count == 2


def test_the_picture_has_a_panel_for_each_axis_that_was_measured():
    def points(axis, line, *values):
        return [
            Point(axis, "", line, value, value, 0.9 * value, 1.0, 8 * value) for value in values
        ]

    drawn = points("tasks", "all", 64, 256) + points("tasks", "chunks", 256)
    figure = scaling_figure(drawn + points("hidden", "", 32, 64), subtitle="")
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "time, by tasks in a batch",
        "time, by units of the GRU",
        "memory, by tasks in a batch",
    ]
    assert [len(axes.lines) for axes in figure.axes] == [4, 2, 2]


def test_a_record_can_be_published():
    """It names neither the build of the kernel nor a place in a person's files."""
    record = json.dumps(_describe(DataParallel(1), {}))
    assert platform.release() not in record
    assert sys.prefix not in record and str(Path.home()) not in record


def test_each_line_has_its_own_ideal():
    points = [
        Point("devices", "", line, value, 1.0, ideal, 1.0, 8)
        for line, ideals in (("shared", (1.0, 0.5)), ("each", (1.0, 1.0)))
        for value, ideal in zip((1, 2), ideals, strict=True)
    ]
    (panel,) = scaling_figure(points, subtitle="").axes
    assert panel.get_gridspec().ncols == 1  # no room for what was not measured
    ideals = [line.get_ydata().tolist() for line in panel.lines[2:]]
    assert ideals == [[1.0, 0.5], [1.0, 1.0]]
    assert panel.get_xticks().tolist() == [1, 2]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {"cheetah_vel", "scaling"}),
        ({"scaling": False}, {"cheetah_vel"}),
        ({"only": ("cheetah_vel",)}, {"cheetah_vel"}),
        ({"only": ("scaling",)}, {"scaling"}),
    ],
)
def test_only_what_is_asked_for_is_measured(given, wanted):
    options = BenchOptions(**given)
    assert {name for name in ("cheetah_vel", "scaling") if options.wants(name)} == wanted


def test_the_command_prints_a_table_and_writes_a_record(tmp_path, monkeypatch, capsys):
    out = tmp_path / "new" / "bench.json"
    command = ["benchmarks", "--quick", "--peers", "--only", "bandit_gru128", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr("benchmarks.__main__.configure_jax", lambda *_, **__: None)  # it is already
    assert main() == 0
    done = capsys.readouterr()
    record = json.loads(out.read_text())
    has_torch = importlib.util.find_spec("torch") is not None
    assert [row["variant"] for row in record["rows"]] == ["fast", "usual"] + ["torch"] * has_torch
    for row in record["rows"]:
        assert row.keys() == {field.name for field in dataclasses.fields(Row)}
        assert row["benchmark"] == "bandit_gru128" and row["benchmark"] in done.out
        assert row["variant"] in done.out
        assert row["env_steps_per_s"] > 0
        assert 0 < row["fraction_of_peak"] < 1
    assert record["rows"][1]["ratio_to_usual"] == 1.0
    assert record["rows"][0]["compile_s"] > 0 and record["rows"][0]["peak_memory_bytes"] > 0
    assert record["device"] and record["peak_flops_per_s"]["bandit_gru128"] > 0
    assert has_torch or "the variant torch is left out" in done.err
