"""The exact values that a curve is read against, by the names of their lines."""

from collections.abc import Collection, Mapping

from metarl_jax.report import style
from metarl_jax.report.chart import Level
from metarl_jax.tasks.distribution import References

UNKNOWN = References()


def total_levels(references: References) -> tuple[Level, ...]:
    """The returns of a whole meta-episode that are known."""
    return _levels(
        {
            "Bayes-optimal": references.optimal_total,
            "upper bound": references.return_upper_bound,
            "oracle": references.oracle_total,
            "best without memory": references.memoryless_total,
        }
    )


def mean_levels(
    references: References, num_episodes: int, drawn: Collection[str] = ()
) -> tuple[Level, ...]:
    """Known returns of a meta-episode as means over its episodes.

    Args:
        references: what is known.
        num_episodes: E.
        drawn: names of trained policies that stand for one of the lines already.
    """
    totals = {
        # A curve of the optimum's episodes says more than its mean.
        "Bayes-optimal mean": None if references.optimal_episodes else references.optimal_total,
        "upper bound, mean": references.return_upper_bound,
        "oracle": None if "contextual" in drawn else references.oracle_total,
        "best without memory": None if "memoryless" in drawn else references.memoryless_total,
        "random actions": references.random_total,
    }
    return _levels({n: t if t is None else t / num_episodes for n, t in totals.items()})


LOOKS = {"Bayes-optimal": style.INK, "upper bound": style.INK} | {
    "oracle": style.GREEN,
    "best without memory": style.VERMILION,
    "random actions": style.MUTED,
}
"""Colours of the levels, by how their names begin."""


def _levels(values: Mapping[str, float | None]) -> tuple[Level, ...]:
    return tuple(
        Level(
            name=name,
            y=float(y),
            colour=next(colour for start, colour in LOOKS.items() if name.startswith(start)),
            look="dashed" if name.startswith("Bayes-optimal") else "dotted",
        )
        for name, y in values.items()
        if y is not None
    )
