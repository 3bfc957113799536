"""An evaluation scored against exact values, and refused where it is too good to be true."""

import dataclasses

import jax
import numpy as np

from metarl_jax.evaluation.evaluation import Evaluation
from metarl_jax.evaluation.statistics import NORMAL_QUANTILE
from metarl_jax.tasks.distribution import References
from metarl_jax.types import ConfigurationError, Task

TOO_GOOD = 4.0
"""Standard errors above what is possible; fewer tasks need more, for as little a chance of it."""

ENOUGH_FOR_A_SLOPE = 100
"""Tasks; of fewer, a control variate moves the mean by more than it tells of it."""

ROUNDING = 1e-5
"""Relative error of a return summed in float32."""


def highest_total(
    references: References, *, contextual: bool = False, memory_ablated: bool = False
) -> float | None:
    """What no policy of that kind earns more than in a meta-episode; None where nobody knows.

    Args:
        references: of its tasks, with as many episodes.
        contextual: it is told the task.
        memory_ablated: nothing crosses an episode's end.
    """
    limits = [references.oracle_total]
    if not contextual:
        limits += [references.optimal_total, references.return_upper_bound]
        limits += [references.memoryless_total] * memory_ablated
    return min((limit for limit in limits if limit is not None), default=None)


def with_control_variate(
    evaluation: Evaluation, references: References, meta_test: Task
) -> Evaluation:
    """The evaluation, its means freed of what easy and hard tasks among the drawn ones do to them.

    Args:
        evaluation: on tasks of p(M), over as many episodes as the references are of.
        references: of its tasks; without a return of known tasks, and with fewer than 100 of them
            to fit the slope to, the evaluation stays as it is.
        meta_test: its tasks, stacked on axis 0.
    """
    if references.oracle_return is None or references.oracle_total is None:
        return evaluation
    if evaluation.num_tasks < ENOUGH_FOR_A_SLOPE:
        return evaluation
    known = np.asarray(jax.vmap(references.oracle_return)(meta_test), np.float64)
    return dataclasses.replace(evaluation, control=known - references.oracle_total)


@dataclasses.dataclass(frozen=True)
class Scores:
    """How far a policy is from the best one, in total returns of a meta-episode.

    Attributes:
        best: the Bayes-optimal return; of a policy that is told the task, or where that optimum is
            unknown, the best return with the task known.
        regret: best less the mean.
        normalized_score: (mean - random) / (best - random): 0 at random, 1 at best; None where one
            of them is unknown.
        normalized_score_ci95: half-width of its 95% interval.
    """

    best: float
    regret: float
    normalized_score: float | None
    normalized_score_ci95: float | None


def scores_of(
    evaluation: Evaluation, references: References, *, contextual: bool = False
) -> Scores | None:
    """Scores an evaluation; None where no best return is known.

    Args:
        evaluation: of the references' tasks, over as many episodes.
        references: of its tasks.
        contextual: the policy is told the task.
    """
    optimal = None if contextual else references.optimal_total
    best = references.oracle_total if optimal is None else optimal
    if best is None:
        return None
    regret, worst = best - evaluation.total_return_mean, references.random_total
    if worst is None or best <= worst:
        return Scores(best, regret, None, None)
    width = evaluation.total_return_ci95 / (best - worst)
    return Scores(best, regret, 1 - regret / (best - worst), width)


def require_possible(evaluation: Evaluation, highest: float, family: str) -> None:
    """Refuses a mean that is too good to be true.

    That is four standard errors above the highest possible one; of few tasks as many as Student's
    distribution of N - 1 degrees of freedom exceeds as seldom. One task alone is let pass.

    Raises:
        ConfigurationError: it is.
    """
    from scipy.special import ndtr, stdtrit

    mean = evaluation.total_return_mean
    error = evaluation.total_return_ci95 / NORMAL_QUANTILE
    allowed = error * stdtrit(evaluation.num_tasks - 1, ndtr(TOO_GOOD))
    if mean > highest + allowed + ROUNDING * max(1.0, abs(highest)):
        raise ConfigurationError(
            f"{family}: the evaluation leaks: expected a mean return of at most {highest:.4f}, "
            f"which no policy exceeds, got {mean:.4f} ± {error:.4f} (standard error). Something "
            "tells the task (an observation, a reset that draws what is hidden), or the family's "
            "references are wrong."
        )
