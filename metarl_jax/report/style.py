"""The look of every figure: colours by meaning, quiet axes, labels beside what they name.

The hues are those of Okabe and Ito (2008), "Color Universal Design", distinct to colour-blind eyes.
matplotlib is imported when the first figure is made; pyplot and its global state never are.
"""

import dataclasses
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metarl_jax.files import write_whole
from metarl_jax.report.units import round_count

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, FAINT = "#22272B", "#69727A", "#E4E7EA"
BLUE, SKY, GREEN, VERMILION, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#D55E00", "#CC79A7"
MEMORY_COLOURS = {
    "gru": BLUE,
    "lstm": VERMILION,
    "linear-recurrence": GREEN,
    "context-set": SKY,
    "snail": PURPLE,
    "transformer": INK,
}
NAMED_COLOURS = {
    INK: "ink",
    BLUE: "accent",
    SKY: "sky",
    GREEN: "green",
    VERMILION: "vermilion",
    PURPLE: "purple",
    MUTED: "muted",
}
"""Names under which the page has a light and a dark version of a colour."""
SEVERAL = (BLUE, VERMILION, GREEN, PURPLE, SKY, INK)
"""Colours of lines that no meaning tells apart."""
POLICY_COLOURS = {"adaptive": BLUE, "contextual": GREEN, "memoryless": VERMILION}
ROLE_COLOURS = {
    "floor": "#EEF1F3",
    "seen": "#DCEBF5",
    "wall": "#3B444C",
    "goal": "#F2B705",
    "start": "#CBD3D9",
    "force": VERMILION,
}
"""Colours of the shapes of a scene, by what they stand for."""
DASHED, DOTTED = (0, (5, 2.5)), (0, (1, 2))
LABEL_SIZE = 9.0
"""Points, for whatever is written beside a line."""
DPI = 160
FEW_EPISODES = 12
"""Up to so many episodes are drawn as points with bars; more as a line in a band."""


@dataclasses.dataclass(frozen=True)
class Label:
    """Text to stand right of the axes, at height `y` of the data."""

    y: float
    text: str
    colour: str


def css_colour(colour: str) -> str:
    """A colour on the page, in a light and a dark version."""
    if colour in NAMED_COLOURS:
        return f"var(--{NAMED_COLOURS[colour]})"
    return f"light-dark({colour}, color-mix(in srgb, {colour} 55%, #FFFFFF))"


def ordered_colours(count: int) -> list[str]:
    """A colour for each of several values in their order, from dark to light; one alone is blue."""
    if count == 1:
        return [BLUE]
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["viridis"](0.85 * i / (count - 1))).upper() for i in range(count)]


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches; belongs to nobody but the caller."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")


def save_figure(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Writes a PNG of 256 colours, a third of the full one's size, and that at once."""
    from PIL import Image  # matplotlib brings it

    full, small = io.BytesIO(), io.BytesIO()
    figure.savefig(full, format="png")
    Image.open(full).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        small, format="PNG", optimize=True
    )
    write_whole(Path(path), small.getvalue())


def heading(figure: "Figure", title: str, subtitle: str = "") -> None:
    """A bold line at the top left, and a quiet one below it."""
    # An invisible super-title of as many lines makes the layout leave room for both.
    figure.suptitle(" \n " if subtitle else " ", fontsize=12, linespacing=1.35)
    height = figure.get_figheight()
    top = 1 - 0.07 / height
    figure.text(0.008, top, title, ha="left", va="top", fontsize=12, fontweight="bold", color=INK)
    figure.text(
        0.008, top - 0.235 / height, subtitle, ha="left", va="top", fontsize=9.5, color=MUTED
    )


def quiet_legend(figure: "Figure", handles: "Sequence[Artist]") -> None:
    """A row of small grey entries below the figure."""
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=6,
        frameon=False,
        fontsize=8.5,
        labelcolor=MUTED,
        handlelength=1.4,
        columnspacing=1.3,
    )


def quiet_axes(axes: "Axes", *, title: str = "") -> None:
    """Two spines, a faint horizontal grid, small grey ticks."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#B4BBC1")
    axes.tick_params(colors=MUTED, labelsize=8.5, length=3, color="#B4BBC1")
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", fontsize=10, color=INK, pad=7)
    axes.xaxis.label.set(color=MUTED, fontsize=9)
    axes.yaxis.label.set(color=MUTED, fontsize=9)


def step_axis(axes: "Axes", last_step: float) -> None:
    """An x axis of environment steps from 0 on, with ticks as 5 M instead of 5000000."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, min_n_ticks=3))
    axes.xaxis.set_major_formatter(lambda value, _: round_count(value))
    axes.set_xlim(0, 1.02 * max(last_step, 1))
    axes.set_xlabel("environment steps")


def episode_axis(axes: "Axes", num_episodes: int) -> None:
    """Ticks at every episode where they are few."""
    if num_episodes <= FEW_EPISODES:
        axes.set_xticks(range(1, num_episodes + 1))
        axes.set_xlim(0.7, num_episodes + 0.3)
    else:
        axes.set_xlim(1, num_episodes)


def curve_with_interval(
    axes: "Axes",
    x: "np.ndarray",
    mean: "np.ndarray",
    half_width: "np.ndarray",
    colour: str,
    *,
    joined: str = "-",
) -> None:
    """Points with bars, or a line in a band where the points are many. Arrays are [E]."""
    if len(mean) <= FEW_EPISODES or joined == "none":
        look = {"color": colour, "linestyle": joined, "linewidth": 1.8, "capsize": 3}
        axes.errorbar(x, mean, half_width, marker="o", markersize=5, elinewidth=1.6, **look)
    else:
        axes.plot(x, mean, color=colour, linewidth=1.6)
        interval_band(axes, x, mean, half_width, colour)


def interval_band(
    axes: "Axes", x: "np.ndarray", mean: "np.ndarray", half_width: "np.ndarray", colour: str
) -> None:
    """The intervals of a line, as a band around it. Arrays are [P]."""
    low, high = mean - half_width, mean + half_width
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def label_beside(axes: "Axes", labels: Sequence[Label], *, line_height: float = 0.062) -> None:
    """Writes labels right of the axes, each as near to its height as the others leave room.

    Args:
        axes: with its limits settled.
        labels: what to write.
        line_height: the least distance of two labels, as a fraction of the axes' height.
    """
    labels = sorted(labels, key=lambda label: label.y)
    to_axes = axes.transData + axes.transAxes.inverted()
    wanted = [float(to_axes.transform((axes.get_xlim()[0], label.y))[1]) for label in labels]
    heights = spread(wanted, line_height)
    for label, height in zip(labels, heights, strict=True):
        axes.annotate(
            label.text,
            (1, height),
            xycoords="axes fraction",
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=LABEL_SIZE,
            color=label.colour,
            annotation_clip=False,
        )


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Moves ascending heights as little as needed to stand `gap` apart.

    Neighbours that are too close become a block around their common mean, in turn, until no two
    blocks touch: the least-squares solution (isotonic regression of heights less their gaps).
    """
    blocks: list[tuple[float, int]] = []  # mean of (height - rank·gap), members
    for rank, height in enumerate(heights):
        mean, members = height - rank * gap, 1
        while blocks and blocks[-1][0] > mean:
            before, count_before = blocks.pop()
            mean = (mean * members + before * count_before) / (members + count_before)
            members += count_before
        blocks.append((mean, members))
    levels = [mean for mean, members in blocks for _ in range(members)]
    return [level + rank * gap for rank, level in enumerate(levels)]
