"""What is tried with real processes, from outside: `make pod-smoke` and `make soak`."""

import sys
from pathlib import Path

METARL = str(Path(sys.executable).with_name("metarl"))


def expect(holds: bool, what: str, said: list[str] | None = None) -> None:
    """Says what holds; ends the process where it does not, with what the processes said."""
    print(f"{'ok  ' if holds else 'FAIL'}  {what}", flush=True)
    if not holds:
        sys.exit("\n".join(said or []) or 1)


def child_of(parent: int) -> int:
    """The process that another has started."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(children[0])
