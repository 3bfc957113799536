"""A policy with one thing taken away, beside the same policy with nothing taken away."""

import dataclasses
import math

import numpy as np

from metarl_jax.evaluation.record import EvaluationRecord
from metarl_jax.evaluation.statistics import confidence_half_width


@dataclasses.dataclass(frozen=True)
class Ablated:
    """An ablation, and what it changes on the same tasks.

    Attributes:
        record: of the evaluation with one thing taken away.
        change: its return of a meta-episode less that with nothing taken away.
        change_ci95: half-width of the 95% interval, pair by pair; NaN where no pairs are known.
    """

    record: EvaluationRecord
    change: float
    change_ci95: float = math.nan

    @classmethod
    def of(
        cls,
        record: EvaluationRecord,
        plain: EvaluationRecord,
        returns: np.ndarray,
        plain_returns: np.ndarray,
    ) -> "Ablated":
        """An ablation from the returns of both evaluations on each task.

        Easy and hard tasks are the same in both, so the interval of the mean difference is
        narrower than the intervals of the two means tell.

        Args:
            record: of the evaluation with one thing taken away.
            plain: of the evaluation with nothing taken away.
            returns: [N, E] of the first.
            plain_returns: [N, E] of the second, on the same tasks in the same order.
        """
        if returns.shape != plain_returns.shape or not len(returns):
            return cls(record, record.total_return_mean - plain.total_return_mean)
        differences = (returns - plain_returns).sum(axis=1, dtype=np.float64)
        width = float(confidence_half_width(differences[:, None])[0])
        return cls(record, float(differences.mean()), width)
