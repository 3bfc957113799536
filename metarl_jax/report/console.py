"""What a run prints: a live view on a terminal, plain lines anywhere else."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console as RichConsole
from rich.live import Live
from rich.table import Table
from rich.text import Text

from metarl_jax.report.live_view import LiveView
from metarl_jax.report.numbers import count, duration, quantity
from metarl_jax.report.progress import Progress

LINE_EVERY = 0.02
"""Fraction of a run between two plain lines; an evaluation has its line in any case."""
REFRESHES_PER_SECOND = 2


class Console:
    """Reports a run to a person.

    Args:
        console: where to write; standard output by default. A live view needs a terminal that can
            move its cursor and shows Unicode.
    """

    def __init__(self, console: RichConsole | None = None) -> None:
        self._console = console or RichConsole(highlight=False)
        unicode = self._console.encoding.lower().startswith("utf")
        self._is_live = (
            self._console.is_terminal and not self._console.is_dumb_terminal and unicode
        )
        self._progress = Progress()
        self._live: Live | None = None
        self._last_line = -1.0  # fraction of the run done at the last plain line

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

    def progress(self, record: Mapping[str, Any]) -> None:
        """Shows a row of `metrics.jsonl`: `env_steps`, metrics, perhaps an evaluation."""
        self._progress = self._progress.after(record, time.monotonic())
        if self._is_live:
            self._show(LiveView(self._progress))
            return
        fraction = self._progress.fraction
        if self._progress.just_evaluated or fraction is None or self._is_due(fraction):
            self._last_line = self._last_line if fraction is None else fraction
            self._line(plain_line(self._progress))

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

    def _is_due(self, fraction: float) -> bool:
        return fraction >= min(self._last_line + LINE_EVERY, 1.0) - 1e-9

    def _show(self, view: LiveView) -> None:
        if self._live is not None:
            self._live.update(view)
            return
        self._live = Live(
            view, console=self._console, refresh_per_second=REFRESHES_PER_SECOND
        )
        self._live.start(refresh=True)
        self._console.show_cursor(True)  # so that a killed process leaves no hidden cursor behind

    def _line(self, text: str) -> None:
        encoding = self._console.encoding
        text = text.encode(encoding, "replace").decode(encoding)
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def plain_line(progress: Progress) -> str:
    """One row of a run as a line of at most 100 characters."""
    parts = [f"{count(progress.env_steps):>6} steps"]
    if progress.fraction is not None:
        parts.insert(0, f"{progress.fraction:4.0%}")
    if progress.steps_per_second is not None:
        parts.append(f"{count(progress.steps_per_second)}/s")
    left = progress.seconds_left(progress.reported_at)
    if left is not None and progress.fraction != 1:
        parts.append(f"{duration(left)} left")
    parts.append(_returns(progress))
    names = {"entropy": "entropy", "value_error": "value err", "gradient_norm": "grad"}
    for metric, name in names.items():
        if metric in progress.metrics:
            parts.append(f"{name} {quantity(progress.metrics[metric])}")
    if progress.metrics.get("skipped"):
        parts.append(f"skipped {progress.metrics['skipped']:.0f}")
    return "  ".join(part for part in parts if part)


def _returns(progress: Progress) -> str:
    """Meta-test returns where just measured, else those of the tasks trained on."""
    if progress.just_evaluated:
        returns, name = progress.meta_test, "meta-test"
        first, last = returns[0], returns[-1]
    else:
        metrics, name = progress.metrics, "return"
        if "return_first_episode" not in metrics:
            return ""
        first, last = metrics["return_first_episode"], metrics["return_last_episode"]
    if first == last:
        return f"{name} {quantity(last)}"
    return f"{name} {quantity(first)} -> {quantity(last)}"
