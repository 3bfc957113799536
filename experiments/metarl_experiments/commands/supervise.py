"""`metarl supervise -- metarl train NAME --out RUN`: a run that is started again until it ends.

    began or crashed, killed, preempted ──▶ metarl train … --or-resume ──▶ ended: its exit code
                     ▲                              │
                     └───── after a pause ◀─────────┘   unless nothing was saved, three times

The same command in a script that a cluster runs anew after a preemption goes on as well.
"""

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from metarl_experiments.commands.help import Group, print_help
from metarl_experiments.commands.parsing import parse
from metarl_experiments.process.early_flags import read_early_flags
from metarl_experiments.process.runtime import COMMAND, SUPERVISOR
from metarl_jax.checkpoint.folder import steps
from metarl_jax.checks import check_number, require_positive
from metarl_jax.parallel.signals import HANGUP, STOPPING, SUPERVISOR_STOP
from metarl_jax.training.plan import ExitCode
from metarl_jax.types import ConfigurationError

ENDED = (ExitCode.FINISHED, ExitCode.BAD_INPUT, ExitCode.DIVERGED, ExitCode.INTERRUPTED)
"""Exit codes that the same command would only give again, or that a person asked for."""
HELP = {"-h", "--help"}
DESCRIPTION = """
Starts the command after the -- and starts it again where it crashes or is preempted, from its last
checkpoint, until it ends. The exit code is that of the last start.

  metarl supervise --patience 5 -- metarl train cheetah_vel --out runs/mine

Its own options come before the --; all that follows is the command. --out RUN is needed: a run that
is started again is found by its folder.
"""
LONGEST_PAUSE = 60.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class SuperviseOptions:
    """Start a run again where it crashes or is preempted, until it ends.

    Attributes:
        patience: Give up after so many starts in a row that leave no new checkpoint.
        pause: Seconds before the first new start; they double after each start without a new
            checkpoint, up to 60.
    """

    patience: int = 3
    pause: float = 1.0

    def __post_init__(self) -> None:
        require_positive("patience", self.patience)
        check_number("supervise", "pause", self.pause, at_least=0, at_most=math.inf)


def supervise_command(arguments: Sequence[str]) -> int:
    """Runs the command after `--` until it has ended; returns its last exit code."""
    own, command = _split(arguments)
    if HELP & set(own):
        _print_help()
        return ExitCode.FINISHED
    options = parse(SuperviseOptions, "metarl supervise", own)
    folder = _run_folder(command)
    fruitless = 0
    with _forwarded() as forwarding:
        while True:
            saved = _newest(folder)
            code = forwarding.run([*COMMAND, *command])
            if forwarding.asked is not None:
                stopped = code == ExitCode.TERMINATED or code >= 128
                return _stopped_by(forwarding.asked) if stopped else code
            if code in ENDED:
                return code
            fruitless = 0 if _newest(folder) > saved else fruitless + 1
            if fruitless >= options.patience:
                _say(f"{_ending(code)}; given up after {fruitless} starts without a checkpoint.")
                return ExitCode.GIVEN_UP if code == ExitCode.TERMINATED else code
            pause = min(LONGEST_PAUSE, options.pause * 2 ** max(0, fruitless - 1))
            _say(f"{_ending(code)}; it goes on in {pause:g} s.")
            if asked := forwarding.asked_within(pause):
                return _stopped_by(asked)


def _print_help() -> None:
    operands = "[options] -- metarl train NAME --out RUN ..."
    group = Group("options", "supervise", SuperviseOptions(), prefixed=False)
    print_help("metarl supervise", DESCRIPTION, (), [group], operands)


class _Forwarding:
    """A child at a time, which is asked to stop by the first signal that comes; a second ends it.

    Attributes:
        asked: the last that came, or None.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._child: subprocess.Popen[bytes] | None = None

    def run(self, command: Sequence[str]) -> int:
        """The exit code of a command; 128 more than the signal that ended it, as a shell has it."""
        # In a group of its own: what a terminal sends to all of one would reach it twice.
        environment = os.environ | {SUPERVISOR: str(os.getpid())}
        self._child = subprocess.Popen(command, process_group=0, env=environment)
        if self.asked is not None:  # just before
            self._child.send_signal(SUPERVISOR_STOP)
        code = self._child.wait()
        self._child = None
        return code if code >= 0 else 128 - code

    def asked_within(self, seconds: float) -> int | None:
        """Waits until a signal comes, for so long at most; the signal."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.asked is None:
            time.sleep(POLL_SECONDS)
        return self.asked

    def pass_on(self, number: int, frame: object) -> None:
        """The signals' handler."""
        del frame
        if number == HANGUP and self.asked is not None:
            return
        if self._child is not None:
            self._child.send_signal(signal.SIGKILL if self.asked in STOPPING else SUPERVISOR_STOP)
        self.asked = number


@contextlib.contextmanager
def _forwarded() -> Iterator[_Forwarding]:
    forwarding = _Forwarding()
    numbers = (*STOPPING, HANGUP)
    heard = [each for each in numbers if signal.getsignal(each) != signal.SIG_IGN]
    before = {number: signal.signal(number, forwarding.pass_on) for number in heard}
    try:
        yield forwarding
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our own options, and the training command without its `metarl`."""
    listed = list(arguments)
    at = listed.index("--") if "--" in listed else len(listed)
    own, command = listed[:at], listed[at + 1 :]
    if HELP & set(own):
        return own, command
    if [Path(word).name for word in command[:1]] != ["metarl"] or command[1:2] not in (
        ["train"],
        ["sweep"],
    ):
        raise ConfigurationError(
            "expected `metarl supervise [options] -- metarl train NAME --out RUN ...`, got "
            f"{' '.join(command) or 'no command'!r} after the --."
        )
    return own, command[1:]


def _run_folder(command: list[str]) -> Path:
    """The run's folder; a command that begins a run is made to go on with it too."""
    flags = read_early_flags(command)
    if flags.resume:
        return Path(flags.resume)
    if not flags.out:
        raise ConfigurationError(
            "expected --out RUN in the command, got none: a run that is started again is found by "
            "its folder."
        )
    if "--or-resume" not in command:
        command.append("--or-resume")
    return Path(flags.out)


def _newest(folder: Path) -> int:
    return max(steps(folder / "checkpoints"), default=-1)


def _stopped_by(number: int) -> int:
    return ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED


def _ending(code: int) -> str:
    if code > 128:
        with contextlib.suppress(ValueError):
            return f"the run was ended by {signal.Signals(code - 128).name}"
    return f"the run ended with code {code}"


def _say(text: str) -> None:
    print(f"metarl supervise: {text}", file=sys.stderr, flush=True)
