"""The policies as settings: what each can be told, and the record of functions it builds."""

import dataclasses
from functools import partial
from typing import ClassVar

from metarl_jax.checks import bounded, check_fields
from metarl_jax.memory.base import Memory
from metarl_jax.policy.encoder import MakeEncoder, cnn, flat, grid
from metarl_jax.policy.heads import HeadName
from metarl_jax.policy.policy import (
    Architecture,
    Policy,
    Precision,
    adaptive_policy,
    contextual_policy,
    memoryless_policy,
)
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.specification import Specification


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

    def build(
        self,
        tasks: TaskDistribution | Specification,
        memory: Memory,
        encoder: MakeEncoder = flat,
    ) -> Policy:
        """The policy of tasks, which are read for their spaces alone, or of those spaces."""
        return adaptive_policy(tasks, memory, self.architecture, encoder)


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

    def build(
        self,
        tasks: TaskDistribution | Specification,
        memory: Memory,
        encoder: MakeEncoder = flat,
    ) -> Policy:
        """The policy of tasks, which are read for their spaces alone, or of those spaces."""
        return contextual_policy(tasks, memory, self.architecture, encoder)


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

    def build(self, tasks: TaskDistribution | Specification, encoder: MakeEncoder = flat) -> Policy:
        """The policy of tasks, which are read for their spaces alone, or of those spaces."""
        return memoryless_policy(tasks, self.architecture, encoder)


PolicySettings = Adaptive | Contextual | Memoryless


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flat:
    """Flattens observations into one vector."""

    name: ClassVar[str] = "flat"

    def build(self) -> MakeEncoder:
        """What makes the encoder of a space."""
        return flat


@dataclasses.dataclass(frozen=True, kw_only=True)
class CNN:
    """A convolutional network for images.

    Attributes:
        channels: Channels of each convolution.
        features: Units that an image is encoded in.
    """

    name: ClassVar[str] = "cnn"
    channels: tuple[int, ...] = bounded((16, 32), most=10**4)
    features: int = bounded(128, most=10**6)

    def __post_init__(self) -> None:
        check_fields(self)

    def build(self) -> MakeEncoder:
        """What makes the encoder of a space."""
        return partial(cnn, **dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """A convolutional network for grids of whole numbers, each embedded.

    Attributes:
        embedding_size: Units of each number's embedding.
        channels: Channels of each convolution.
        features: Units that a grid is encoded in.
    """

    name: ClassVar[str] = "grid"
    embedding_size: int = bounded(8, most=10**4)
    channels: tuple[int, ...] = bounded((16, 32), most=10**4)
    features: int = bounded(128, most=10**6)

    def __post_init__(self) -> None:
        check_fields(self)

    def build(self) -> MakeEncoder:
        """What makes the encoder of a space."""
        return partial(grid, **dataclasses.asdict(self))


EncoderSettings = Flat | CNN | Grid
