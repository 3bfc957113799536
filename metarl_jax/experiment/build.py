"""What an experiment comes to: its policy, its algorithm and a plan, put together from settings."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.experiment.settings import Settings
from metarl_jax.experiment.sweep import NO_SWEEP, Sweep, agents_of
from metarl_jax.learning.algorithms import a2c, ppo, reinforce
from metarl_jax.learning.population import population
from metarl_jax.learning.train_state import Algorithm, UpdateConfig
from metarl_jax.memory import (
    Memory,
    context_set,
    gru,
    linear_recurrence,
    lstm,
    snail,
    stacked,
    transformer,
)
from metarl_jax.parallel.sharding import DataParallel
from metarl_jax.policy.policy import (
    Architecture,
    Policy,
    adaptive_policy,
    contextual_policy,
    memoryless_policy,
)
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.training.plan import TrainingPlan
from metarl_jax.types import Key


class Setup(NamedTuple):
    """What an experiment comes to, ready to compile."""

    tasks: TaskDistribution
    policy: Policy
    algorithm: Algorithm  # of one agent, or of a population
    plan: TrainingPlan
    num_devices: int
    agents: tuple[Settings, ...]

    @property
    def is_population(self) -> bool:
        """Whether the train state has a leading axis of agents."""
        return len(self.agents) > 1

    @property
    def key(self) -> Key:
        """Of the first train state: [], or [S] for S agents."""
        if not self.is_population:
            return jax.random.key(self.agents[0].seed)
        return jax.vmap(jax.random.key)(np.array([a.seed for a in self.agents], np.uint32))


LOGGED_PER_EVALUATION = 5
"""Rows of metrics from one evaluation to the next, where there are updates enough."""


def build_setup(
    tasks: TaskDistribution,
    settings: Settings,
    num_devices: int | None = None,
    sweep: Sweep = NO_SWEEP,
) -> Setup:
    """Puts the pieces together; nothing is compiled yet.

    Args:
        tasks: p(M).
        settings: how it is learned.
        num_devices: of each process, over which the tasks are split; None: as many as this process
            has and divide them evenly, of several processes all. Several agents are split instead,
            where that occupies as many devices of the one process.
        sweep: of hyper-parameters, one agent for each combination of values and each seed.

    Returns:
        The program: policy, algorithm, and a plan of as many updates as take `total_steps`.

    Raises:
        ConfigurationError: the settings do not fit each other or the tasks.
    """
    agents = agents_of(settings, sweep)
    agents_on, tasks_on = split_devices(settings, len(agents), num_devices)
    plan = _plan(tasks, settings)
    config = UpdateConfig(
        num_tasks=settings.num_tasks,
        num_updates=plan.num_updates,
        discount_mode=settings.discount_mode,
        meta_episode_steps=settings.meta_episode_steps,
        normalize_observations=settings.normalize_observations,
        num_devices=tasks_on.count,
        task_chunk=settings.task_chunk,
    )
    policy = make_policy(tasks, settings)
    algorithm = make_algorithm(tasks, policy, agents[0], config)
    if len(agents) > 1:
        knots = [agent.hyperparameters() for agent in agents]
        algorithm = population(algorithm, agents_on, jax.tree.map(lambda *k: jnp.stack(k), *knots))
    return Setup(tasks, policy, algorithm, plan, max(agents_on.count, tasks_on.count), agents)


def _plan(tasks: TaskDistribution, settings: Settings) -> TrainingPlan:
    length = settings.meta_episode_steps or tasks.max_steps
    wanted = -(-settings.total_steps // (settings.num_tasks * length))
    chunks_per_evaluation = max(1, min(LOGGED_PER_EVALUATION, wanted // settings.num_evaluations))
    updates_per_chunk = max(1, wanted // (settings.num_evaluations * chunks_per_evaluation))
    return TrainingPlan(
        num_updates=-(-wanted // updates_per_chunk) * updates_per_chunk,
        updates_per_chunk=updates_per_chunk,
        chunks_per_evaluation=chunks_per_evaluation,
    )


def split_devices(
    settings: Settings, num_agents: int, asked: int | None
) -> tuple[DataParallel, DataParallel]:
    """The devices that agents are split over, and those that the tasks of each are.

    One of the two is one device. It is the agents that are split, for nothing crosses between
    them, unless their tasks would occupy more devices.

    Args:
        settings: of which the tasks of an update are read.
        num_agents: that share nothing.
        asked: so many devices of each process and no fewer; None: as many as this process has and
            divide evenly, of several processes all.
    """
    of_each = jax.local_device_count() if asked is None else asked
    all_devices = DataParallel(of_each * jax.process_count())
    if jax.process_count() > 1:  # what is split by agents would lie on one process alone
        return DataParallel(), all_devices
    parts = settings.minibatches if settings.algorithm == "ppo" else 1
    dividing_tasks = all_devices.largest_divisor(max(1, settings.num_tasks // parts))
    tasks_on = dividing_tasks if asked is None else all_devices
    agents_on = all_devices.largest_divisor(num_agents)
    if agents_on.count >= tasks_on.count:
        return agents_on, DataParallel()
    return DataParallel(), tasks_on


def make_policy(tasks: TaskDistribution, settings: Settings) -> Policy:
    """The policy of these settings.

    Args:
        tasks: read for shapes alone.
        settings: of which policy, memory and its options, head, sizes, initial_log_std and
            precision are read.

    Raises:
        ConfigurationError: a size is less than 1, heads of attention do not divide the units, or
            the precision is not this machine's.
    """
    architecture = Architecture(
        embedding_size=settings.embedding_size,
        head=settings.head,
        head_sizes=settings.head_sizes,
        initial_log_std=settings.initial_log_std,
        precision=settings.precision,
    )
    if settings.policy == "memoryless":
        return memoryless_policy(tasks, architecture)
    make = {"adaptive": adaptive_policy, "contextual": contextual_policy}[settings.policy]
    return make(tasks, _make_memory(tasks, settings), architecture)


def make_algorithm(
    tasks: TaskDistribution, policy: Policy, settings: Settings, config: UpdateConfig
) -> Algorithm:
    """The algorithm of these settings.

    Args:
        tasks: p(M).
        policy: what is trained.
        settings: of which the algorithm, its structure and the schedules are read.
        config: the static structure of an update.

    Raises:
        ConfigurationError: minibatches do not divide the tasks, or segments the meta-episode.
    """
    h = settings.hyperparameters()
    if settings.algorithm == "a2c":
        return a2c(tasks, policy, h, config, bptt_segments=settings.bptt_segments)
    if settings.algorithm == "reinforce":
        return reinforce(tasks, policy, h, config)
    return ppo(tasks, policy, h, config, epochs=settings.epochs, minibatches=settings.minibatches)


def longest_meta_episode(tasks: TaskDistribution, settings: Settings) -> int:
    """Steps of the longer one: that of training, or that of evaluation."""
    return max(settings.meta_episode_steps or 0, tasks.max_steps)


def shorter_window(policy: Policy, num_steps: int) -> str | None:
    """For people, how far a memory looks back that does not see all of so many steps."""
    if policy.context_length is None or policy.context_length >= num_steps:
        return None
    return f"each layer looks back {policy.context_length} of a meta-episode's {num_steps} steps"


def _make_memory(tasks: TaskDistribution, settings: Settings) -> Memory:
    size, layers = settings.hidden_size, settings.num_layers
    context_length = settings.context_length or longest_meta_episode(tasks, settings)
    if settings.memory == "linear-recurrence":
        return linear_recurrence(size, layers or 2)
    if settings.memory == "snail":
        return snail(context_length, max(1, size // 4), num_layers=layers or 2)
    if settings.memory == "transformer":
        return transformer(
            context_length,
            size,
            num_layers=layers or 2,
            num_heads=settings.num_heads,
            gated=settings.gated_residuals,
            episode_positions=settings.episode_positions,
        )
    if settings.memory == "context-set":
        return context_set(size, settings.aggregation)
    return stacked({"gru": gru, "lstm": lstm}[settings.memory](size), layers or 1)
