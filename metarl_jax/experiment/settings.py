"""How a task family is learned: every setting, its default and its range."""

import dataclasses
import math
import numbers
import reprlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from metarl_jax.checks import require_positive, require_seed
from metarl_jax.learning.returns import DiscountMode
from metarl_jax.learning.schedules import Hyperparameters, check_schedule, hyperparameters
from metarl_jax.memory.context_set import Aggregation
from metarl_jax.policy.heads import HeadName
from metarl_jax.policy.policy import Precision
from metarl_jax.types import ConfigurationError

PolicyName = Literal["adaptive", "memoryless", "contextual"]


MemoryName = Literal["gru", "lstm", "linear-recurrence", "context-set", "snail", "transformer"]


AlgorithmName = Literal["a2c", "ppo", "reinforce"]


Knots = tuple[float, ...]


_CHOICES = {
    "policy": get_args(PolicyName),
    "memory": get_args(MemoryName),
    "aggregation": get_args(Aggregation),
    "head": get_args(HeadName),
    "precision": get_args(Precision),
    "algorithm": get_args(AlgorithmName),
    "discount_mode": get_args(DiscountMode),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How a task family is learned. Every field is a flag of the command line.

    Numeric settings marked (schedule) take one number, or several that training passes through
    from its first update to its last. Counts and sizes are at least 1.

    Attributes:
        policy: adaptive; memoryless sees the current observation alone (`--memory memoryless` is
            the same); contextual is the adaptive policy told the task.
        memory: the sequence model that reads every transition.
        hidden_size: units of the memory; a SNAIL has a quarter as many filters in each block.
        num_layers: of the memory, with residuals; by default 2 of linear-recurrence, snail and
            transformer, 1 of gru and lstm. A context-set has none.
        context_length: steps that each layer of a snail or a transformer looks back; by default a
            meta-episode.
        num_heads: a transformer's heads of attention.
        gated_residuals: a transformer's gates in place of residual sums.
        episode_positions: whether a transformer reads the numbers of the episode and of the step in
            it, besides how long ago a step was.
        aggregation: of a context-set: mean, attention or gaussians.
        embedding_size: units of the embeddings before the memory.
        head: plain, or hypernetwork: the memory's output gives the weights of a network that reads
            the observation alone.
        head_sizes: units of the layers of each head, or of that network.
        initial_log_std: log of the standard deviation of continuous actions before training, in the
            action's units.
        precision: of the policy's products: f32, or on an accelerator bf16 with sums in f32.
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
        bptt_segments: A2C's gradient steps in a meta-episode; more than 1 truncates
            backpropagation.
        epochs: PPO's passes over a batch.
        minibatches: PPO's parts of a batch, by tasks.
        seed: of everything random.
        num_seeds: agents trained side by side in one program, with seeds seed, seed + 1, and so on.
        num_evaluations: evaluations on meta-test tasks during training, at least.
        evaluation_tasks: meta-test tasks of each of them.
        final_evaluation_tasks: meta-test tasks of the evaluation at the end.
    """

    policy: PolicyName = "adaptive"
    memory: MemoryName = "gru"
    hidden_size: int = 128
    num_layers: int | None = None
    context_length: int | None = None
    num_heads: int = 4
    gated_residuals: bool = False
    episode_positions: bool = False
    aggregation: Aggregation = "mean"
    embedding_size: int = 64
    head: HeadName = "plain"
    head_sizes: tuple[int, ...] = ()
    initial_log_std: float = -0.5
    precision: Precision = "f32"
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
    bptt_segments: int = 1
    epochs: int = 4
    minibatches: int = 4
    seed: int = 0
    num_seeds: int = 1
    num_evaluations: int = 20
    evaluation_tasks: int = 256
    final_evaluation_tasks: int = 10_000

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigurationError(
                    f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}."
                )
        for field in dataclasses.fields(self):
            _check_kind(field.name, field.type, getattr(self, field.name))
        require_seed(self.seed)
        require_seed(self.seed + self.num_seeds - 1)
        if not math.isfinite(self.initial_log_std):
            raise ConfigurationError(
                f"initial_log_std must be a finite number, got {self.initial_log_std}; -0.5 is "
                "usual."
            )
        for field in dataclasses.fields(Hyperparameters):
            check_schedule(field.name, getattr(self, field.name))

    def idle_changes(self, preset: "Settings") -> list[str]:
        """Fields changed from the preset's that nothing reads under these settings, and why."""
        names = [f.name for f in dataclasses.fields(self)]
        return self.idle([n for n in names if getattr(self, n) != getattr(preset, n)])

    def idle(self, names: Collection[str]) -> list[str]:
        """Of these fields, those that nothing reads under these settings, and why."""
        return [
            f"{name} is read only with {owner} {' or '.join(choices)}"
            for owner, choices, owned in _READ_ONLY_WITH
            if getattr(self, owner) not in choices
            for name in owned
            if name in names
        ]

    def hyperparameters(self) -> Hyperparameters:
        """The numeric settings as schedules."""
        names = [field.name for field in dataclasses.fields(Hyperparameters)]
        return hyperparameters(**{name: getattr(self, name) for name in names})


_KINDS: Mapping[Any, tuple[type, str]] = {
    int: (numbers.Integral, "a whole number"),
    int | None: (numbers.Integral, "a whole number"),
    tuple[int, ...]: (numbers.Integral, "whole numbers"),
    float: (numbers.Real, "a number"),
    Knots: (numbers.Real, "numbers"),
    bool: (bool, "true or false"),
}
"""What a field of this annotation holds, or each of its elements; for a person."""


_LARGEST: Mapping[str, int] = {
    "total_steps": 10**15,
    "hidden_size": 10**6,
    "embedding_size": 10**6,
    "head_sizes": 10**6,
    "num_layers": 1_000,
    "num_evaluations": 10**6,
    "evaluation_tasks": 10**7,
    "final_evaluation_tasks": 10**7,
}
"""Of what would not end in an error, but in hours of tracing; of all others what int32 holds."""


LARGEST_REAL = 3e38  # of float32


LONGEST = 1_000


def _check_kind(name: str, annotation: Any, value: Any) -> None:
    """A configuration that is read may hold what no flag lets through: a text, a billion layers."""
    if annotation not in _KINDS or (value is None and annotation == int | None):
        return
    kind, told = _KINDS[annotation]
    elements: Sequence[Any] = [value]
    if get_origin(annotation) is tuple and isinstance(value, (tuple, list)):
        elements = value
    for each in elements:
        if not isinstance(each, kind) or isinstance(each, bool) != (kind is bool):
            raise ConfigurationError(f"{name} must be {told}, got {reprlib.repr(value)}.")
        if kind is numbers.Real and abs(each) > LARGEST_REAL:
            raise ConfigurationError(f"{name} must be finite, got {reprlib.repr(each)}.")
        if kind is numbers.Integral and name != "seed":
            require_positive(name, each, most=_LARGEST.get(name, 2**31 - 1))
    if len(elements) > LONGEST:
        raise ConfigurationError(
            f"{name} must be at most {LONGEST:,} {told}, got {len(elements):,}; leave some out."
        )


_READ_ONLY_WITH = (
    ("algorithm", ("a2c",), ("bptt_segments",)),
    ("algorithm", ("ppo",), ("epochs", "minibatches", "clip_ratio")),
    ("algorithm", ("a2c", "ppo"), ("gae_lambda", "value_coefficient")),
    (
        "policy",
        ("adaptive", "contextual"),
        (
            "memory",
            "hidden_size",
            "num_layers",
            "context_length",
            "num_heads",
            "gated_residuals",
            "episode_positions",
            "aggregation",
            "head",
        ),
    ),
    ("memory", tuple(m for m in get_args(MemoryName) if m != "context-set"), ("num_layers",)),
    ("memory", ("snail", "transformer"), ("context_length",)),
    ("memory", ("transformer",), ("num_heads", "gated_residuals", "episode_positions")),
    ("memory", ("context-set",), ("aggregation",)),
    ("discount_mode", ("dual",), ("boundary_discount",)),
)
"""(setting, values of it, what is read with these alone)."""
