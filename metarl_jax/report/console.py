"""What a run prints: a live view on a terminal, plain lines anywhere else."""

import importlib.util
import time
from collections.abc import Callable, Mapping

from rich.console import Console as RichConsole
from rich.live import Live
from rich.table import Table
from rich.text import Text

from metarl_jax.report.live_view import LiveView
from metarl_jax.report.progress import Progress
from metarl_jax.report.units import count, quantity, roughly
from metarl_jax.training.metrics_row import MetricsRow

LINE_EVERY = 0.25
"""Fraction of a run between two plain lines: a log is short, and `metrics.jsonl` has the rest."""
REFRESHES_PER_SECOND = 2
METRICS: Mapping[str, Callable[[MetricsRow], float | None]] = {
    "return": lambda row: row.total_return,
    "entropy": lambda row: row.entropy,
}


class Console:
    """Reports a run to a person.

    Args:
        console: where to write; standard output by default. A live view needs a terminal that can
            move its cursor and shows Unicode, or a notebook with ipywidgets.
        silent: nothing is shown; of several processes, one speaks.
    """

    def __init__(self, console: RichConsole | None = None, *, silent: bool = False) -> None:
        self._console = console or RichConsole(highlight=False, quiet=silent)
        unicode = self._console.encoding.lower().startswith("utf")
        is_terminal = self._console.is_terminal and not self._console.is_dumb_terminal
        self._is_live = unicode and (is_terminal or _shows_widgets(self._console))
        self._progress = Progress()
        self._live: Live | None = None
        self._last_line = -1.0  # fraction of the run done at the last plain line
        self._told_of_tasks = 0  # of the evaluation that was announced last

    def start(self, header: Mapping[str, str]) -> None:
        """Prints what is about to run, a name and a text in each line."""
        if not self._is_live:
            width = max(map(len, header), default=0)
            for name, text in header.items():
                self._line(f"{name:<{width}}  {text}")
            return
        table = Table.grid(padding=(0, 3))
        for name, text in header.items():
            table.add_row(Text(f" {name}", style="dim"), Text(text))
        self._console.print()
        self._console.print(table)
        self._console.print()

    def compiling(self, what: str) -> None:
        """Says that nothing will move for a while, and why."""
        if self._is_live:
            self._show(LiveView(self._progress, waiting_for=f"compiling {what} …"))
        else:
            self._line(f"compiling {what} ...")

    def compiled(self, seconds: float) -> None:
        """Says how long that took."""
        self.note(f"compiled in {seconds:.1f} s")
        if self._is_live:
            self._show(LiveView(self._progress, waiting_for="running …"))

    def evaluating(self, num_tasks: int) -> None:
        """Says that nothing will move while tasks are played; plain lines say it once a number.

        Args:
            num_tasks: meta-test tasks.
        """
        text = f"evaluating on {num_tasks:,} tasks"
        if self._is_live:
            self._show(LiveView(self._progress, waiting_for=f"{text} …"))
        elif num_tasks != self._told_of_tasks:
            self._line(f"{text} ...")
            self._told_of_tasks = num_tasks

    def note(self, said: str) -> None:
        """Prints a quiet line, above the live view where there is one."""
        if self._is_live:
            self._console.print(Text(f" {said}", style="dim"))
        else:
            self._line(said)

    def progress(
        self, row: MetricsRow, *, num_updates: int = 0, total_env_steps: int | None = None
    ) -> None:
        """Shows a row of `metrics.jsonl`.

        Args:
            row: the newest.
            num_updates: of the whole run; not shown.
            total_env_steps: of the whole run; without it, no fraction and no time left are shown.
        """
        del num_updates
        self._progress = self._progress.after(row, time.monotonic(), total_env_steps)
        if self._is_live:
            self._show(LiveView(self._progress))
            return
        if self._is_due(self._progress.fraction):
            self._line(progress_line(self._progress))

    def warn(self, message: str) -> None:
        """Prints a warning above the live view."""
        if self._is_live:
            self._console.print(Text.assemble((" warning ", "bold yellow"), message))
        else:
            self._line(f"warning: {message}")

    def finish(self, message: str) -> None:
        """Leaves the last view standing and prints a last message."""
        self.close()
        if self._is_live:
            self._console.print()
            self._console.print(Text(f" {message}"))
        else:
            self._line(message)

    def close(self) -> None:
        """Ends the live view, if there is one; the terminal is as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _is_due(self, fraction: float | None) -> bool:
        if fraction is None:
            return True
        due = fraction >= min(self._last_line + LINE_EVERY, 1.0) - 1e-9
        self._last_line = fraction if due else self._last_line
        return due

    def _show(self, view: LiveView) -> None:
        if self._live is not None:
            self._live.update(view)
            return
        self._live = Live(view, console=self._console, refresh_per_second=REFRESHES_PER_SECOND)
        self._live.start(refresh=True)
        self._console.show_cursor(True)  # so that a killed process leaves no hidden cursor behind

    def _line(self, text: str) -> None:
        encoding = self._console.encoding
        if getattr(self._console.file, "errors", "strict") in ("strict", "surrogateescape"):
            text = text.encode(encoding, "replace").decode(encoding)
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _shows_widgets(console: RichConsole) -> bool:
    """Whether this is a notebook that can redraw a cell's output."""
    return console.is_jupyter and importlib.util.find_spec("ipywidgets") is not None


def progress_line(progress: Progress) -> str:
    """Where a run stands, in at most 100 characters.

    The return is that of the tasks trained on; after `meta-test` stand those of the first and the
    last episode in the newest evaluation.
    """
    done = "" if progress.fraction is None else f"{progress.fraction:4.0%} "
    parts = [f"{done}{count(progress.env_steps):>6} steps"]
    if progress.steps_per_second:
        parts.append(f"{count(progress.steps_per_second):>6}/s")
    left = progress.seconds_left(progress.reported_at)
    if left is not None and progress.fraction != 1:
        parts.append(f"{roughly(left):>6} left")
    if progress.row is None:
        return "  ".join(parts)
    values = ((name, metric(progress.row)) for name, metric in METRICS.items())
    parts += [f"{name} {quantity(value)}" for name, value in values if value is not None]
    if returns := progress.meta_test:
        ends = dict.fromkeys((0, len(returns) - 1))
        parts.append(f"meta-test {' -> '.join(quantity(returns[i]) for i in ends)}")
    if skipped := progress.row.skipped:
        parts.append(f"skipped {skipped:.0f}")
    return "  ".join(parts)
