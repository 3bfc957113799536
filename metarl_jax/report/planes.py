"""A plane on matplotlib's axes: what lies in it, what the agent has seen of it, and its path."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metarl_jax.report import style
from metarl_jax.report.style import ROLE_COLOURS
from metarl_jax.tasks.scene import Circle, Rectangle, Scene, Shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.patches import Patch

DRIFT = 0.42
"""How far a path is moved aside from its first to its last step, in steps of its own length."""
MARGIN = 0.04
"""How far outside of a cell, in its sides, a path still enters it."""


def draw_plane(
    axes: "Axes", scene: Scene, *, earlier: Sequence[np.ndarray] = (), steps: int | None = None
) -> None:
    """Draws a scene with bounds.

    Args:
        axes: empty ones.
        scene: of one episode.
        earlier: paths [h + 1, 2] of the episodes before it, where the agent has seen something too.
        steps: of the episode that have been done; all of them by default.
    """
    assert scene.bounds is not None
    x0, y0, x1, y1 = scene.bounds
    axes.set(xlim=(x0, x1), ylim=(y0, y1), aspect="equal", xticks=(), yticks=())
    axes.spines[:].set_visible(False)
    done = None if steps is None else steps + 1
    paths = [*earlier, *([scene.path[:done]] if scene.path is not None else [])]
    known = np.concatenate([np.zeros((0, 2)), *paths])
    if scene.sight is not None:
        axes.set_facecolor(ROLE_COLOURS["floor"])
        _draw_sight(axes, [_along(path, scene.sight / 4) for path in paths], scene.sight)
    for shape in scene.shapes:
        seen = shape.role == "floor" and _enters(known, shape)
        axes.add_patch(_patch(shape, ROLE_COLOURS.get("seen" if seen else shape.role, style.MUTED)))
    if scene.scale_bar is not None:
        _draw_scale_bar(axes, scene)
    if scene.path is not None:
        _draw_path(axes, separate_laps(np.asarray(scene.path, np.float64)), done)


def _enters(path: np.ndarray, shape: Shape) -> bool:
    if not isinstance(shape, Rectangle):
        return False
    margin = MARGIN * min(shape.width, shape.height)
    low = np.array([shape.x, shape.y])
    high = low + [shape.width, shape.height]
    return bool(np.any(np.all((path >= low - margin) & (path <= high + margin), axis=1)))


def _patch(shape: Shape, colour: str) -> "Patch":
    from matplotlib import patches

    if isinstance(shape, Rectangle):
        place = ((shape.x, shape.y), shape.width, shape.height)
        return patches.Rectangle(*place, facecolor=colour, linewidth=0)
    if isinstance(shape, Circle):
        return patches.Circle((shape.x, shape.y), shape.radius, facecolor=colour, linewidth=0)
    ends = (shape.x, shape.y), (shape.x + shape.dx, shape.y + shape.dy)
    look = patches.ArrowStyle("-|>", head_length=4, head_width=2.5)
    return patches.FancyArrowPatch(
        *ends, arrowstyle=look, color=colour, linewidth=1.6, shrinkA=0, shrinkB=0
    )


def _along(path: np.ndarray, distance: float) -> np.ndarray:
    """A path with places between its own, none farther than a distance from the next."""
    longest = np.linalg.norm(np.diff(path, axis=0), axis=1).max(initial=0.0)
    parts = max(1, int(np.ceil(longest / distance)))
    own, finer = np.arange(len(path)), np.arange((len(path) - 1) * parts + 1) / parts
    return np.stack([np.interp(finer, own, side) for side in path.T], axis=1)


def _draw_sight(axes: "Axes", paths: Sequence[np.ndarray], sight: float) -> None:
    """Discs around every place of some paths: all that was seen."""
    from matplotlib.collections import EllipseCollection

    places = np.concatenate([np.zeros((0, 2)), *paths])
    width = np.full(len(places), 2 * sight)
    seen = EllipseCollection(
        width,
        width,
        np.zeros(len(places)),
        units="xy",
        offsets=places,
        offset_transform=axes.transData,
        facecolors=ROLE_COLOURS["seen"],
        linewidths=0,
        zorder=0.5,
    )
    axes.add_collection(seen, autolim=False)


def _draw_scale_bar(axes: "Axes", scene: Scene) -> None:
    """A bar at the lower right, its name above it."""
    assert scene.bounds is not None and scene.scale_bar is not None
    x0, y0, x1, y1 = scene.bounds
    right, low = x1 - 0.05 * (x1 - x0), y0 + 0.06 * (y1 - y0)
    left = right - scene.scale_bar.length
    axes.plot([left, right], [low, low], color=style.INK, linewidth=1.6, solid_capstyle="butt")
    axes.annotate(
        scene.scale_bar.name,
        ((left + right) / 2, low),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=7.5,
        color=style.INK,
    )


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


def _draw_path(axes: "Axes", path: np.ndarray, done: int | None) -> None:
    from matplotlib.collections import LineCollection

    time = np.linspace(0, 1, len(path))[:done]
    path = path[:done]
    segments = np.stack([path[:-1], path[1:]], axis=1)  # [h, 2, 2]
    lines = LineCollection(list(segments), cmap=time_colours(), linewidths=2.0, capstyle="round")
    lines.set_array(time[1:])
    lines.set_clim(0, 1)
    axes.add_collection(lines, autolim=False)
    axes.scatter(*path.T, c=time, cmap=time_colours(), vmin=0, vmax=1, s=7, linewidths=0, zorder=3)
    axes.scatter(*path[:1].T, s=26, facecolor="white", edgecolor=style.SKY, linewidth=1.4, zorder=4)
    axes.scatter(*path[-1:].T, s=34, facecolor=time_colours()(1.0), linewidth=0, zorder=5)


def time_colours() -> "Colormap":
    """The colours of a path, from its first to its last step."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("time", ("#79C3EC", "#1C78B5", "#0A2540"))
