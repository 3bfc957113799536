"""What SIGINT, SIGTERM and SIGHUP are turned into, and that nothing of it stays."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from metarl_jax.parallel import signals
from metarl_jax.parallel.signals import (
    SUPERVISOR_STOP,
    Stopped,
    obey_supervisor,
    stop_requests,
    stops_raise,
)


@pytest.fixture(autouse=True)
def unsupervised():
    """What a test lets its process heed, the next one does not."""
    before = signal.getsignal(SUPERVISOR_STOP)
    yield
    signal.signal(SUPERVISOR_STOP, before)


def test_signal_handlers_are_put_back():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    with stop_requests() as stop:
        assert stop.signal is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == signal.SIGTERM
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert {number: signal.getsignal(number) for number in before} == before


def test_without_a_supervisor_its_signal_is_let_be():
    """It may be the embedding program's own."""
    before = signal.signal(SUPERVISOR_STOP, signal.SIG_IGN)
    try:
        with stop_requests() as stop:
            assert signal.getsignal(SUPERVISOR_STOP) == signal.SIG_IGN
            assert stop.signal is None
    finally:
        signal.signal(SUPERVISOR_STOP, before)


def test_what_is_passed_on_is_sigterm_before_there_is_a_handler():
    source = Path(signals.__file__)
    program = f"import os, runpy; made = runpy.run_path({str(source)!r})\n"
    program += "made['obey_supervisor'](); os.kill(os.getpid(), made['SUPERVISOR_STOP'])\n"
    done = subprocess.run([sys.executable, "-c", program])
    assert done.returncode == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_ignored_signal_stays_ignored(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with stop_requests() as stop:
            os.kill(os.getpid(), number)
            assert stop.signal is None
    finally:
        signal.signal(number, before)


@pytest.mark.usefixtures("hangup")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_breaks_off_what_may_be_broken_off(number):
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    with pytest.raises(Stopped) as stopped, stops_raise():
        os.kill(os.getpid(), number)
    assert stopped.value.signal == number
    assert str(stopped.value) == number.name
    assert {each: signal.getsignal(each) for each in before} == before


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGTERM, Stopped), (0, ValueError)])
def test_what_is_broken_off_may_say_something_else(number, raised):
    """As XLA does of a callback in which the signal came; what nothing broke off is passed on."""

    def program():
        with contextlib.suppress(Stopped):
            os.kill(os.getpid(), number)
        raise ValueError("INTERNAL: Error when calling buffer callback")

    with pytest.raises(raised), stops_raise():
        program()


@pytest.mark.parametrize(
    "order", [(SUPERVISOR_STOP, signal.SIGTERM), (signal.SIGTERM, SUPERVISOR_STOP)]
)
def test_what_is_passed_on_is_no_second_signal(order):
    """A group's processes are asked at once: this one by the sender, and by its supervisor."""
    obey_supervisor()
    with stop_requests() as stop:
        for number in order:
            os.kill(os.getpid(), number)
        assert stop.signal == signal.SIGTERM
    with pytest.raises(Stopped), stops_raise():
        os.kill(os.getpid(), SUPERVISOR_STOP)


@pytest.mark.usefixtures("hangup")
def test_a_closed_terminal_may_say_so_twice():
    """The shell does, and the system when the shell ends; a person still may."""
    with stop_requests() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.signal == signal.SIGHUP
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGINT


def test_what_is_passed_on_stops_alone():
    obey_supervisor()
    with stop_requests() as stop:
        os.kill(os.getpid(), SUPERVISOR_STOP)
        os.kill(os.getpid(), SUPERVISOR_STOP)
        assert stop.signal == signal.SIGTERM


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_process_at_once(second):
    source = Path(signals.__file__)
    program = (
        f"import os, runpy, signal; made = runpy.run_path({str(source)!r})\n"
        "with made['stop_requests']() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGTERM); print(stop.signal, flush=True)\n"
        f"    os.kill(os.getpid(), {int(second)}); print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-second, f"{signal.SIGTERM}\n")
