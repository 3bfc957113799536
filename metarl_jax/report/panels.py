"""The picture of what a policy did: planes with paths, or time series, one row of them a task."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metarl_jax.report import style
from metarl_jax.report.behaviour import Behaviour
from metarl_jax.report.planes import draw_plane, time_colours
from metarl_jax.report.style import ROLE_COLOURS
from metarl_jax.report.units import quantity
from metarl_jax.tasks.scene import Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TARGET = "target"
"""A time series of this name is what another shall follow; it is drawn dashed, in ink."""
SERIES_COLOURS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.SKY)
TEXT_WIDTH = 20
"""Letters of a task's text in a line beside a plane."""
MOST_EPISODES, MOST_TASKS = 6, 4
"""Planes drawn in a row and rows of them; of more episodes, the first ones and the last."""


def behaviour_figure(behaviour: Behaviour, *, title: str) -> "Figure":
    """Draws planes where the scenes have them, else time series.

    Args:
        behaviour: what was done.
        title: what is shown.

    Raises:
        ValueError: a scene has neither a plane nor a time series.
    """
    first = behaviour.scenes[0][0]
    if first.bounds is not None:
        return _plane_figure(behaviour, title)
    if first.series:
        return _series_figure(behaviour, title)
    raise ValueError(
        f"{behaviour.family}: a scene must have bounds (a plane) or series (time series), got one "
        "with neither; set one of them in the family's scene function."
    )


def _plane_figure(behaviour: Behaviour, title: str) -> "Figure":
    num_tasks, num_episodes = behaviour.returns.shape
    tasks = np.linspace(0, num_tasks - 1, min(num_tasks, MOST_TASKS)).round().astype(int)
    episodes = _shown_episodes(num_episodes)
    side = 1.45
    size = max(side * len(episodes) + 0.6, 5.6), (side + 0.22) * len(tasks) + 0.95
    figure = style.new_figure(*size)
    style.heading(figure, title, "one meta-test task a row; the path runs from light to dark")
    grid = figure.subplots(len(tasks), len(episodes), squeeze=False)
    for row, task in zip(grid, tasks, strict=True):
        for axes, episode in zip(row, episodes, strict=True):
            scenes = behaviour.scenes[task]
            earlier = [scene.path for scene in scenes[:episode] if scene.path is not None]
            draw_plane(axes, scenes[episode], earlier=earlier)
            if episode == 0:
                axes.set_ylabel(textwrap.fill(scenes[0].task, TEXT_WIDTH), fontsize=8.5)
            if task == tasks[0]:
                axes.set_title(f"episode {episode + 1}", fontsize=10, color=style.INK, pad=5)
            axes.set_xlabel(
                f"return {quantity(float(behaviour.returns[task, episode]))}",
                fontsize=8.5,
                color=style.MUTED,
                labelpad=2,
            )
    _plane_legend(figure, behaviour)
    return figure


def _shown_episodes(num_episodes: int) -> Sequence[int]:
    if num_episodes <= MOST_EPISODES:
        return range(num_episodes)
    return [*range(MOST_EPISODES - 1), num_episodes - 1]


def _plane_legend(figure: "Figure", behaviour: Behaviour) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    roles = {shape.role for task in behaviour.scenes for scene in task for shape in scene.shapes}
    first = behaviour.scenes[0][0]
    remembers = first.path is not None and ("floor" in roles or first.sight is not None)
    squares = [
        Patch(facecolor=colour, label="seen so far" if role == "seen" else role)
        for role, colour in ROLE_COLOURS.items()
        if role in roles - {"floor"} or (role == "seen" and remembers)
    ]
    ends = [
        Line2D([], [], linestyle="", marker="o", markersize=5, label=label, **look)
        for label, look in {
            "first position": {"markerfacecolor": "white", "markeredgecolor": style.SKY},
            "last position": {"color": time_colours()(1.0)},
        }.items()
    ]
    style.quiet_legend(figure, [*squares, *ends])


def _series_figure(behaviour: Behaviour, title: str) -> "Figure":
    num_tasks = len(behaviour.scenes)
    columns = 2 if num_tasks > 1 else 1
    rows = -(-num_tasks // columns)
    figure = style.new_figure(4.6 * columns, 1.8 * rows + 0.75)
    returns = ", with their returns" if 2 < behaviour.returns.shape[1] <= MOST_EPISODES else ""
    subtitle = f"one meta-test task a panel, its episodes one after the other{returns}"
    style.heading(figure, title, subtitle)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    panels = list(grid.flat)
    for number, (axes, scenes) in enumerate(zip(panels, behaviour.scenes, strict=False)):
        style.quiet_axes(axes)
        draw_series(axes, scenes, _words(behaviour.returns[number]))
        axes.set_title(scenes[0].task, loc="left", fontsize=9, color=style.INK, pad=15)
        axes.set(ylabel=axis_name(scenes[0]) if number % columns == 0 else "")
        axes.set(xlabel="step" if number >= num_tasks - columns else "")
    for axes in panels[num_tasks:]:
        axes.set_visible(False)
    _series_legend(figure, behaviour.scenes[0][0])
    return figure


def _words(returns: np.ndarray) -> list[str]:
    """The return of each episode, in as many words as there is room for."""
    if len(returns) > MOST_EPISODES:
        return []
    form = "episode {}: return {}" if len(returns) <= 2 else "{}: {}"
    return [form.format(i + 1, quantity(float(x))) for i, x in enumerate(returns)]


def axis_name(scene: Scene) -> str:
    """What a scene's time series measure."""
    names = [name for name in scene.series if name != TARGET]
    name = names[0] if len(names) == 1 else "value"
    return f"{name}, {scene.unit}" if scene.unit else name


def draw_series(axes: "Axes", scenes: Sequence[Scene], words: Sequence[str] = ()) -> None:
    """Draws time series of episodes one after the other.

    Args:
        axes: empty ones.
        scenes: of some episodes.
        words: above each of these episodes; none by default.
    """
    begin = 0
    for episode, scene in enumerate(scenes):
        values = {name: np.asarray(series) for name, series in scene.series.items()}
        end = begin + max(map(len, values.values()))
        for (name, series), (colour, linestyle, width) in zip(
            values.items(), _looks(scene).values(), strict=True
        ):
            steps = np.arange(begin, begin + len(series)) + 1
            axes.plot(steps, series, color=colour, linestyle=linestyle, linewidth=width, label=name)
        if episode:
            axes.axvline(begin + 0.5, color=style.MUTED, linewidth=0.9)
        axes.annotate(
            words[episode] if words else "",
            ((begin + end) / 2, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8.5,
            color=style.MUTED,
        )
        begin = end
    axes.set_xlim(0, begin + 1)


def _looks(scene: Scene) -> dict[str, tuple[str, object, float]]:
    """Colour, line style and width of each series."""
    others = [name for name in scene.series if name != TARGET]
    looks = {
        name: (SERIES_COLOURS[i % len(SERIES_COLOURS)], "-", 1.3) for i, name in enumerate(others)
    }
    return {name: looks.get(name, (style.INK, style.DASHED, 1.2)) for name in scene.series}


def _series_legend(figure: "Figure", scene: Scene) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, linestyle=linestyle, linewidth=width, label=name)  # type: ignore[arg-type]
        for name, (colour, linestyle, width) in _looks(scene).items()
    ]
    style.quiet_legend(figure, handles)
