"""`metarl supervise`: what it starts again, what it lets be, and when it gives up."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from metarl_experiments.commands import supervise
from metarl_experiments.commands.supervise import supervise_command
from metarl_experiments.process.runtime import COMMAND
from metarl_jax.parallel import signals
from support.command_line import assert_refused, metarl_here
from system_checks import soak
from system_checks.trials import child_of

Scripted = Callable[..., list[list[str]]]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scripted:
    """Runs that end as told: (exit code, the checkpoint left behind); their commands."""

    def script(*endings: tuple[int, int | None]) -> list[list[str]]:
        commands: list[list[str]] = []

        def run(self: object, command: list[str]) -> int:
            code, step = endings[len(commands)]
            commands.append(command)
            if step is not None:
                (tmp_path / "run" / "checkpoints" / str(step)).mkdir(parents=True)
            return code

        monkeypatch.setattr(supervise._Forwarding, "run", run)
        return commands

    return script


def supervised(tmp_path: Path, *own: str) -> int:
    run = ["metarl", "train", "bandit_10_5", "--out", str(tmp_path / "run")]
    return supervise_command([*own, "--pause", "0", "--", *run])


@pytest.mark.parametrize("code", [0, 2, 3, 130])
def test_what_has_ended_is_not_started_again(scripted: Scripted, tmp_path: Path, code: int) -> None:
    commands = scripted((code, None))
    assert supervised(tmp_path) == code
    assert len(commands) == 1


@pytest.mark.parametrize("code", [1, 74, 75, 134, 137])
def test_a_run_that_broke_off_goes_on(
    scripted: Scripted, tmp_path: Path, code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    commands = scripted((code, 10), (0, 20))
    assert supervised(tmp_path) == 0
    assert commands[0] == commands[1]
    train = ("train", "bandit_10_5", "--out", str(tmp_path / "run"), "--or-resume")
    assert commands[0] == [*COMMAND, *train]
    word = signal.Signals(code - 128).name if code > 128 else f"code {code}"
    assert f"{word}; it goes on in 0 s." in capfd.readouterr().err


def test_it_is_given_up_when_nothing_more_is_saved(scripted: Scripted, tmp_path: Path) -> None:
    """A checkpoint starts the count anew; the last exit code is told."""
    commands = scripted((137, None), (137, 10), (1, None), (1, None), (137, None))
    assert supervised(tmp_path, "--patience", "3") == 137
    assert len(commands) == 5


def test_a_cluster_does_not_start_again_what_was_given_up(scripted: Scripted, tmp_path) -> None:
    """75 would say that it can go on."""
    scripted(*[(75, None)] * 3)
    assert supervised(tmp_path) == 1


def test_pauses_double_and_end_at_a_minute(monkeypatch, scripted: Scripted, tmp_path: Path) -> None:
    pauses: list[float] = []
    waits = lambda self, seconds: pauses.append(seconds)
    monkeypatch.setattr(supervise._Forwarding, "asked_within", waits)
    scripted(*[(1, None)] * 9)
    run = ["--", "metarl", "train", "x", "--out", str(tmp_path)]
    supervise_command(["--patience", "9", "--pause", "1", *run])
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_resumed_run_is_followed_by_its_folder(scripted: Scripted, tmp_path: Path) -> None:
    commands = scripted((75, 10), (75, 20), (0, None))
    run = ["metarl", "train", "--resume", str(tmp_path / "run")]
    assert supervise_command(["--patience", "1", "--pause", "0", "--", *run]) == 0
    assert commands == [[*COMMAND, *run[1:]]] * 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "got 'no command' after the --"),
        (["--", "python", "train.py"], "got 'python train.py' after the --"),
        (["--", "metarl", "evaluate", "run"], "got 'metarl evaluate run' after the --"),
        (["--", "metarl", "train", "bandit_10_5"], "expected --out RUN in the command, got none"),
        (
            ["--patience", "0", "--", "metarl", "train", "x", "--out", "y"],
            "patience must be at least 1",
        ),
    ],
)
def test_what_it_cannot_follow_is_refused(arguments: list[str], told: str, tmp_path: Path) -> None:
    assert_refused(metarl_here("supervise", *arguments, cwd=tmp_path), told)


CHILD = (
    "import runpy, time\n"
    f"signals = runpy.run_path({signals.__file__!r})\n"
    "signals['obey_supervisor']()\n"
    "with signals['stop_requests']() as stop:\n"
    "    open('READY', 'w').close()\n"
    "    until = time.monotonic() + 30\n"
    "    while stop.signal is None and time.monotonic() < until: time.sleep(0.01)\n"
    "    time.sleep(SAVES_FOR)\n"
    "raise SystemExit(75)\n"
)


TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP


@pytest.mark.usefixtures("hangup")
@pytest.mark.parametrize(
    ("numbers", "saves_for", "code"),
    [
        *(((number,), saves_for, 75) for number in (TERM, INT, HUP) for saves_for in (0.0, 0.5)),
        *(((number, number), 30.0, 128 + signal.SIGKILL) for number in (TERM, INT)),
        ((HUP, HUP), 0.5, 75),  # a closed terminal may say so twice
        ((HUP, TERM), 0.5, 75),  # and its session be stopped after it
        ((HUP, TERM, TERM), 30.0, 128 + signal.SIGKILL),
    ],
)
def test_the_first_signal_asks_and_a_second_one_ends(
    numbers: tuple[signal.Signals, ...], saves_for: float, code: int, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    child = CHILD.replace("SAVES_FOR", str(saves_for)).replace("READY", str(ready))

    def ask() -> None:
        while not ready.exists():
            time.sleep(0.01)
        for number in numbers:
            time.sleep(0.3)
            os.kill(os.getpid(), number)

    with supervise._forwarded() as forwarding:
        thread = threading.Thread(target=ask)
        thread.start()
        ended = forwarding.run([sys.executable, "-c", child])
        thread.join()
    assert ended == code
    assert forwarding.asked == numbers[-1]


@pytest.mark.usefixtures("hangup")
@pytest.mark.parametrize(("number", "code"), [(TERM, 75), (HUP, 75), (INT, 130)])
def test_what_asked_the_supervisor_is_told(
    scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    """The run was asked by what is passed on, and says 75."""
    scripted((75, 10))
    scripted_run = supervise._Forwarding.run

    def run(self: supervise._Forwarding, command: list[str]) -> int:
        os.kill(os.getpid(), number)
        return scripted_run(self, command)

    monkeypatch.setattr(supervise._Forwarding, "run", run)
    assert supervised(tmp_path) == code


SUPERVISOR = (
    "import sys\n"
    "from metarl_experiments.commands.supervise import _forwarded\n"
    "child = 'import os, time'\n"
    "child += '; from metarl_experiments.process.runtime import end_with_supervisor;'\n"
    "child += 'end_with_supervisor(); print(os.getpid(), flush=True); time.sleep(60)'\n"
    "with _forwarded() as forwarding: forwarding.run([sys.executable, '-c', child])\n"
)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a run outlives its supervisor")
def test_a_run_does_not_outlive_its_supervisor() -> None:
    command = [sys.executable, "-c", SUPERVISOR]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        child = int(supervisor.stdout.readline())
        supervisor.kill()
    until = time.monotonic() + 10
    while is_alive(child):
        assert time.monotonic() < until
        time.sleep(0.01)


def is_alive(process: int) -> bool:
    """Whether it is there, and not one that has ended and nobody has asked for."""
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except OSError:
        return False


def test_a_signal_during_a_pause_ends_it(scripted: Scripted, tmp_path: Path) -> None:
    scripted((137, 10))
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    timer.start()
    run = ["metarl", "train", "bandit_10_5", "--out", str(tmp_path / "run")]
    assert supervise_command(["--pause", "30", "--", *run]) == 75


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")


@needs_proc
def test_a_small_soak(tmp_path: Path) -> None:
    """The real thing: what is killed, stopped and left without room ends as if let be."""
    command = [sys.executable, "-m", "system_checks.soak", "--minutes", "1.85"]
    command += ["--out", str(tmp_path / "soak")]
    as_users_do = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(command, capture_output=True, text=True, env=as_users_do)
    said = f"{done.stdout}\n{done.stderr[-5000:]}"
    assert done.returncode == 0, said
    assert done.stdout.count("ok  ") == len(done.stdout.splitlines()) == 11, said


@needs_proc
@pytest.mark.parametrize("trial", [("soak", "--out", "soak"), ("pod_smoke",)], ids=lambda x: x[0])
def test_a_trial_that_is_stopped_ends_what_it_has_started(
    trial: tuple[str, ...], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", f"system_checks.{trial[0]}", *trial[1:]]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = os.environ | {"TMPDIR": str(temporary)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as stopped:
        until = time.monotonic() + 100
        while not any(tmp_path.rglob("config.json")):
            assert time.monotonic() < until
            time.sleep(0.01)
        child = child_of(stopped.pid)
        stopped.terminate()
        assert stopped.wait(100) == 128 + signal.SIGTERM
    assert not is_alive(child)
    assert not any(temporary.iterdir()), "it was written to after it had been deleted"


LEAKING = """
import pathlib, sys, time
held = [bytearray(50_000_000)]
for second in range(12):
    held.append({leak})
    with open(sys.argv[1], "a") as rows:
        rows.write("a row\\n")
    time.sleep(0.25)
"""


STARTING = "second or [time.sleep(0.1) or bytearray(b'1' * 3_000_000) for _ in range(40)]"
"""Grows before its first row alone, and for longer than it writes rows."""


@needs_proc
@pytest.mark.parametrize(
    ("leak", "told"),
    [
        ("None", None),
        (STARTING, None),
        ("bytearray(b'1' * 1_000_000)", "FAIL  undisturbed: memory grew by"),
        ("open('/dev/null')", "FAIL  undisturbed: open files "),
        ("sys.exit(7)", "FAIL  trained undisturbed, exit code 7"),
    ],
    ids=["nothing", "what it starts with", "memory", "files", "a run that fails"],
)
def test_a_soak_sees_what_leaks(leak: str, told: str | None, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(soak, "WATCH_SECONDS", 0.05)
    metrics = tmp_path / "metrics.jsonl"
    command = [sys.executable, "-c", LEAKING.format(leak=leak), str(metrics)]
    if told is None:
        soak.check_whole(command, metrics)
        return
    with pytest.raises(SystemExit):
        soak.check_whole(command, metrics)
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "told"),
    [(["--minutes", "1"], "more than 1 minute"), ([], "expected a new folder")],
)
def test_a_soak_refuses_in_words(options, told, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["soak", "--out", str(tmp_path), *options])
    with pytest.raises(SystemExit, match="2"):
        soak.main()
    assert told in capsys.readouterr().err
