"""The options of `make bench`."""

import dataclasses
from pathlib import Path
from typing import Literal

from metarl_jax.checks import require_positive

Name = Literal[
    "bandit_gru128",
    "bandit_gru256",
    "goal_grid_5",
    "goal_grid_5_gru256",
    "mouse_cheese",
    "cheetah_vel",
    "agent",
    "memories",
    "scaling",
]


AxisName = Literal["tasks", "length", "hidden", "seeds", "devices"]


VariantName = Literal[
    "fast",
    "usual",
    "chunked",
    "fast_bf16",
    "torch",
    "collect",
    "bare_rollout",
    "fast_warp",
    "collect_warp",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Measures throughput: prints tables, writes bench.json and, beside it, its pictures.

    Attributes:
        only: what to measure; everything by default.
        variants: ways to do it; all that this machine has by default.
        repetitions: of each variant, taken in turn.
        out: where the figures go.
        quick: few repetitions of small batches, to see that everything runs: no figures to quote.
        peers: the bandits in PyTorch too, where torch is installed.
        scaling: how the cost grows, and the picture of it.
        axes: of the scaling, what grows; all by default.
        devices: so many devices; by default all. On a CPU they are its cores.
    """

    only: tuple[Name, ...] = ()
    variants: tuple[VariantName, ...] = ()
    repetitions: int = 7
    out: Path = Path("runs/bench.json")
    quick: bool = False
    peers: bool = False
    scaling: bool = True
    axes: tuple[AxisName, ...] = ()
    devices: int | None = None

    def __post_init__(self) -> None:
        require_positive("repetitions", self.repetitions)
        if self.devices is not None:
            require_positive("devices", self.devices)

    def wants(self, name: str) -> bool:
        """Whether this was asked for."""
        return (not self.only or name in self.only) and (self.scaling or name != "scaling")
