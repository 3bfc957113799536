"""The policies as settings: what each can be told, and the record of functions it builds."""

import dataclasses
from typing import ClassVar

from metarl_jax.checks import bounded, check_fields
from metarl_jax.memory.base import Memory
from metarl_jax.policy.heads import HeadName
from metarl_jax.policy.policy import (
    Architecture,
    Policy,
    Precision,
    adaptive_policy,
    contextual_policy,
    memoryless_policy,
)
from metarl_jax.tasks.distribution import Specification, TaskDistribution


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Layers:
    embedding_size: int = bounded(64, most=10**6)
    head_sizes: tuple[int, ...] = bounded((), most=10**6)
    initial_log_std: float = -0.5
    precision: Precision = "f32"
    normalize_observations: bool = False

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def architecture(self) -> Architecture:
        """The layers around the memory."""
        names = (field.name for field in dataclasses.fields(Architecture))
        return Architecture(**{n: getattr(self, n) for n in names if hasattr(self, n)})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adaptive(_Layers):
    """Reads every transition and finds out what the task is.

    Attributes:
        embedding_size: Units of the embeddings before the memory.
        head: Plain layers, or a hypernetwork, in which the memory's output gives the weights.
        head_sizes: Units of the hidden layers of each head.
        initial_log_std: Log standard deviation of continuous actions before training; from -10 to
            2, as it stays during training.
        precision: Of matmuls; bf16 keeps sums in f32 and needs an accelerator.
        normalize_observations: Normalise observations by their running mean and deviation.
    """

    name: ClassVar[str] = "adaptive"
    head: HeadName = "plain"

    def build(self, tasks: TaskDistribution | Specification, memory: Memory) -> Policy:
        """The policy of tasks, which are read for shapes alone, or of those shapes."""
        return adaptive_policy(tasks, memory, self.architecture)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contextual(Adaptive):
    """Is told `describe(task)`: the upper bound.

    Attributes:
        embedding_size: Units of the embeddings before the memory.
        head: Plain layers, or a hypernetwork, in which the memory's output gives the weights.
        head_sizes: Units of the hidden layers of each head.
        initial_log_std: Log standard deviation of continuous actions before training; from -10 to
            2, as it stays during training.
        precision: Of matmuls; bf16 keeps sums in f32 and needs an accelerator.
        normalize_observations: Normalise observations by their running mean and deviation.
    """

    name: ClassVar[str] = "contextual"

    def build(self, tasks: TaskDistribution | Specification, memory: Memory) -> Policy:
        """The policy of tasks, which are read for shapes alone, or of those shapes."""
        return contextual_policy(tasks, memory, self.architecture)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memoryless(_Layers):
    """Sees the current observation alone: the lower bound.

    Attributes:
        embedding_size: Units of the embedding of the observation.
        head_sizes: Units of the hidden layers of each head.
        initial_log_std: Log standard deviation of continuous actions before training; from -10 to
            2, as it stays during training.
        precision: Of matmuls; bf16 keeps sums in f32 and needs an accelerator.
        normalize_observations: Normalise observations by their running mean and deviation.
    """

    name: ClassVar[str] = "memoryless"

    def build(self, tasks: TaskDistribution | Specification) -> Policy:
        """The policy of tasks, which are read for shapes alone, or of those shapes."""
        return memoryless_policy(tasks, self.architecture)


PolicySettings = Adaptive | Contextual | Memoryless
