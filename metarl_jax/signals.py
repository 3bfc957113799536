"""SIGINT and SIGTERM as a request that a loop looks at, instead of an end in mid-air."""

import contextlib
import signal
import threading
from collections.abc import Iterator

STOPPING = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether this process has been asked to stop.

    Attributes:
        signal: the first stopping signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turns the first SIGINT or SIGTERM into a request; a second one ends the process at once.

    What handled the signals before handles them again afterwards. A signal that was ignored (as
    SIGINT is under `nohup`) stays ignored. Only the main thread can handle signals: in any other,
    no request ever comes.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.getsignal(number) for number in STOPPING}
    caught = [number for number in STOPPING if previous[number] != signal.SIG_IGN]

    def ask(number: int, frame: object) -> None:
        del frame
        request.signal = signal.Signals(number)
        for each in caught:  # the system's own action works even while the process is in C code
            signal.signal(each, signal.SIG_DFL)

    for number in caught:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number in caught:
            handler = previous[number]
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
