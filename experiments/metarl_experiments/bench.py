"""`make bench`: each comparison is a ratio of medians of interleaved repetitions in one process.

update     A2C through the rollout against "roll out, then unroll again", the usual way
physics    `collect` on cheetah_vel against a bare `mujoco.rollout` of the same batch
"""

import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from metarl_envs.bandit import bandit
from metarl_envs.cheetah import cheetah_vel
from metarl_envs.physics.model import SUBSTEPS, half_cheetah
from metarl_experiments.runs import describe_machine
from metarl_jax import (
    Architecture,
    MetaEpisode,
    UpdateConfig,
    a2c,
    collect,
    gru,
    hyperparameters,
    recurrent_policy,
    start,
    task_keys,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Measures throughput; prints a table and writes runs/bench.json.

    Attributes:
        repetitions: of each variant, taken in turn.
        out: where the figures go.
    """

    repetitions: int = 7
    out: Path = Path("runs/bench.json")


@dataclasses.dataclass(frozen=True)
class Row:
    """One variant of one benchmark.

    Attributes:
        benchmark: what is measured.
        variant: how it is done.
        env_steps_per_s: median over the repetitions.
        ratio_to_usual: to the variant it is compared with; 1 for that one.
    """

    benchmark: str
    variant: str
    env_steps_per_s: float
    ratio_to_usual: float


def main() -> None:
    """Runs all benchmarks."""
    options = tyro.cli(BenchOptions, prog="make bench")
    rows = [
        *update_benchmark(128, options.repetitions),
        *update_benchmark(256, options.repetitions),
        *physics_benchmark(options.repetitions),
    ]
    table = Table("benchmark", "variant", "env steps/s", "ratio", box=None)
    for row in rows:
        speed, ratio = f"{row.env_steps_per_s:,.0f}", f"{row.ratio_to_usual:.2f}"
        table.add_row(row.benchmark, row.variant, speed, ratio)
    Console().print(table)
    record = describe_machine() | {"rows": [dataclasses.asdict(row) for row in rows]}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record, indent=2) + "\n")


def update_benchmark(hidden_size: int, repetitions: int) -> list[Row]:
    """A whole update on bandit n = 100, k = 10, 128 tasks."""
    tasks = bandit(num_arms=10, num_pulls=100)
    policy = recurrent_policy(tasks, gru(hidden_size), Architecture(embedding_size=64))
    h, config = hyperparameters(), UpdateConfig(num_tasks=128)

    def variant(single_pass: bool) -> tuple[Callable[[], Any], int]:
        algorithm = a2c(tasks, policy, h, config, single_pass=single_pass)
        update = jax.jit(algorithm.update, donate_argnums=0)
        held = [algorithm.init(jax.random.key(0))]

        def run() -> None:
            held[0], metrics = update(held[0])
            jax.block_until_ready(metrics)

        return run, algorithm.steps_per_update

    variants = {"roll out, unroll again": variant(False), "single pass": variant(True)}
    return compare(f"bandit_gru{hidden_size}", variants, repetitions * 3)


def physics_benchmark(repetitions: int, num_tasks: int = 256) -> list[Row]:
    """`collect` with a GRU of 128 units, and MuJoCo alone."""
    tasks = cheetah_vel(engine="mujoco")
    policy = recurrent_policy(tasks, gru(128), Architecture(head_sizes=(64,)))
    meta_episode = MetaEpisode(tasks)
    params = policy.init(jax.random.key(0))

    @jax.jit
    def rewards(params: Any, key: jax.Array) -> jax.Array:
        tasks_key, actors_key = jax.random.split(key)
        batch = jax.vmap(tasks.sample)(task_keys(tasks_key, num_tasks))
        actors = start(policy, meta_episode, batch, task_keys(actors_key, num_tasks))
        return collect(policy, params, meta_episode, actors)[1].outcome.reward

    def run() -> None:
        jax.block_until_ready(rewards(params, jax.random.key(1)))

    num_steps = num_tasks * tasks.max_steps
    variants = {
        "bare mujoco.rollout": (bare_rollout(num_tasks, tasks.max_steps), num_steps),
        "collect, gru 128": (run, num_steps),
    }
    return compare("cheetah_vel", variants, repetitions)


def bare_rollout(num_tasks: int, num_steps: int) -> Callable[[], None]:
    """`mujoco.rollout` of as many steps of as many half-cheetahs, on all the machine's threads."""
    mujoco = import_module("mujoco")
    rollout = import_module("mujoco.rollout")

    model, threads = half_cheetah(), describe_machine()["cores"]
    data = [mujoco.MjData(model) for _ in range(threads)]
    size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
    generator = np.random.default_rng(0)
    initial = np.zeros((num_tasks, size))
    initial[:, 1:] = generator.uniform(-0.1, 0.1, (num_tasks, size - 1))
    control = generator.uniform(-1, 1, (num_tasks, num_steps, model.nu)).repeat(SUBSTEPS, axis=1)
    pool = rollout.Rollout(nthread=threads)
    return lambda: pool.rollout(model, data, initial, control) and None


def compare(
    benchmark: str, variants: Mapping[str, tuple[Callable[[], Any], int]], repetitions: int
) -> list[Row]:
    """Times every variant in turn, again and again; the first one is what is compared with.

    Args:
        benchmark: its name.
        variants: name -> (what to run, the environment steps it takes).
        repetitions: how often.
    """
    for run, _ in variants.values():
        run()  # compiles
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(repetitions):
        for name, (run, _) in variants.items():
            begin = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begin)
    speeds = {n: steps / statistics.median(times[n]) for n, (_, steps) in variants.items()}
    usual = next(iter(speeds.values()))
    return [Row(benchmark, name, speed, speed / usual) for name, speed in speeds.items()]


if __name__ == "__main__":
    main()
