"""What a long run says may be lost: a full disk or a closed terminal must not end it."""

import codecs
import contextlib
import io
import sys
from typing import TextIO

SPELLED_OUT = {
    "±": "+-",
    "×": "x",
    "…": "...",
    "→": "->",
    "−": "-",
    "²": "^2",
    "µ": "u",
    "σ": "sigma",
}
"""How a stream that has no such characters gets them."""


def say_what_can_be_said() -> None:
    """From here on no character is an error: what a stream's encoding lacks is spelled out.

    A part of a file's name that is no text is written as it stands.
    """
    codecs.register_error("spelled-out", _spelled_out)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="spelled-out")


def _spelled_out(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking, after = error.object[error.start], error.start + 1
    if "\udc80" <= lacking <= "\udcff":  # how Python keeps a byte of a file's name
        return bytes([ord(lacking) - 0xDC00]), after
    return SPELLED_OUT.get(lacking, "?"), after


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
