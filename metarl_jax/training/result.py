"""What a run from Python comes to, and how it says that it ended before its time."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metarl_jax.evaluation.record import EvaluationRecord
from metarl_jax.learning.train_state import TrainState
from metarl_jax.policy.policy import PolicyParams
from metarl_jax.training.metrics_row import MetricsRow
from metarl_jax.training.plan import Outcome


class TrainingError(RuntimeError):
    """A run ended before its time.

    Attributes:
        outcome: how it ended, with its last good state.
    """

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Attributes:
        params: the trained parameters, for `evaluate` and `Agent`.
        state: the whole train state.
        evaluation: of the policy on meta-test tasks that training never met.
        episode_returns: [N, E] float32, the return of each episode in each of these tasks.
        rows: a row of metrics for every chunk of updates.
        folder: the run's; None where it was not kept.
    """

    params: PolicyParams
    state: TrainState
    evaluation: EvaluationRecord
    episode_returns: np.ndarray
    rows: Sequence[MetricsRow]
    folder: Path | None
