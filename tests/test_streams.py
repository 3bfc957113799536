"""What cannot be said is lost, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import SMALL

FULL = Path("/dev/full")
UNHEARD = """
import sys
from metarl_experiments.streams import go_on_unheard
if sys.argv[1:] == ["unheard"]:
    go_on_unheard()
for i in range(20_000):
    print("a line", i)
    print("a line", i, file=sys.stderr)
"""


def said_to(where: int, *arguments: str) -> int:
    """The exit code of a process that says much, all of it to one place."""
    command = [sys.executable, "-c", UNHEARD, *arguments]
    return subprocess.run(command, stdout=where, stderr=where, timeout=60).returncode


@pytest.mark.skipif(not FULL.exists(), reason="the system has no device that is always full")
def test_a_full_disk_is_no_end() -> None:
    with FULL.open("w") as full:
        assert said_to(full.fileno()) != 0
        assert said_to(full.fileno(), "unheard") == 0


def test_nor_is_a_closed_pipe() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert said_to(writing) != 0
        assert said_to(writing, "unheard") == 0
    finally:
        os.close(writing)


def test_what_can_be_said_is(tmp_path: Path) -> None:
    place = tmp_path / "said.txt"
    with place.open("w") as file:
        assert said_to(file.fileno(), "unheard") == 0
    assert sorted(place.read_text().splitlines()) == sorted(
        2 * [f"a line {i}" for i in range(20_000)]
    )


@pytest.mark.skipif(not FULL.exists(), reason="the system has no device that is always full")
def test_a_run_whose_log_is_on_a_full_disk_is_trained(tmp_path: Path) -> None:
    train = [sys.executable, "-m", "metarl_experiments", "train", "bandit_10_5", *SMALL]
    with FULL.open("w") as full:
        command = [*train, "--out", str(tmp_path / "run")]
        assert subprocess.run(command, stdout=full, stderr=full, timeout=120).returncode == 0
    assert (tmp_path / "run" / "evaluation.json").exists()
