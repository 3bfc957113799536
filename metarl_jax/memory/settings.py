"""The memories as settings: what each can be told, and the record of functions it builds."""

import dataclasses
from typing import ClassVar

from metarl_jax.checks import bounded, check_fields
from metarl_jax.memory.base import Memory
from metarl_jax.memory.context_set import Aggregation, context_set
from metarl_jax.memory.gru import gru
from metarl_jax.memory.linear_recurrence import linear_recurrence
from metarl_jax.memory.lstm import lstm
from metarl_jax.memory.snail import snail
from metarl_jax.memory.stack import stacked
from metarl_jax.memory.transformer import transformer


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Sized:
    hidden_size: int = bounded(128, most=10**6)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GRU(_Sized):
    """Gated recurrent units.

    Attributes:
        hidden_size: Units of each layer.
        num_layers: Layers, with residual connections between them.
    """

    name: ClassVar[str] = "gru"
    num_layers: int = bounded(1, most=1_000)

    def build(self, num_steps: int) -> Memory:
        """The memory, for meta-episodes of at most `num_steps` steps."""
        del num_steps
        return stacked(gru(self.hidden_size), self.num_layers)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LSTM(_Sized):
    """Long short-term memory.

    Attributes:
        hidden_size: Units of each layer.
        num_layers: Layers, with residual connections between them.
    """

    name: ClassVar[str] = "lstm"
    num_layers: int = bounded(1, most=1_000)

    def build(self, num_steps: int) -> Memory:
        """The memory, for meta-episodes of at most `num_steps` steps."""
        del num_steps
        return stacked(lstm(self.hidden_size), self.num_layers)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearRecurrence(_Sized):
    """A state-space model: a linear recurrence with gates around it.

    Attributes:
        hidden_size: Units of each layer.
        num_layers: Layers, with residual connections between them.
    """

    name: ClassVar[str] = "linear-recurrence"
    num_layers: int = bounded(2, most=1_000)

    def build(self, num_steps: int) -> Memory:
        """The memory, for meta-episodes of at most `num_steps` steps."""
        del num_steps
        return linear_recurrence(self.hidden_size, self.num_layers)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContextSet(_Sized):
    """A set encoder, which forgets the order of transitions.

    Attributes:
        hidden_size: Units of the encoder.
        aggregation: How transitions are pooled; `gaussians` multiplies Gaussian factors as PEARL.
    """

    name: ClassVar[str] = "context-set"
    aggregation: Aggregation = "mean"

    def build(self, num_steps: int) -> Memory:
        """The memory, for meta-episodes of at most `num_steps` steps."""
        del num_steps
        return context_set(self.hidden_size, self.aggregation)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SNAIL(_Sized):
    """Dilated causal convolutions and causal attention, in turn.

    Attributes:
        hidden_size: Four times the number of filters in each block.
        num_layers: Pairs of convolutions and attention.
        context_length: Steps that each layer looks back; a whole meta-episode by default.
    """

    name: ClassVar[str] = "snail"
    num_layers: int = bounded(2, most=1_000)
    context_length: int | None = None

    def build(self, num_steps: int) -> Memory:
        """The memory, for meta-episodes of at most `num_steps` steps."""
        filters = max(1, self.hidden_size // 4)
        return snail(self.context_length or num_steps, filters, num_layers=self.num_layers)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transformer(_Sized):
    """Causal attention with rotary positions.

    Attributes:
        hidden_size: Units of each layer.
        num_layers: Layers of attention.
        context_length: Steps that each layer looks back; a whole meta-episode by default.
        num_heads: Heads of attention, which must divide the units.
        gated_residuals: Gates in place of residual sums, as in GTrXL.
        episode_positions: Also read the number of the episode and of the step within it.
    """

    name: ClassVar[str] = "transformer"
    num_layers: int = bounded(2, most=1_000)
    context_length: int | None = None
    num_heads: int = 4
    gated_residuals: bool = False
    episode_positions: bool = False

    def build(self, num_steps: int) -> Memory:
        """The memory, for meta-episodes of at most `num_steps` steps."""
        return transformer(
            self.context_length or num_steps,
            self.hidden_size,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            gated=self.gated_residuals,
            episode_positions=self.episode_positions,
        )


MemorySettings = GRU | LSTM | LinearRecurrence | ContextSet | SNAIL | Transformer
