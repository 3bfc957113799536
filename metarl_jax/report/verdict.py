"""An evaluation in one line: does the policy adapt, and how far is it from the best?"""

import math

from metarl_jax.evaluation.record import EvaluationRecord
from metarl_jax.report.tables import number, with_interval


def verdict(record: EvaluationRecord) -> str:
    """Says whether a policy adapts, and how far it is from the best return that is known.

    It adapts if the 95% interval of its gain, the return of the last episode less that of the
    first, lies above 0. A policy may also adapt within the first episode and gain nothing after it:
    without a gain it is said not to have learned to adapt only where the returns of other ways of
    acting are known and it falls short of the Bayes optimum.

    Args:
        record: of an evaluation without ablation.

    Returns:
        For instance "adapts: +2.345 ± 0.052 from episode 1 to 4, 99.9% of the Bayes optimum".
    """
    return ", ".join(filter(None, (_adaptation(record), _distance(record))))


def _adaptation(record: EvaluationRecord) -> str:
    if record.policy == "memoryless":
        return "does not adapt: the memoryless policy has no memory to adapt with"
    if record.policy == "contextual":
        return "has no need to adapt: the contextual policy is told the task"
    episodes = len(record.episode_return_mean)
    if episodes == 1:
        return "one episode, so no gain from episode to episode is measured"
    gain, width = record.adaptation_gain, record.adaptation_gain_ci95
    if not math.isfinite(width):
        return "no interval, so whether it adapts is open: evaluate it on more tasks"
    told, span = with_interval(gain, width), f"from episode 1 to {episodes}"
    if gain - width > 0:
        return f"adapts: +{told} {span}"
    if gain + width < 0:
        return f"gets worse: {told} {span}"
    if _is_optimal(record):
        return f"earns the Bayes optimum without a gain {span} ({told})"
    if not record.references.known():  # nothing tells a policy that adapted in the first episode
        return f"no gain {span} ({told}); adaptation within an episode does not show here"
    return f"did not learn to adapt: gain {told} {span}"


def _is_optimal(record: EvaluationRecord) -> bool:
    """Whether the Bayes optimum lies within the interval of the return."""
    optimal = record.references.optimal
    if optimal is None:
        return False
    return optimal - record.total_return_mean <= record.total_return_ci95


def _distance(record: EvaluationRecord) -> str:
    """How far the return is from the best that is known; "" where none is."""
    references, own = record.references, record.total_return_mean
    known = {
        "the oracle return": references.oracle,
        "the upper bound of all policies": references.return_upper_bound,
        "the Bayes optimum": references.optimal,
    }
    if record.policy == "contextual":
        known = {"the oracle return": references.oracle}
    found = [(name, best) for name, best in known.items() if best is not None]
    if not found:
        return ""
    name, best = found[-1]
    if own > 0 and best > 0:
        return f"{own / best:.1%} of {name}"
    return f"return {number(own)} where {name} is {number(best)}"
