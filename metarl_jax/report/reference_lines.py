"""The exact values that a curve is read against: across the axes, or episode by episode."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from metarl_jax.report import style
from metarl_jax.report.style import Label
from metarl_jax.report.units import quantity
from metarl_jax.tasks.distribution import References

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNKNOWN = References()
LEVEL_LOOKS = {
    "Bayes-optimal": (style.INK, style.DASHED),
    "Bayes-optimal mean": (style.INK, style.DASHED),
    "upper bound": (style.INK, style.DOTTED),
    "upper bound, mean": (style.INK, style.DOTTED),
    "task told": (style.GREEN, style.DOTTED),
    "no memory": (style.VERMILION, style.DOTTED),
}


def total_levels(axes: "Axes", references: References) -> list[Label]:
    """A line across the axes for each known return of a whole meta-episode."""
    return _levels(axes, reference_totals(references))


def reference_curves(
    axes: "Axes", references: References, num_episodes: int, drawn: Collection[str] = ()
) -> list[Label]:
    """The returns of each episode that are known exactly.

    Args:
        axes: of returns over episodes 1 to E.
        references: whose lines they are.
        num_episodes: E.
        drawn: names of trained policies that stand for one of the lines already.
    """
    labels = []
    if references.optimal_episodes:
        optimum = references.optimal_episodes[:num_episodes]
        axes.plot(
            range(1, len(optimum) + 1),
            optimum,
            color=style.INK,
            linestyle=style.DASHED,
            linewidth=1.3,
            zorder=3,  # a policy that reaches it would hide it
        )
        labels.append(Label(optimum[-1], f"Bayes-optimal: {quantity(optimum[-1])}", style.INK))
    return labels + _levels(axes, known_means(references, num_episodes, drawn))


def reference_totals(references: References) -> dict[str, float]:
    """The returns of a whole meta-episode that are known, by the names of their lines."""
    return _known(
        {
            "Bayes-optimal": references.optimal_total,
            "upper bound": references.return_upper_bound,
            "task told": references.oracle_total,
            "no memory": references.memoryless_total,
        }
    )


def known_means(
    references: References, num_episodes: int, drawn: Collection[str] = ()
) -> dict[str, float]:
    """Totals as means over E episodes, where no curve of episodes says more of them."""
    totals = {
        "Bayes-optimal mean": None if references.optimal_episodes else references.optimal_total,
        "upper bound, mean": references.return_upper_bound,
        "task told": None if "contextual" in drawn else references.oracle_total,
        "no memory": None if "memoryless" in drawn else references.memoryless_total,
    }
    return {name: total / num_episodes for name, total in _known(totals).items()}


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _levels(axes: "Axes", values: Mapping[str, float]) -> list[Label]:
    """A line across the axes for each value."""
    labels = []
    for name, value in values.items():
        colour, linestyle = LEVEL_LOOKS[name]
        axes.axhline(value, color=colour, linewidth=1.2, linestyle=linestyle, zorder=1.5)
        labels.append(Label(value, f"{name}: {quantity(value)}", colour))
    return labels
