"""A film of what a policy did in a few tasks, beside each other, as a GIF or an MP4."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metarl_jax.report import style
from metarl_jax.report.behaviour import Recording, scenes_of
from metarl_jax.report.panels import axis_name, draw_series
from metarl_jax.report.planes import draw_plane
from metarl_jax.report.units import quantity
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.scene import Limbs, Scene
from metarl_jax.types import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.animation import AbstractMovieWriter
    from matplotlib.axes import Axes

FORMATS = (".gif", ".mp4")
WHOLE_SECONDS = 20
"""How long a film takes at the rate chosen for it, where that is neither too slow nor too fast."""
SLOWEST, FASTEST = 3.0, 30.0
REST_SECONDS = 0.5
"""How long the picture rests at the end of an episode."""
MOST_FRAMES = 600
DPI = 100


@dataclasses.dataclass(frozen=True)
class Play:
    """A recorded meta-episode.

    Attributes:
        scenes: of its E episodes.
        rewards: of each episode's h steps.
        actions: alike.
    """

    scenes: tuple[Scene, ...]
    rewards: tuple[np.ndarray, ...]
    actions: tuple[np.ndarray, ...]

    @property
    def moments(self) -> list[tuple[int, int]]:
        """(episode, steps done) of each frame, from the start of the first episode."""
        return [(e, t) for e, pay in enumerate(self.rewards) for t in range(len(pay) + 1)]

    def return_until(self, episode: int, steps: int) -> float:
        """Of the episodes before, and of the steps done in this one."""
        before = sum(float(pay.sum()) for pay in self.rewards[:episode])
        return before + float(self.rewards[episode][:steps].sum())


def play_of(tasks: TaskDistribution, recording: Recording, task: int) -> Play:
    """One of the recorded meta-episodes.

    Raises:
        ConfigurationError: the family draws no scenes.
    """
    scenes = scenes_of(tasks, recording, task)
    steps = [recording.episode[:, task] == number for number in range(len(scenes))]
    return Play(
        scenes,
        tuple(recording.rewards[own, task] for own in steps),
        tuple(recording.actions[own, task] for own in steps),
    )


def write_video(path: Path, plays: Sequence[Play], *, title: str, fps: float | None = None) -> None:
    """Writes a film of some meta-episodes, each in a panel of its own.

    Args:
        path: of the film; its ending is `.gif` or `.mp4`.
        plays: at least one.
        title: above the panels.
        fps: frames, steps of the tasks, in a second; by default the film takes about 20 seconds.

    Raises:
        ConfigurationError: the format is another, or is MP4 and ffmpeg is missing.
    """
    writer_type = film_format(path)
    moments = [play.moments for play in plays]
    number = max(map(len, moments))
    rate = fps or float(np.clip(number / WHOLE_SECONDS, SLOWEST, FASTEST))
    width, height = (5.2, 3.2) if plays[0].scenes[0].bounds is None else (3.6, 4.1)
    figure = style.new_figure(max(width * len(plays), 4.4), height + 0.5)
    figure.set_dpi(DPI)
    style.heading(figure, title)
    panels = figure.subplots(1, len(plays), squeeze=False)[0]
    writer = writer_type(fps=rate)  # type: ignore[arg-type]  # a fraction is understood too
    with writer.saving(figure, str(path), DPI):
        for frame in _frames(moments, rate):
            for axes, play, own in zip(panels, plays, moments, strict=True):
                axes.clear()
                style.quiet_axes(axes)
                _draw_moment(axes, play, *own[min(frame, len(own) - 1)])
            writer.grab_frame()


def film_format(path: Path) -> "type[AbstractMovieWriter]":
    """What writes a film of this name.

    Raises:
        ConfigurationError: the format is another than GIF or MP4, or is MP4 and ffmpeg is missing.
    """
    from matplotlib.animation import FFMpegWriter, PillowWriter

    if path.suffix.lower() not in FORMATS:
        raise ConfigurationError(
            f"expected a file that ends in {' or '.join(FORMATS)}, got {str(path)!r}; give its "
            "name such an ending."
        )
    if path.suffix.lower() == ".gif":
        return PillowWriter
    if not FFMpegWriter.isAvailable():
        raise ConfigurationError(
            f"expected ffmpeg on the path to write {str(path)!r}, found none; install ffmpeg, or "
            "write a .gif, which needs nothing."
        )
    return FFMpegWriter


def _frames(moments: Sequence[Sequence[tuple[int, int]]], rate: float) -> list[int]:
    """Which moments are shown: all, or some of very many; the last of an episode rests."""
    longest = max(moments, key=len)
    shown = np.linspace(0, len(longest) - 1, min(len(longest), MOST_FRAMES)).round().astype(int)
    ends = [i for i in range(len(longest)) if i + 1 == len(longest) or longest[i + 1][1] == 0]
    # Where an episode is a step or two, a rest after each would be most of the film.
    rests = round(REST_SECONDS * rate) if len(longest) > 5 * len(ends) else 0
    return sorted([*shown.tolist(), *ends * rests])


def _draw_moment(axes: "Axes", play: Play, episode: int, steps: int) -> None:
    scene = play.scenes[episode]
    pay = play.return_until(episode, steps)
    words = f"episode {episode + 1} of {len(play.scenes)}, step {steps}, return {quantity(pay)}"
    axes.set_title(f"{scene.task}\n{words}".strip(), loc="left", fontsize=9, color=style.INK)
    if scene.bounds is not None:
        earlier = [one.path for one in play.scenes[:episode] if one.path is not None]
        draw_plane(axes, scene, earlier=earlier, steps=steps)
    elif scene.limbs is not None:
        _draw_body(axes, scene, scene.limbs, steps)
    elif scene.choices:
        _draw_choices(axes, play, episode, steps)
    else:
        _draw_series_so_far(axes, play, episode, steps)


def _draw_body(axes: "Axes", scene: Scene, limbs: Limbs, steps: int) -> None:
    """Rods on the ground, the view running along; what moves beside them is a line."""
    ends = limbs.ends[steps]  # [K, 2, 2]
    centre = float(ends[..., 0].mean())
    reach = 1.6 * float(np.ptp(limbs.ends[..., 0], axis=(1, 2)).max())
    low, high = min(0.0, limbs.ends[..., 1].min()), limbs.ends[..., 1].max()
    axes.set(xlim=(centre - reach, centre + reach), ylim=(low - 0.3, high + 0.5), aspect="equal")
    axes.set(yticks=(), xlabel="m")
    axes.axhline(0, color=style.MUTED, linewidth=1)
    for name, places in scene.markers.items():
        place = float(np.clip(places[steps, 0], centre - 0.97 * reach, centre + 0.97 * reach))
        axes.axvline(place, color=style.ROLE_COLOURS["goal"], linewidth=2)
        axes.text(place, high + 0.4, name, ha="center", va="top", fontsize=8, color=style.INK)
    points_per_unit = axes.get_window_extent().width / (2 * reach) * 72 / DPI
    for (start, end), width in zip(ends, limbs.widths, strict=True):
        thickness = max(2.0, float(width) * points_per_unit)
        axes.plot(
            *zip(start, end, strict=True),
            color=style.BLUE,
            linewidth=thickness,
            solid_capstyle="round",
        )


def _draw_choices(axes: "Axes", play: Play, episode: int, steps: int) -> None:
    """How often each was chosen so far, beside what each is worth."""
    chosen = np.concatenate([*play.actions[:episode], play.actions[episode][:steps]]).astype(int)
    choices = play.scenes[0].choices
    counts = np.bincount(chosen, minlength=len(choices))
    worth = np.array([choice.worth for choice in choices])
    best = int(worth.argmax())
    colours = [style.GREEN if i == best else style.SKY for i in range(len(choices))]
    axes.bar(range(len(choices)), counts, color=colours)
    total = sum(map(len, play.actions))
    axes.set(ylim=(0, 1.05 * total), ylabel="times chosen; green: the best")
    few = len(choices) <= 12
    axes.set_xticks(range(len(choices)) if few else ())
    if few:
        axes.set_xticklabels([f"{choice.name}\n{choice.worth:.2f}" for choice in choices], size=8)


def _draw_series_so_far(axes: "Axes", play: Play, episode: int, steps: int) -> None:
    now = play.scenes[episode]
    so_far = {name: series[:steps] for name, series in now.series.items()}
    scenes = [*play.scenes[:episode], dataclasses.replace(now, series=so_far)]
    draw_series(axes, scenes)
    values = np.concatenate([x for one in play.scenes for x in one.series.values()])
    room = 0.05 * float(np.ptp(values)) or 0.5
    axes.set(ylim=(values.min() - room, values.max() + room), ylabel=axis_name(now), xlabel="step")
    axes.set_xlim(0, sum(map(len, play.rewards)) + 1)
