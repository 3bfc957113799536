"""Where an evaluation stands among exact values, and whether it can be true."""

from metarl_jax.evaluation import Evaluation
from metarl_jax.statistics import NORMAL_QUANTILE
from metarl_jax.tasks import References
from metarl_jax.types import ConfigurationError

TOO_GOOD = 4.0
"""Standard errors above what is possible; fewer tasks need more, for as little a chance of it."""

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
    limits = [references.known_task_total]
    if not contextual:
        limits += [references.optimal_total, references.optimal_bound]
        limits += [references.memoryless_total] * memory_ablated
    return min((limit for limit in limits if limit is not None), default=None)


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
