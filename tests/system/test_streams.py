"""What cannot be said is lost, and nothing else."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from metarl_jax.checkpoint.folder import steps
from metarl_jax.training.metrics_file import read_rows
from support.command_line import ENVIRONMENT, SMALL

FULL = Path("/dev/full")
SPEAKING = """
import sys
from metarl_experiments.process.streams import ignore_broken_output
if "unheard" in sys.argv:
    ignore_broken_output()
for i in range(20_000):
    print("a line", i)
    print("a line", i, file=sys.stderr)
"""
TRAIN = [sys.executable, "-m", "metarl_experiments", "train", "bandit_10_5", *SMALL]

needs_full = pytest.mark.skipif(not FULL.exists(), reason="no device here is always full")


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def speaking(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment of a process that buffers what it says, and of one that does not."""
    return os.environ | {"PYTHONUNBUFFERED": request.param}


def said_to(out: int, error: int, environment: dict[str, str], *arguments: str) -> int:
    """The exit code of a process that says much, to these places."""
    command = [sys.executable, "-c", SPEAKING, *arguments]
    return subprocess.run(command, stdout=out, stderr=error, env=environment).returncode


@needs_full
def test_a_full_disk_is_no_end(speaking: dict[str, str]) -> None:
    with FULL.open("w") as full:
        assert said_to(full.fileno(), full.fileno(), speaking) != 0
        assert said_to(full.fileno(), full.fileno(), speaking, "unheard") == 0


def test_nor_is_a_closed_pipe(speaking: dict[str, str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert said_to(writing, writing, speaking) != 0
        assert said_to(writing, writing, speaking, "unheard") == 0
    finally:
        os.close(writing)


def test_nor_is_a_process_that_was_given_no_place_at_all() -> None:
    closed = ["sh", "-c", '"$@" >&- 2>&-', "sh", sys.executable, "-c", SPEAKING, "unheard"]
    assert subprocess.run(closed).returncode == 0


def test_what_can_be_said_is(tmp_path: Path, speaking: dict[str, str]) -> None:
    places = tmp_path / "out.txt", tmp_path / "error.txt"
    with places[0].open("w") as out, places[1].open("w") as error:
        assert said_to(out.fileno(), error.fileno(), speaking, "unheard") == 0
    for place in places:
        assert place.read_text().splitlines() == [f"a line {i}" for i in range(20_000)]


@needs_full
def test_a_run_whose_log_is_on_a_full_disk_is_trained(tmp_path: Path) -> None:
    with FULL.open("w") as full:
        train = [*TRAIN, "--out", str(tmp_path / "run")]
        assert subprocess.run(train, stdout=full, stderr=full, env=ENVIRONMENT).returncode == 0
    assert (tmp_path / "run" / "evaluation.json").exists()


def begun_in_a_terminal(
    command: Sequence[str], rows: Path
) -> "tuple[subprocess.Popen[bytes], int]":
    """A process in a terminal, once it has written a row, and the terminal's other end."""
    ours, its = pty.openpty()
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=ENVIRONMENT)
    os.close(its)
    os.set_blocking(ours, False)
    while process.poll() is None and not read_rows(rows):
        with contextlib.suppress(BlockingIOError):
            os.read(ours, 100_000)  # or the terminal is full, and whoever writes to it waits
        time.sleep(0.02)
    return process, ours


@pytest.mark.usefixtures("hangup")
def test_a_run_whose_terminal_is_closed_saves(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train = [*TRAIN, "--total-steps", "40000", "--out", str(run)]
    process, terminal = begun_in_a_terminal(train, run / "metrics.jsonl")
    with process:
        os.close(terminal)
        process.send_signal(signal.SIGHUP)  # as the system does to what a terminal has begun
    assert process.returncode == 75
    newest = steps(run / "checkpoints")[0]
    assert newest == read_rows(run / "metrics.jsonl")[-1].update
