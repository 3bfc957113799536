"""The live view of a run: a bar, a table of returns, a line of diagnostics."""

import dataclasses
import time
from collections.abc import Sequence

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, Group, RenderResult
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from metarl_jax.report.numbers import count, duration, quantity
from metarl_jax.report.progress import Progress

FEW_EPISODES = 5
"""Up to so many episodes have a column each; of more, the first, the last and the total."""
DIAGNOSTICS = {
    "entropy": "entropy",
    "value_error": "value error",
    "gradient_norm": "gradient norm",
    "skipped": "skipped updates",
}
BARS = "▁▂▃▄▅▆▇█"
MOST_BARS = 24
WIDTH = 96


@dataclasses.dataclass(frozen=True)
class LiveView:
    """Draws itself anew at each refresh, so that the time left counts down between two rows.

    Attributes:
        progress: where the run stands.
        waiting_for: why nothing moves; "" when something does.
    """

    progress: Progress
    waiting_for: str = ""

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> RenderResult:
        """Yields what rich shall draw."""
        width = min(options.max_width, WIDTH)
        if self.waiting_for:
            yield Text(f" {self.waiting_for}", style="dim")
            if not self.progress.env_steps:
                return
        parts = [_bar(self.progress, width - 2), Text(), _returns(self.progress), Text()]
        parts.append(_diagnostics(self.progress))
        yield Padding(Group(*parts), (0, 1))


def _bar(progress: Progress, width: int) -> Table:
    """Bar, percentage, steps, speed and time left, in one line."""
    steps = count(progress.env_steps)
    if progress.total_env_steps:
        steps += f" / {count(progress.total_env_steps)}"
    notes = [f"{steps} steps"]
    if progress.steps_per_second:
        notes.append(f"{count(progress.steps_per_second)}/s")
    left = progress.seconds_left(time.monotonic())
    if left is not None and progress.fraction != 1:
        notes.append(f"{duration(left)} left")
    note = Text("  ·  ".join(notes), style="dim", no_wrap=True)
    line = Table.grid(padding=(0, 2))
    fraction = progress.fraction
    if fraction is None:
        line.add_row(note)
        return line
    bar = ProgressBar(
        total=1.0,
        completed=fraction,
        width=max(10, width - note.cell_len - 8),
        complete_style="blue",
        finished_style="blue",
    )
    line.add_row(bar, Text(f"{fraction:4.0%}", style="bold"), note)
    return line


def _returns(progress: Progress) -> Table:
    """A row for meta-test tasks, a row for the tasks trained on."""
    num_episodes = max(len(progress.meta_test), 1)
    shown = _shown_episodes(num_episodes) if progress.meta_test else [0, -1]
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("return")
    for episode in shown:
        known = bool(progress.meta_test)
        name = f"episode {range(num_episodes)[episode] + 1}" if known else ("first", "last")[episode]
        table.add_column(name, justify="right")
    table.add_column("total", justify="right")
    table.add_column("")
    if progress.meta_test:
        values = [quantity(progress.meta_test[episode]) for episode in shown]
        total = Text(quantity(sum(progress.meta_test)), style="bold")
        note = Text(f"{sparkline(progress.history)}  ", style="blue").append(
            f"at {count(progress.meta_test_steps)}", style="dim"
        )
        table.add_row("meta-test", *(Text(value, style="bold") for value in values), total, note)
    table.add_row(Text("training", style="dim"), *_training(progress, shown, num_episodes))
    return table


def _training(progress: Progress, shown: Sequence[int], num_episodes: int) -> list[Text]:
    names = {0: "return_first_episode", num_episodes - 1: "return_last_episode"}
    names[-1] = "return_last_episode"
    wanted = [names.get(episode, "") for episode in shown] + ["return"]
    return [
        Text(quantity(progress.metrics[name]) if name in progress.metrics else "·", style="dim")
        for name in wanted
    ]


def _shown_episodes(num_episodes: int) -> list[int]:
    if num_episodes <= FEW_EPISODES:
        return list(range(num_episodes))
    return [0, num_episodes - 1]


def _diagnostics(progress: Progress) -> Text:
    line = Text(no_wrap=True)
    for metric, name in DIAGNOSTICS.items():
        if metric not in progress.metrics:
            continue
        value = progress.metrics[metric]
        alarming = metric == "skipped" and value > 0
        number = f"{value:.0f}" if metric == "skipped" else quantity(value)
        line.append(f"{name} ", style="dim")
        line.append(number, style="bold yellow" if alarming else "")
        line.append("    ")
    line.rstrip()
    return line


def sparkline(values: Sequence[float]) -> str:
    """The newest values as bars of a height from their least to their greatest."""
    values = [value for value in values if value == value][-MOST_BARS:]
    if not values:
        return ""
    low, high = min(values), max(values)
    if low == high:
        return BARS[0] * len(values)
    top = len(BARS) - 1
    return "".join(BARS[round((value - low) / (high - low) * top)] for value in values)
