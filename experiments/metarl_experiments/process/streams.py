"""What a long run says may be lost: a full disk or a closed terminal must not end it."""

import contextlib
import sys
from typing import TextIO


class BestEffortStream:
    """A text stream that goes on where nothing can be written any more.

    Args:
        stream: what is written to, as long as that works.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes what can be written; how much was given."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Passes on what can be passed on."""
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def ignore_broken_output() -> None:
    """From here on this process says what it can, and never fails for what it cannot say."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None:  # as it is where the process was given none
            setattr(sys, name, BestEffortStream(stream))
