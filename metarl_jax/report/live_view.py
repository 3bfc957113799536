"""The live view of a run: a bar, a table of returns, a line of diagnostics."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, Group, RenderResult
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from metarl_jax.report.progress import Progress
from metarl_jax.report.units import count, duration, quantity
from metarl_jax.training.metrics_row import MetricsRow

COLUMN_WIDTH, ROOM_FOR_THE_REST = 9, 50
"""Characters of an episode's column, and of the other columns together."""
DIAGNOSTICS: Mapping[str, Callable[[MetricsRow], float | None]] = {
    "entropy": lambda row: row.entropy,
    "value error": lambda row: row.value_error,
    "gradient norm": lambda row: row.gradient_norm,
}
MOST_BARS = 16
ROOM_FOR_BARS = 70
BARS = "▁▂▃▄▅▆▇█"
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
        width -= 2
        bar, returns = _bar(self.progress, width), _returns(self.progress, width)
        parts = Group(bar, Text(), returns, Text(), _diagnostics(self.progress))
        yield Padding(parts, (0, 1))


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


def _returns(progress: Progress, width: int) -> Table:
    """Return per episode: a row for meta-test tasks, a row for the tasks trained on."""
    num_episodes = len(progress.meta_test)
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    if not progress.meta_test:  # nor is the number of episodes known yet
        _add_columns(table, "episode", "first", "last", "total")
        table.add_row(*_training(progress.row, (0, -1), 0))
        return table
    shown = _shown_episodes(num_episodes, width)
    _add_columns(table, "episode", *(str(episode + 1) for episode in shown), "total", "")
    numbers = [*(progress.meta_test[episode] for episode in shown), sum(progress.meta_test)]
    bars = f"{sparkline(progress.history)}  " if width >= ROOM_FOR_BARS else ""
    note = Text(bars, style="blue")
    note.append(f"at {count(progress.meta_test_steps)}", style="dim")
    table.add_row("meta-test", *(Text(quantity(x), style="bold") for x in numbers), note)
    table.add_row(*_training(progress.row, shown, num_episodes))
    return table


def _add_columns(table: Table, first: str, *others: str) -> None:
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right" if name else "left", no_wrap=True)


def _training(row: MetricsRow | None, shown: Sequence[int], num_episodes: int) -> list[Text]:
    """Returns of the first and the last episode, where these are shown, and of all of them."""
    numbers: list[float | None] = [None] * (len(shown) + 1)
    if row is not None:
        ends = {0: row.return_first_episode, num_episodes - 1: row.return_last_episode}
        numbers = [*(ends.get(episode) for episode in shown), row.total_return]
    texts = ["training", *("·" if number is None else quantity(number) for number in numbers)]
    return [Text(text, style="dim") for text in texts]


def _shown_episodes(num_episodes: int, width: int) -> list[int]:
    """All of them where their columns fit beside the rest of the table, else first and last."""
    if num_episodes <= (width - ROOM_FOR_THE_REST) // COLUMN_WIDTH:
        return list(range(num_episodes))
    return [0, num_episodes - 1]


def _diagnostics(progress: Progress) -> Text:
    line = Text(no_wrap=True)
    if progress.row is None:
        return line
    for name, metric in DIAGNOSTICS.items():
        value = metric(progress.row)
        if value is not None:
            line.append(f"{name} ", style="dim")
            line.append(f"{quantity(value)}    ")
    skipped = progress.row.skipped
    if skipped is not None:
        line.append("skipped updates ", style="dim")
        line.append(f"{skipped:.0f}", style="bold yellow" if skipped > 0 else "")
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
