"""The memory an update needs, before it is compiled: against what XLA says afterwards."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from metarl_jax import Architecture, Memory, adaptive_policy, gru, snail, transformer
from metarl_jax.learning.algorithms import a2c, ppo, reinforce
from metarl_jax.learning.population import population
from metarl_jax.learning.schedules import hyperparameters
from metarl_jax.learning.train_state import UpdateConfig
from metarl_jax.parallel import host as machine
from metarl_jax.parallel.host import available_memory
from metarl_jax.training import memory_budget as footprint
from metarl_jax.training.chunks import compile_chunk
from metarl_jax.training.memory_budget import (
    check_fits,
    gigabytes,
    program_bytes,
    require_room,
    update_bytes,
)
from metarl_jax.types import ConfigurationError
from support.command_line import SMALL, assert_refused, assert_well_put, metarl
from support.probes import counter

TASKS = counter(ends_early=True, num_episodes=12)
POLICY = adaptive_policy(TASKS, gru(32), Architecture(embedding_size=16))
ALGORITHMS = {
    "a2c": a2c,
    "a2c, segments": partial(a2c, bptt_segments=3),
    "a2c, unrolled again": partial(a2c, single_pass=False),
    "reinforce": reinforce,
    "ppo": partial(ppo, epochs=2, minibatches=2),
}


def make(name: str, **config: Any) -> Any:
    settings = UpdateConfig(num_tasks=64, **config)
    return ALGORITHMS[name](TASKS, POLICY, hyperparameters(), settings)


def compiled_bytes(algorithm: Any, key: jax.Array, num_devices: int) -> int:
    state = jax.eval_shape(algorithm.init, key)
    analysis = jax.jit(algorithm.update).lower(state).compile().memory_analysis()
    assert analysis is not None
    return num_devices * analysis.temp_size_in_bytes + analysis.argument_size_in_bytes


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize("num_devices", [1, 2])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_estimate_is_near_what_it_comes_to(name: str, num_devices: int) -> None:
    if num_devices > jax.local_device_count():
        pytest.skip("one device")
    algorithm, key = make(name, num_devices=num_devices), jax.random.key(0)
    ratio = update_bytes(algorithm, key) / compiled_bytes(algorithm, key, num_devices)
    assert 0.75 < ratio < 1.6


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize(
    "memory", [transformer(12, 32), snail(12, 16)], ids=["transformer", "snail"]
)
def test_the_estimate_of_attention(memory: Memory) -> None:
    policy = adaptive_policy(TASKS, memory, Architecture(embedding_size=16))
    algorithm = a2c(TASKS, policy, hyperparameters(), UpdateConfig(num_tasks=64))
    ratio = update_bytes(algorithm, jax.random.key(0)) / compiled_bytes(
        algorithm, jax.random.key(0), 1
    )
    assert 0.75 < ratio < 1.6


def test_the_estimate_of_chunks_and_of_agents() -> None:
    key = jax.random.key(0)
    whole, chunks = make("a2c"), make("a2c", task_chunk=8)
    assert update_bytes(chunks, key) < 0.4 * update_bytes(whole, key)
    keys = jax.vmap(jax.random.key)(jnp.arange(3))
    agents = population(whole)
    assert 0.75 < update_bytes(agents, keys) / compiled_bytes(agents, keys, 1) < 1.6


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
    algorithm, key = make("a2c"), jax.random.key(0)
    chunk = compile_chunk(algorithm, 1, algorithm.init(key))
    needed = program_bytes(chunk)
    assert needed is not None
    monkeypatch.setattr(footprint, "available_memory", lambda alone: needed)
    require_room(chunk)
    monkeypatch.setattr(footprint, "available_memory", lambda alone: needed - (not alone))
    with pytest.raises(ConfigurationError, match="--task-chunk") as refusal:
        require_room(chunk)
    assert_well_put(str(refusal.value))
    require_room(chunk, alone=True)  # what goes on


def test_what_does_not_fit_is_refused_with_what_would() -> None:
    def needed(task_chunk: int | None) -> int:
        return 10**9 * (task_chunk or 100)

    assert check_fits(needed, 100, 136 * 10**9) == 100 * 10**9
    with pytest.raises(ConfigurationError):
        check_fits(needed, 100, 134 * 10**9)
    with pytest.raises(ConfigurationError, match="--task-chunk 12 would fit") as refusal:
        check_fits(needed, 100, 20 * 10**9)
    assert_well_put(str(refusal.value))
    with pytest.raises(ConfigurationError, match="--num-tasks"):
        check_fits(needed, 100, 10**8)

    def undivided(task_chunk: int | None) -> int:
        if task_chunk == 12:
            raise ConfigurationError("no such part")
        return needed(task_chunk)

    with pytest.raises(ConfigurationError, match="--task-chunk 6 would fit"):
        check_fits(undivided, 100, 20 * 10**9)


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


def test_a_batch_larger_than_the_machine_is_refused_at_once() -> None:
    tasks = ["--num-tasks", str(2**18), "--total-steps", "1"]
    result = metarl("train", "bandit_10_5", *SMALL, *tasks, "--memory.hidden-size", "1024")
    assert_refused(result, "of memory available", "--task-chunk", "would fit")
