"""What is tried with real processes, from outside: `make pod-smoke` and `make soak`."""

import sys
from collections.abc import Callable
from pathlib import Path

from metarl_jax.parallel.signals import Stopped, stops_raise


def expect(holds: bool, what: str, said: list[str] | None = None) -> None:
    """Says what holds; ends the process where it does not, with what the processes said."""
    print(f"{'ok  ' if holds else 'FAIL'}  {what}", flush=True)
    if not holds:
        sys.exit("\n".join(said or []) or 1)


def exit_on_signal(main: Callable[[], int]) -> int:
    """Its exit code; a signal ends it as an exception does, so that it ends what it has started."""
    try:
        with stops_raise():
            return main()
    except Stopped as stopped:
        return 128 + stopped.signal


def child_of(parent: int) -> int:
    """The process that another has started."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="utf-8").split()
    return int(children[0])
