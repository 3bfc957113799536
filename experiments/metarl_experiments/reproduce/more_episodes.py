"""The figure of what policies do over more episodes than they were trained on."""

import json
from typing import TYPE_CHECKING

import numpy as np

from metarl_experiments.reproduce.results import Rows
from metarl_jax.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def with_more_episodes(rows: Rows) -> Rows:
    """Those that were evaluated over more episodes."""
    return {key: row for key, row in rows.items() if row["more_episodes"]}


def more_episodes_figure(rows: Rows, *, trained_on: int) -> "Figure":
    """Return of each episode, a line for each memory; those trained on are shaded.

    Args:
        rows: of one experiment, evaluated over more episodes.
        trained_on: episodes of a meta-episode of training.
    """
    [experiment] = {key.experiment for key in rows}
    figure = style.new_figure(7.5, 4.2)
    style.heading(
        figure,
        "More episodes than it was trained on",
        f"{experiment}, trained on meta-episodes of {trained_on}; mean return on meta-test tasks",
    )
    axes = figure.add_subplot()
    style.quiet_axes(axes)
    axes.set(xlabel="episode", ylabel="return")
    labels, num_episodes = [], trained_on
    for key, row in rows.items():
        mean, half_width = (
            np.array(json.loads(row[name])) for name in ("more_episodes", "more_episodes_ci95")
        )
        num_episodes, colour = len(mean), style.MEMORY_COLOURS[key.memory]
        episodes = np.arange(1, num_episodes + 1)
        style.curve_with_interval(axes, episodes, mean, half_width, colour)
        labels.append(style.Label(float(mean[-1]), key.memory, colour))
    style.episode_axis(axes, num_episodes)
    axes.axvspan(axes.get_xlim()[0], trained_on + 0.5, color=style.FAINT, alpha=0.5, zorder=0)
    style.label_beside(axes, labels)
    return figure
