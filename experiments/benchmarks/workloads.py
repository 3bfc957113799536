"""The benchmarks, and what their variants are made of: whole updates of A2C, rollouts alone."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.flops import count_flops
from benchmarks.timing import Variant, compile_program
from metarl_envs.bandit import bandit
from metarl_envs.cheetah import cheetah_vel
from metarl_experiments.presets.goal_grid import goal_grid_5
from metarl_experiments.presets.mouse import mouse_cheese
from metarl_jax import (
    Algorithm,
    Architecture,
    MetaEpisode,
    Policy,
    UpdateConfig,
    a2c,
    adaptive_policy,
    collect,
    gru,
    hyperparameters,
    start,
    task_keys,
)
from metarl_jax.parallel.sharding import DataParallel
from metarl_jax.policy.policy import Precision
from metarl_jax.tasks.distribution import TaskDistribution

NUM_ARMS, NUM_PULLS = 10, 100
CPU_CHUNK, ACCELERATOR_CHUNK = 128, 16_384
"""Tasks of a part of a batch, for each device: a core takes them in its cache."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """A task family and the network that learns it.

    Attributes:
        family: makes the tasks; further arguments choose the engine of physics.
        hidden_size: units of the GRU.
        head_sizes: units of the heads' tanh layers.
        normalize_observations: whether the policy does.
        cpu_batch: tasks of a batch on each core of a CPU, of which it is fastest.
        accelerator_batch: the same on each accelerator.
    """

    family: Callable[..., TaskDistribution]
    hidden_size: int
    head_sizes: tuple[int, ...] = ()
    normalize_observations: bool = False
    cpu_batch: int = 256
    accelerator_batch: int = 32_768


def _hundred_pulls() -> TaskDistribution:
    return bandit(num_arms=NUM_ARMS, num_pulls=NUM_PULLS)


def _goal_grid_5() -> TaskDistribution:
    return goal_grid_5.family(**goal_grid_5.arguments)


WORKLOADS = {
    "bandit_gru128": Workload(family=_hundred_pulls, hidden_size=128),
    "bandit_gru256": Workload(family=_hundred_pulls, hidden_size=256),
    "goal_grid_5": Workload(family=_goal_grid_5, hidden_size=64),
    "goal_grid_5_gru256": Workload(family=_goal_grid_5, hidden_size=256),
    "mouse_cheese": Workload(
        family=lambda: mouse_cheese.family(**mouse_cheese.arguments),
        hidden_size=64,
        normalize_observations=True,
    ),
    "cheetah_vel": Workload(
        family=cheetah_vel,
        hidden_size=128,
        head_sizes=(64,),
        normalize_observations=True,
        cpu_batch=128,
        accelerator_batch=16_384,
    ),
}


@dataclasses.dataclass(frozen=True)
class Size:
    """What all variants of a benchmark share.

    Attributes:
        devices: they run on.
        num_tasks: of a batch, over all devices.
    """

    devices: DataParallel
    num_tasks: int


def batch_size(workload: Workload, devices: DataParallel, quick: bool = False) -> Size:
    """The best batch on this backend; a tiny one where it is only to be seen that it runs."""
    on_cpu = jax.default_backend() == "cpu"
    best = workload.cpu_batch if on_cpu else workload.accelerator_batch
    return Size(devices, devices.count * (8 if quick else best))


def chunk_size() -> int:
    """Tasks that a device of this backend is best given at a time."""
    return CPU_CHUNK if jax.default_backend() == "cpu" else ACCELERATOR_CHUNK


def build_policy(
    workload: Workload, tasks: TaskDistribution, precision: Precision = "f32"
) -> Policy:
    """The network of a workload.

    Args:
        workload: its sizes.
        tasks: it acts in.
        precision: of its products.
    """
    layers = Architecture(head_sizes=workload.head_sizes, precision=precision)
    return adaptive_policy(tasks, gru(workload.hidden_size), layers)


def fast_update(
    workload: Workload,
    size: Size,
    *,
    precision: Precision = "f32",
    task_chunk: int | None = None,
    **family: Any,
) -> Variant:
    """An update as the library does it best: the gradient through the rollout.

    Args:
        workload: what is learned.
        size: of the batch.
        precision: of the network's products.
        task_chunk: the most tasks that a device takes at a time.
        family: further arguments of the task family.
    """
    tasks = workload.family(**family)
    policy = build_policy(workload, tasks, precision)
    config = dataclasses.replace(_config(workload, size), task_chunk=task_chunk)
    algorithm = a2c(tasks, policy, hyperparameters(), config, single_pass=True)
    return update_variant(algorithm, tasks, policy, size.devices)


def usual_update(workload: Workload, size: Size) -> Variant:
    """The usual way: the same network, rolled out, unrolled again, autodiff. As `fast_update`."""
    tasks = workload.family()
    policy = build_policy(workload, tasks)
    config = _config(workload, size)
    algorithm = a2c(tasks, policy, hyperparameters(), config, single_pass=False)
    return update_variant(algorithm, tasks, policy, size.devices)


def _config(workload: Workload, size: Size) -> UpdateConfig:
    return UpdateConfig(
        num_tasks=size.num_tasks,
        num_devices=size.devices.count,
        normalize_observations=workload.normalize_observations,
    )


def update_variant(
    algorithm: Algorithm,
    tasks: TaskDistribution,
    policy: Policy,
    devices: DataParallel,
    *,
    members: int | None = None,
) -> Variant:
    """Updates of an algorithm, each from the state that the one before left.

    Args:
        algorithm: of one learner, or of a population.
        tasks: that are learned.
        policy: of each learner, for the count of its products.
        devices: it runs on.
        members: of the population; None where there is none.
    """
    key = jax.random.key(0)
    state = algorithm.init(key if members is None else jax.random.split(key, members))
    program = compile_program(algorithm.update, state, num_devices=devices.count, donate=True)
    held = [state]

    def run() -> None:
        held[0], metrics = program.call(held[0])
        jax.block_until_ready((held[0], metrics))

    steps = algorithm.steps_per_update
    flops = steps * count_flops(policy, tasks).update
    return Variant(run, steps, flops, program.compile_s, program.peak_memory_bytes)


def collection_variant(
    tasks: TaskDistribution, policy: Policy, num_tasks: int, devices: DataParallel
) -> Variant:
    """A rollout of whole meta-episodes without learning.

    Args:
        tasks: that are acted in.
        policy: what acts, with the weights it begins with.
        num_tasks: of a batch, over all devices.
        devices: it runs on.
    """
    meta_episode, own = MetaEpisode(tasks), num_tasks // devices.count

    def total_reward(params: Any, key: jax.Array) -> jax.Array:
        first = devices.first_task(num_tasks)
        tasks_key, actors_key = jax.random.split(key)
        batch = jax.vmap(tasks.sample)(task_keys(tasks_key, own, first))
        actors = start(policy, meta_episode, batch, task_keys(actors_key, own, first))
        _, rollout, _ = collect(policy, params, meta_episode, actors)
        return devices.psum(jnp.sum(rollout.outcome.reward))

    params, key = devices.replicate((policy.init(jax.random.key(0)), jax.random.key(1)))
    program = compile_program(
        devices.shard_map(total_reward), params, key, num_devices=devices.count
    )

    def run() -> None:
        jax.block_until_ready(program.call(params, key))

    steps = num_tasks * meta_episode.length
    flops = steps * count_flops(policy, tasks).forward
    return Variant(run, steps, flops, program.compile_s, program.peak_memory_bytes)
