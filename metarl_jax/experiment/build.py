"""What an experiment comes to: its policy, its algorithm and a plan, put together from settings."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.checks import suggestion
from metarl_jax.experiment.settings import Settings
from metarl_jax.experiment.sweep import NO_SWEEP, Sweep, agents_of
from metarl_jax.learning.population import population
from metarl_jax.learning.schedules import NAMES, names_read
from metarl_jax.learning.settings import PPO
from metarl_jax.learning.train_state import Algorithm, UpdateConfig, initial_shapes
from metarl_jax.parallel.sharding import DataParallel
from metarl_jax.policy.policy import Policy
from metarl_jax.policy.settings import Memoryless
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.interface import Interface
from metarl_jax.training.plan import TrainingPlan, plan_for
from metarl_jax.types import ConfigurationError, Key


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
            return jax.random.key(self.agents[0].budget.seed)
        return jax.vmap(jax.random.key)(np.array([a.budget.seed for a in self.agents], np.uint32))


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
        The setup: policy, algorithm, and a plan of as many updates as take `total_steps`.

    Raises:
        ConfigurationError: the settings do not fit each other or the tasks.
    """
    agents = agents_of(settings, sweep)
    agents_on, tasks_on = split_devices(settings, len(agents), num_devices)
    plan = _plan(tasks, settings)
    config = UpdateConfig(
        num_tasks=settings.budget.num_tasks,
        discount_mode=settings.discounting.discount_mode,
        meta_episode_steps=settings.budget.meta_episode_steps,
        normalize_observations=settings.policy.normalize_observations,
        num_devices=tasks_on.count,
        task_chunk=settings.budget.task_chunk,
    )
    policy = build_policy(tasks, settings)
    h = agents[0].hyperparameters()
    own = {} if settings.objective is None else {"objective": settings.objective.objective}
    algorithm = settings.algorithm.build(
        tasks, policy, h, config, optimizer=settings.optimizer.optimizer, **own
    )
    require_read(settings, algorithm, plan)
    if len(agents) > 1:
        knots = [agent.hyperparameters() for agent in agents]
        algorithm = population(algorithm, agents_on, jax.tree.map(lambda *k: jnp.stack(k), *knots))
    return Setup(tasks, policy, algorithm, plan, max(agents_on.count, tasks_on.count), agents)


def require_read(settings: Settings, algorithm: Algorithm, plan: TrainingPlan) -> None:
    """Refuses a hyper-parameter of your own that neither your objective nor your optimizer reads.

    Raises:
        ConfigurationError: its name is misspelt, or it is not needed.
    """
    own = settings.own_hyperparameters
    if not own:
        return
    state = initial_shapes(algorithm, jax.eval_shape(lambda: jax.random.key(0)), plan.num_updates)
    with names_read() as read:
        jax.eval_shape(lambda state: algorithm.update(state), state)
    if unread := sorted(own.keys() - read):
        hint = suggestion(unread[0], read - set(NAMES), "leave it out.")
        raise ConfigurationError(
            f"expected hyper-parameters that your objective or optimizer reads, got "
            f"{', '.join(unread)}, which none does; {hint}"
        )


def _plan(tasks: TaskDistribution, settings: Settings) -> TrainingPlan:
    budget = settings.budget
    length = budget.meta_episode_steps or tasks.max_steps
    return plan_for(
        budget.num_tasks * length,
        budget.total_steps,
        settings.evaluation.num_evaluations,
        budget.schedule_steps,
    )


def split_devices(
    settings: Settings, num_agents: int, asked: int | None
) -> tuple[DataParallel, DataParallel]:
    """Decides whether the devices share out the agents or the tasks of each agent.

    Agents are preferred, because nothing crosses between them; tasks are split where that occupies
    more devices.

    Args:
        settings: hold the number of tasks in an update.
        num_agents: agents in the program.
        asked: devices of each process to use; None for as many as divide the work evenly, and for
            all of them where there are several processes.

    Returns:
        (devices for the agents, devices for the tasks), of which one is a single device.
    """
    of_each = jax.local_device_count() if asked is None else asked
    all_devices = DataParallel(of_each * jax.process_count())
    if jax.process_count() > 1:  # what is split by agents would lie on one process alone
        return DataParallel(), all_devices
    parts = settings.algorithm.minibatches if isinstance(settings.algorithm, PPO) else 1
    dividing_tasks = all_devices.largest_divisor(max(1, settings.budget.num_tasks // parts))
    tasks_on = dividing_tasks if asked is None else all_devices
    agents_on = all_devices.largest_divisor(num_agents)
    if agents_on.count >= tasks_on.count:
        return agents_on, DataParallel()
    return DataParallel(), tasks_on


def build_policy(tasks: TaskDistribution | Interface, settings: Settings) -> Policy:
    """The policy of these settings.

    Args:
        tasks: read for shapes alone; their interface will do.
        settings: of which the policy, the memory and the length of a meta-episode are read.

    Raises:
        ConfigurationError: a size is less than 1, heads of attention do not divide the units, or
            the precision is not this machine's.
    """
    shapes = tasks.specification if isinstance(tasks, Interface) else tasks
    encoder = settings.encoder.build()
    if isinstance(settings.policy, Memoryless):
        return settings.policy.build(shapes, encoder)
    assert settings.memory is not None, "refused by Settings"
    memory = settings.memory.build(longest_meta_episode(tasks, settings))
    return settings.policy.build(shapes, memory, encoder)


def longest_meta_episode(tasks: TaskDistribution | Interface, settings: Settings) -> int:
    """Steps of the longer one: that of training, or that of evaluation."""
    return max(settings.budget.meta_episode_steps or 0, tasks.max_steps)


def shorter_context(policy: Policy, num_steps: int) -> str | None:
    """For people, how far a memory looks back that does not see all of so many steps."""
    if policy.context_length is None or policy.context_length >= num_steps:
        return None
    return f"each layer looks back {policy.context_length} of a meta-episode's {num_steps} steps"
