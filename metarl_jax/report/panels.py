"""The picture of what a policy did: planes with paths, or time series, one row of them a task."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metarl_jax.report import style
from metarl_jax.report.behaviour import Behaviour
from metarl_jax.report.units import quantity
from metarl_jax.tasks.scene import Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

ROLE_COLOURS = {"floor": "#EEF1F3", "wall": "#3B444C", "goal": "#F2B705", "start": "#CBD3D9"}
TARGET = "target"
"""A time series of this name is what another shall follow; it is drawn dashed, in ink."""
SERIES_COLOURS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.SKY)
MOST_EPISODES, MOST_TASKS = 6, 4
"""Planes drawn in a row and rows of them; of more episodes, the first ones and the last."""
DRIFT = 0.42
"""How far a path is moved aside from its first to its last step, in steps of its own length."""


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
    figure = style.new_figure(
        max(side * len(episodes) + 0.4, 5.2), (side + 0.22) * len(tasks) + 0.95
    )
    style.heading(figure, title, "one meta-test task a row; the path runs from light to dark")
    grid = figure.subplots(len(tasks), len(episodes), squeeze=False)
    for row, task in zip(grid, tasks, strict=True):
        for axes, episode in zip(row, episodes, strict=True):
            _plane_panel(axes, behaviour.scenes[task][episode])
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


def _plane_panel(axes: "Axes", scene: Scene) -> None:
    from matplotlib.patches import Rectangle

    assert scene.bounds is not None
    x0, y0, x1, y1 = scene.bounds
    axes.set(xlim=(x0, x1), ylim=(y0, y1), aspect="equal", xticks=(), yticks=())
    axes.spines[:].set_visible(False)
    for shape in scene.shapes:
        corner, colour = (shape.x, shape.y), ROLE_COLOURS[shape.role]
        axes.add_patch(Rectangle(corner, shape.width, shape.height, facecolor=colour, linewidth=0))
    if scene.path is not None:
        _draw_path(axes, separate_laps(np.asarray(scene.path, np.float64)))


def separate_laps(path: np.ndarray) -> np.ndarray:
    """Moves a path [h + 1, 2] aside little by little, so that revisits show as tracks of their own.

    The shift grows along both axes, in all by `DRIFT` median steps, in one step by an eighth of it
    at most. An axis takes it up only in a step along it, which keeps straight ways straight, or in
    one that turns back. A path that never comes back to exactly where it was is left as it is.
    """
    moves = np.diff(path, axis=0)  # [h, 2]
    lengths = np.linalg.norm(moves, axis=1)
    places = path[np.concatenate([[True], lengths > 0])]  # staying is no coming back
    if len(np.unique(places, axis=0)) == len(places):
        return path
    shift = DRIFT * float(np.median(lengths[lengths > 0])) * min(1.0, len(moves) / 8)
    turns_back = np.zeros((len(moves), 1), bool)
    turns_back[1:, 0] = np.all(moves[1:] == -moves[:-1], axis=1)
    takes_up = np.concatenate([np.zeros((1, 2), bool), (moves != 0) | turns_back])
    time = np.arange(len(path))[:, None]
    since = np.maximum.accumulate(np.where(takes_up, time, 0), axis=0)  # [h + 1, 2]
    return path + shift * (since / len(moves) - 0.5)


def _draw_path(axes: "Axes", path: np.ndarray) -> None:
    from matplotlib.collections import LineCollection

    segments = np.stack([path[:-1], path[1:]], axis=1)  # [h, 2, 2]
    time = np.linspace(0, 1, len(path))
    lines = LineCollection(list(segments), cmap=_time_colours(), linewidths=2.0, capstyle="round")
    lines.set_array(time[1:])
    axes.add_collection(lines, autolim=False)
    axes.scatter(path[:, 0], path[:, 1], c=time, cmap=_time_colours(), s=7, linewidths=0, zorder=3)
    axes.scatter(*path[:1].T, s=26, facecolor="white", edgecolor=style.SKY, linewidth=1.4, zorder=4)
    axes.scatter(*path[-1:].T, s=34, facecolor=_time_colours()(1.0), linewidth=0, zorder=5)


def _time_colours() -> "Colormap":
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("time", ("#79C3EC", "#1C78B5", "#0A2540"))


def _plane_legend(figure: "Figure", behaviour: Behaviour) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    roles = {shape.role for task in behaviour.scenes for scene in task for shape in scene.shapes}
    squares = [
        Patch(facecolor=colour, label=role)
        for role, colour in ROLE_COLOURS.items()
        if role in roles - {"floor"}
    ]
    ends = [
        Line2D([], [], linestyle="", marker="o", markersize=5, label=label, **look)
        for label, look in {
            "first position": {"markerfacecolor": "white", "markeredgecolor": style.SKY},
            "last position": {"color": _time_colours()(1.0)},
        }.items()
    ]
    figure.legend(
        handles=[*squares, *ends],
        loc="outside lower left",
        ncols=5,
        frameon=False,
        fontsize=8.5,
        labelcolor=style.MUTED,
        handlelength=1.0,
        columnspacing=1.3,
    )


def _series_figure(behaviour: Behaviour, title: str) -> "Figure":
    num_tasks = len(behaviour.scenes)
    columns = 2 if num_tasks > 1 else 1
    rows = -(-num_tasks // columns)
    figure = style.new_figure(4.6 * columns, 1.65 * rows + 0.75)
    style.heading(figure, title, "one meta-test task a panel, its episodes one after the other")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    panels = list(grid.flat)
    for number, (axes, scenes) in enumerate(zip(panels, behaviour.scenes, strict=False)):
        style.quiet_axes(axes)
        _series_panel(axes, scenes, behaviour.returns[number])
        axes.set(ylabel=_axis_name(scenes[0]) if number % columns == 0 else "")
        axes.set(xlabel="step" if number >= num_tasks - columns else "")
    for axes in panels[num_tasks:]:
        axes.set_visible(False)
    _series_legend(figure, behaviour.scenes[0][0])
    return figure


def _axis_name(scene: Scene) -> str:
    names = [name for name in scene.series if name != TARGET]
    name = names[0] if len(names) == 1 else "value"
    return f"{name}, {scene.unit}" if scene.unit else name


def _series_panel(axes: "Axes", scenes: Sequence[Scene], returns: np.ndarray) -> None:
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
            f"episode {episode + 1}: return {quantity(float(returns[episode]))}",
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
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=5,
        frameon=False,
        fontsize=8.5,
        labelcolor=style.MUTED,
    )
