"""Where an evaluation stands among exact values, and whether it can be true."""

from metarl_jax.evaluation import Evaluation
from metarl_jax.statistics import NORMAL_QUANTILE
from metarl_jax.tasks import References
from metarl_jax.types import ConfigurationError

TOO_GOOD = 4.0
"""Standard errors above what is possible: chance does that once in thirty thousand times."""


def highest_total(
    references: References, *, contextual: bool = False, memory_ablated: bool = False
) -> float | None:
    """What no policy of that kind earns more than in a meta-episode; None where nobody knows.

    Args:
        references: of its tasks, with as many episodes.
        contextual: it is told the task.
        memory_ablated: nothing crosses an episode's end.
    """
    if contextual:
        return references.known_task_total
    if memory_ablated:
        return references.memoryless_total
    if references.optimal_total is not None:
        return references.optimal_total
    return references.optimal_bound


def require_possible(evaluation: Evaluation, highest: float, family: str) -> None:
    """Refuses a mean that is too good to be true.

    Raises:
        ConfigurationError: it lies four standard errors above the highest possible one.
    """
    mean = evaluation.total_return_mean
    error = evaluation.total_return_ci95 / NORMAL_QUANTILE
    if mean > highest + TOO_GOOD * error:
        raise ConfigurationError(
            f"{family}: the evaluation leaks: expected a mean return of at most {highest:.4f}, "
            f"which no policy exceeds, got {mean:.4f} ± {error:.4f} (standard error). Something "
            "tells the task (an observation, a reset that draws what is hidden), or the family's "
            "references are wrong."
        )
