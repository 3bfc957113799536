"""An experiment: a task family, and the settings that learn it."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args

import jax

from metarl_jax.algorithms import a2c, ppo, reinforce
from metarl_jax.learner import Algorithm, UpdateConfig, require_positive, require_seed
from metarl_jax.memory import Memory, gru
from metarl_jax.policy import (
    Architecture,
    Policy,
    contextual_policy,
    memoryless_policy,
    recurrent_policy,
)
from metarl_jax.returns import DiscountMode
from metarl_jax.schedules import Hyperparameters, check_schedule, hyperparameters
from metarl_jax.sharding import Devices
from metarl_jax.tasks import TaskDistribution
from metarl_jax.training import TrainingPlan
from metarl_jax.types import ConfigurationError

PolicyName = Literal["recurrent", "memoryless", "contextual"]
MemoryName = Literal["gru"]
AlgorithmName = Literal["a2c", "ppo", "reinforce"]
Knots = tuple[float, ...]
_CHOICES = {
    "policy": get_args(PolicyName),
    "memory": get_args(MemoryName),
    "algorithm": get_args(AlgorithmName),
    "discount_mode": get_args(DiscountMode),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How a task family is learned. Every field is a flag of the command line.

    Numeric settings marked (schedule) take one number, or several that training passes through
    from its first update to its last. Counts and sizes are at least 1.

    Attributes:
        policy: recurrent; memoryless sees the current observation alone; contextual is the
            recurrent policy told the task.
        memory: the sequence model that reads every transition.
        hidden_size: units of the memory.
        embedding_size: units of the embeddings before it.
        head_sizes: units of the layers of each head after it.
        initial_log_std: log of the standard deviation of continuous actions before training, in the
            action's units.
        algorithm: a2c, ppo or reinforce.
        num_tasks: tasks in the batch of an update.
        task_chunk: the most tasks that a device takes at a time for a gradient; the gradient is
            the same, the memory less. All of them by default.
        total_steps: environment steps to train for; rounded up to whole chunks of updates.
        meta_episode_steps: train with meta-episodes that end after so many steps, not after their
            episodes; evaluation is over the family's episodes all the same.
        discount_mode: meta, or episodic or dual at an episode's end.
        normalize_observations: by their running mean and standard deviation.
        learning_rate: of Adam, 0 to 1 (schedule).
        discount: gamma per step, 0 to 1 (schedule).
        boundary_discount: gamma from an episode to the next, for discount mode dual, 0 to 1
            (schedule).
        gae_lambda: lambda of the advantage, 0 to 1 (schedule).
        entropy_coefficient: weight of the entropy bonus, at least 0, per nat and in units of the
            normalised advantage (schedule).
        value_coefficient: weight of the value error, at least 0 (schedule).
        max_gradient_norm: global norm to which gradients are clipped, at least 1e-6 (schedule).
        clip_ratio: PPO's epsilon, 0 to 1 (schedule).
        windows: A2C's gradient steps in a meta-episode; more than 1 truncates backpropagation.
        epochs: PPO's passes over a batch.
        minibatches: PPO's parts of a batch, by tasks.
        seed: of everything random.
        num_evaluations: evaluations on meta-test tasks during training, at least.
        evaluation_tasks: meta-test tasks of each of them.
        final_evaluation_tasks: meta-test tasks of the evaluation at the end.
    """

    policy: PolicyName = "recurrent"
    memory: MemoryName = "gru"
    hidden_size: int = 128
    embedding_size: int = 64
    head_sizes: tuple[int, ...] = ()
    initial_log_std: float = -0.5
    algorithm: AlgorithmName = "a2c"
    num_tasks: int = 256
    task_chunk: int | None = None
    total_steps: int = 10_000_000
    meta_episode_steps: int | None = None
    discount_mode: DiscountMode = "meta"
    normalize_observations: bool = False
    learning_rate: Knots = (1e-3,)
    discount: Knots = (0.99,)
    boundary_discount: Knots = (0.99,)
    gae_lambda: Knots = (0.95,)
    entropy_coefficient: Knots = (0.01, 0.0)
    value_coefficient: Knots = (0.5,)
    max_gradient_norm: Knots = (0.5,)
    clip_ratio: Knots = (0.2,)
    windows: int = 1
    epochs: int = 4
    minibatches: int = 4
    seed: int = 0
    num_evaluations: int = 20
    evaluation_tasks: int = 256
    final_evaluation_tasks: int = 10_000

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigurationError(
                    f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}."
                )
        counts = ("hidden_size", "embedding_size", "num_tasks", "total_steps", "windows", "epochs")
        more = ("minibatches", "num_evaluations", "evaluation_tasks", "final_evaluation_tasks")
        for name in counts + more:
            require_positive(name, getattr(self, name))
        for name in ("meta_episode_steps", "task_chunk"):
            if getattr(self, name) is not None:
                require_positive(name, getattr(self, name))
        require_seed(self.seed)
        if not math.isfinite(self.initial_log_std):
            raise ConfigurationError(
                f"initial_log_std must be a finite number, got {self.initial_log_std}; -0.5 is "
                "usual."
            )
        for field in dataclasses.fields(Hyperparameters):
            check_schedule(field.name, getattr(self, field.name))

    def idle_changes(self, preset: "Settings") -> list[str]:
        """Fields changed from the preset's that nothing reads under these settings, and why."""
        return [
            f"{name} is read only with {owner} {' or '.join(choices)}"
            for owner, choices, names in _READ_ONLY_WITH
            if getattr(self, owner) not in choices
            for name in names
            if getattr(self, name) != getattr(preset, name)
        ]

    def hyperparameters(self) -> Hyperparameters:
        """The numeric settings as schedules."""
        names = [field.name for field in dataclasses.fields(Hyperparameters)]
        return hyperparameters(**{name: getattr(self, name) for name in names})


_READ_ONLY_WITH = (
    ("algorithm", ("a2c",), ("windows",)),
    ("algorithm", ("ppo",), ("epochs", "minibatches", "clip_ratio")),
    ("algorithm", ("a2c", "ppo"), ("gae_lambda", "value_coefficient")),
    ("policy", ("recurrent", "contextual"), ("hidden_size",)),
    ("discount_mode", ("dual",), ("boundary_discount",)),
)
"""(setting, values of it, what is read with these alone)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A preset.

    Attributes:
        name: what `metarl train` is given.
        summary: one line for `metarl list`.
        family: makes the task distribution, from keyword arguments that all have defaults.
        arguments: those this preset changes.
        settings: how it is learned by default.
        variants: settings to change where another algorithm (by its name) is asked for.
    """

    name: str
    summary: str
    family: Callable[..., TaskDistribution]
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    settings: Settings = Settings()
    variants: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def settings_for(self, algorithm: str) -> Settings:
        """The preset's settings where it is learned by `algorithm`."""
        if algorithm == self.settings.algorithm:
            return self.settings
        changes = {"algorithm": algorithm} | dict(self.variants.get(algorithm, {}))
        return dataclasses.replace(self.settings, **changes)


class Program(NamedTuple):
    """What an experiment comes to, ready to compile."""

    tasks: TaskDistribution
    policy: Policy
    algorithm: Algorithm
    plan: TrainingPlan
    num_devices: int


LOGGED_PER_EVALUATION = 5
"""Rows of metrics from one evaluation to the next, where there are updates enough."""


def make_program(
    tasks: TaskDistribution, settings: Settings, num_devices: int | None = None
) -> Program:
    """Puts the pieces together; nothing is compiled yet.

    Args:
        tasks: p(M).
        settings: how it is learned.
        num_devices: over which the tasks are split; None: as many as this process has and divide
            them evenly.

    Returns:
        The program: policy, algorithm, and a plan of as many updates as take `total_steps`.

    Raises:
        ConfigurationError: the settings do not fit each other or the tasks.
    """
    if num_devices is None:
        num_devices = _fitting_devices(settings)
    length = settings.meta_episode_steps or tasks.max_steps
    wanted = -(-settings.total_steps // (settings.num_tasks * length))
    chunks_per_evaluation = max(1, min(LOGGED_PER_EVALUATION, wanted // settings.num_evaluations))
    updates_per_chunk = max(1, wanted // (settings.num_evaluations * chunks_per_evaluation))
    num_updates = -(-wanted // updates_per_chunk) * updates_per_chunk
    config = UpdateConfig(
        num_tasks=settings.num_tasks,
        num_updates=num_updates,
        discount_mode=settings.discount_mode,
        meta_episode_steps=settings.meta_episode_steps,
        normalize_observations=settings.normalize_observations,
        num_devices=num_devices,
        task_chunk=settings.task_chunk,
    )
    policy = make_policy(tasks, settings)
    algorithm = make_algorithm(tasks, policy, settings, config)
    plan = TrainingPlan(
        num_updates=num_updates,
        updates_per_chunk=updates_per_chunk,
        chunks_per_evaluation=chunks_per_evaluation,
    )
    return Program(tasks, policy, algorithm, plan, num_devices)


def _fitting_devices(settings: Settings) -> int:
    parts = settings.minibatches if settings.algorithm == "ppo" else 1
    return Devices(jax.local_device_count()).dividing(max(1, settings.num_tasks // parts)).count


def make_policy(tasks: TaskDistribution, settings: Settings) -> Policy:
    """The policy of these settings.

    Args:
        tasks: read for shapes alone.
        settings: of which policy, memory, sizes and initial_log_std are read.

    Raises:
        ConfigurationError: a size is less than 1.
    """
    architecture = Architecture(
        settings.embedding_size, settings.head_sizes, settings.initial_log_std
    )
    if settings.policy == "memoryless":
        return memoryless_policy(tasks, architecture)
    make = {"recurrent": recurrent_policy, "contextual": contextual_policy}[settings.policy]
    return make(tasks, _make_memory(settings), architecture)


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
        ConfigurationError: minibatches do not divide the tasks, or windows the meta-episode.
    """
    h = settings.hyperparameters()
    if settings.algorithm == "a2c":
        return a2c(tasks, policy, h, config, windows=settings.windows)
    if settings.algorithm == "reinforce":
        return reinforce(tasks, policy, h, config)
    return ppo(tasks, policy, h, config, epochs=settings.epochs, minibatches=settings.minibatches)


def _make_memory(settings: Settings) -> Memory:
    return {"gru": gru}[settings.memory](settings.hidden_size)
