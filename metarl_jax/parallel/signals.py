"""SIGINT, SIGTERM and SIGHUP as a request that a loop looks at, instead of an end in mid-air."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator


class Stopped(BaseException):
    """A stopping signal came.

    Attributes:
        signal: which.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = signal.Signals(number)


STOPPING = (signal.SIGINT, signal.SIGTERM)
SUPERVISOR_STOP = signal.SIGUSR1
"""Sent by a supervisor that was asked to stop. A terminal, systemd and SLURM ask every process of a
group, the supervisor and the one it supervises: what is passed on must not count as a second time.
"""
HANGUP = signal.SIGHUP
"""A terminal was closed: its shell may say so, and the system once more."""


class StopRequest:
    """Whether this process has been asked to stop.

    Attributes:
        signal: the first stopping signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None


def obey_supervisor() -> None:
    """Makes `SUPERVISOR_STOP` mean SIGTERM in this process, which has a supervisor."""
    signal.signal(SUPERVISOR_STOP, _terminate)


def _terminate(number: int, frame: object) -> None:
    del number, frame
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turns the first SIGINT or SIGTERM into a request; a second one ends the process at once.

    `HANGUP` asks to stop too, as does `SUPERVISOR_STOP` where it is heeded: neither is a first or a
    second one.

    What handled the signals before handles them again afterwards. A signal that was ignored (as
    SIGHUP is under `nohup`) stays ignored. Only the main thread can handle signals: in any other,
    no request ever comes.
    """
    request = StopRequest()

    def ask(number: int, frame: object) -> None:
        del frame
        if number not in STOPPING:
            request.signal = request.signal or _meant(number)
            return
        request.signal = signal.Signals(number)
        for each in STOPPING:  # the system's own action works even while the process is in C code
            if signal.getsignal(each) == ask:
                signal.signal(each, signal.SIG_DFL)

    with _handled_by(ask):
        yield request


@contextlib.contextmanager
def stops_raise() -> Iterator[None]:
    """Turns SIGINT, SIGTERM and SIGHUP into `Stopped`, for work that is lost without harm.

    Also where it comes out as something else: a program's callback that is stopped fails, for XLA.
    """
    stopped: list[int] = []

    def stop(number: int, frame: object) -> None:
        del frame
        stopped.append(number)
        if number in STOPPING or len(stopped) == 1:
            raise Stopped(_meant(number))

    with _handled_by(stop):
        try:
            yield
        except Exception as error:
            if stopped:
                raise Stopped(_meant(stopped[0])) from error
            raise


def _meant(number: int) -> signal.Signals:
    return signal.SIGTERM if number == SUPERVISOR_STOP else signal.Signals(number)


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, object], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = signal.getsignal(SUPERVISOR_STOP) == _terminate
    numbers = (*STOPPING, HANGUP, *[SUPERVISOR_STOP] * heeded)
    before = {number: signal.getsignal(number) for number in numbers}
    caught = {number: old for number, old in before.items() if old != signal.SIG_IGN}
    for number in caught:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in caught.items():
            signal.signal(number, signal.SIG_DFL if old is None else old)
