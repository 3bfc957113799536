"""The memory that a compiled update takes, and the advice where there is less."""

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import pytest

from metarl_experiments.commands import evaluate
from metarl_experiments.commands.train import train_command
from metarl_jax import Architecture, adaptive_policy, gru, read_rows, transformer
from metarl_jax.learning.algorithms import a2c, ppo
from metarl_jax.learning.population import population
from metarl_jax.learning.schedules import hyperparameters
from metarl_jax.learning.train_state import Algorithm, UpdateConfig
from metarl_jax.parallel import host as machine
from metarl_jax.parallel.host import available_memory
from metarl_jax.training import memory_budget
from metarl_jax.training.chunks import Chunk, compile_chunk
from metarl_jax.training.memory_budget import (
    fitting_chunk,
    gigabytes,
    program_bytes,
    require_room,
)
from metarl_jax.types import ConfigurationError
from support.command_line import SMALL, assert_well_put, metarl
from support.probes import counter

TASKS = counter(ends_early=True, num_episodes=12)
CASES = {
    "a2c": (a2c, gru(32), 1),
    "a2c on two devices": (a2c, gru(32), 2),
    "ppo": (partial(ppo, epochs=2, minibatches=2), gru(32), 1),
    "a transformer": (a2c, transformer(12, 32), 1),
}


def make(name: str, **config: Any) -> Algorithm:
    algorithm, memory, num_devices = CASES[name]
    policy = adaptive_policy(TASKS, memory, Architecture(embedding_size=16))
    settings = UpdateConfig(num_tasks=512, num_devices=num_devices, **config)
    return algorithm(TASKS, policy, hyperparameters(), settings)


def compiled(algorithm: Algorithm) -> Chunk:
    return compile_chunk(algorithm, 1, algorithm.init(jax.random.key(0)))


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize("name", CASES)
def test_an_update_fits_with_the_chunk_that_is_named(name: str) -> None:
    if CASES[name][2] > jax.local_device_count():
        pytest.skip("one device")
    whole = make(name)
    needed = program_bytes(compiled(whole))
    assert needed is not None
    fitting = fitting_chunk(whole.chunk_sizes, needed, needed // 4)
    assert fitting is not None
    found = program_bytes(compiled(make(name, task_chunk=fitting)))
    assert found is not None
    assert needed / 16 < found <= needed / 4


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK),
    reason="the system does not tell, from some moment on, what a process grows by",
)
@pytest.mark.parametrize(
    ("case", "num_tasks"),
    [("a2c on two devices", 20_000), ("ppo", 11_500), ("a transformer", 2_500)],
)
def test_what_a_compiled_program_takes_is_foreseen(case: str, num_tasks: int) -> None:
    """Of updates of a gigabyte and more: against what a process grows by."""
    command = [sys.executable, "-m", "support.memory_growth", case, str(num_tasks)]
    told = json.loads(subprocess.check_output(command, cwd=Path(__file__).parents[1]))
    assert told["grown"] > 1e9
    assert 0.75 < told["foreseen"] / told["grown"] < 1.25


def test_a_compiled_program_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = make("a2c")
    chunk, run = compiled(algorithm), Path("runs/mine")
    needed = program_bytes(chunk)
    assert needed is not None
    monkeypatch.setattr(memory_budget, "available_memory", lambda alone: needed)
    require_room(chunk, algorithm.chunk_sizes, run)
    monkeypatch.setattr(memory_budget, "available_memory", lambda alone: needed - (not alone))
    with pytest.raises(ConfigurationError) as refusal:
        require_room(chunk, algorithm.chunk_sizes, run)
    assert "metarl train --resume runs/mine --devices 1 --task-chunk 256" in str(refusal.value)
    assert_well_put(str(refusal.value))
    require_room(chunk, algorithm.chunk_sizes, run, alone=True)  # a run that goes on
    with pytest.raises(ConfigurationError, match="--num-tasks") as refusal:
        require_room(chunk, (), run)  # an algorithm of one's own
    assert_well_put(str(refusal.value))


@pytest.mark.parametrize(
    ("num_tasks", "task_chunk", "sizes"),
    [
        (12, None, (1, 2, 3, 4, 6, 12)),
        (12, 5, (1, 2, 3, 4)),
        (12, 99, (1, 2, 3, 4, 6, 12)),
        (7, None, (1, 7)),
        (1, None, (1,)),
    ],
)
def test_chunks_divide_the_tasks_of_a_gradient(
    num_tasks: int, task_chunk: int | None, sizes: tuple[int, ...]
) -> None:
    config = UpdateConfig(task_chunk=task_chunk)
    assert config.chunk_sizes(num_tasks) == sizes
    assert config.num_parts(num_tasks) == num_tasks // sizes[-1]
    for size in sizes:  # each can be asked for
        assert UpdateConfig(task_chunk=size).num_parts(num_tasks) == num_tasks // size


def test_an_algorithm_knows_its_chunks() -> None:
    assert make("a2c").chunk_sizes[-1] == 512
    assert make("a2c", task_chunk=100).chunk_sizes[-1] == 64
    assert make("ppo").chunk_sizes[-1] == 256
    assert population(make("ppo")).chunk_sizes[-1] == 256
    if jax.local_device_count() > 1:
        assert make("a2c on two devices").chunk_sizes[-1] == 256


@pytest.mark.parametrize(
    ("available", "expected"), [(99, 6), (75, 6), (74, 4), (12, None), (13, 1), (0, None)]
)
def test_the_largest_chunk_that_fits_with_a_margin(available: int, expected: int | None) -> None:
    """100 bytes for 12 tasks at a time, and half as much again for each share of them."""
    assert fitting_chunk((1, 2, 3, 4, 6, 12), 100, available) == expected


def test_a_refused_run_goes_on_as_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a run that goes on is refused alike, and told a smaller chunk."""
    monkeypatch.setattr(evaluate, "draw_run", lambda *_: [])
    begin = ["bandit_10_5", *SMALL, "--num-tasks", "512", "--out", str(tmp_path / "run")]
    refused = []

    def train_with(available: int, arguments: list[str]) -> int:
        monkeypatch.setattr(memory_budget, "available_memory", lambda alone: available)
        try:
            return train_command(arguments)
        except ConfigurationError as error:
            assert_well_put(str(error))
            words = re.search(
                r"metarl train (--resume \S+ --devices 1 --task-chunk \d+)", str(error)
            )
            assert words is not None
            refused.append(words.group(1).split())
            return 2

    assert train_with(1_000_000, [*begin, "--devices", "1"]) == 2
    assert train_with(100_000, refused[0]) == 2
    sizes = [int(command[-1]) for command in refused]
    assert sizes[0] > sizes[1]
    assert train_with(1_000_000, refused[0]) == 0
    assert read_rows(tmp_path / "run" / "metrics.jsonl")


def test_page_cache_and_the_limits_of_outer_groups_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of 500 kB two groups above, 300 kB of it in use, 250 kB of that to be had back."""
    inner = tmp_path / "slice" / "job" / "step"
    inner.mkdir(parents=True)
    for folder, limit in ((inner, "max"), (inner.parent.parent, "500000")):
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text("300000")
        (folder / "memory.stat").write_text("anon 50000\ninactive_file 250000\n")
    group = ("", tmp_path, "memory.max", "memory.current", "inactive_file")
    monkeypatch.setattr(machine, "_CONTROL_GROUPS", (group,))
    (tmp_path / "cgroup").write_text("0::/slice/job/step\n")
    monkeypatch.setattr(machine, "_OWN_GROUP", tmp_path / "cgroup")
    assert available_memory() == 450_000
    assert available_memory(alone=True) == 500_000


def test_figures_for_a_person() -> None:
    assert [gigabytes(n) for n in (2_000_000, 51_000_000, 310 * 10**9)] == [
        "0.002 GB",
        "0.051 GB",
        "310 GB",
    ]
    assert (available_memory() or 1e9) > 1e8


def test_a_batch_larger_than_the_machine_is_refused_before_it_runs(tmp_path: Path) -> None:
    tasks = ["--num-tasks", str(2**18), "--total-steps", "1", "--memory.hidden-size", "1024"]
    result = metarl("train", "bandit_10_5", *SMALL, *tasks, "--out", tmp_path / "run")
    assert result.returncode == 2
    assert "of memory available" in result.stderr and "--task-chunk" in result.stderr
