"""Two processes that train one run: what is done to one of them, both bear."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metarl_experiments.process.runtime import COMMAND
from metarl_jax.checkpoint.checkpoint import leaf_digests
from metarl_jax.checkpoint.folder import steps
from metarl_jax.training.metrics_file import read_rows
from system_checks import pod_smoke

HEARTBEAT = 5
ARGUMENTS = (
    *(
        "bandit_10_5",
        "--num-tasks",
        "8",
        "--memory.hidden-size",
        "8",
        "--policy.embedding-size",
        "8",
    ),
    *("--total-steps", "16000", "--num-evaluations", "10", "--evaluation-tasks", "6"),
    *("--final-evaluation-tasks", "7", "--devices", "1"),
)
WAIT_SECONDS = 100


def start(run: Path, *more: str) -> list["subprocess.Popen[str]"]:
    """Both processes of the run, or of its going on."""
    port = pod_smoke.free_port()
    command = [*COMMAND, "train", *ARGUMENTS, "--out", str(run), *more]
    command += ["--heartbeat", str(HEARTBEAT)]
    return [pod_smoke.start(command, 2, process, port) for process in range(2)]


def ends(processes: list["subprocess.Popen[str]"]) -> tuple[list[int], list[str]]:
    """Exit codes, and what was said."""
    said = [process.communicate(timeout=WAIT_SECONDS)[0] for process in processes]
    return [process.returncode for process in processes], said


def same_end(run: Path, other: Path) -> bool:
    """Whether the last checkpoints of two runs are the same, bit for bit."""
    one, two = (leaf_digests(folder / "checkpoints") for folder in (run, other))
    return one == two


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("two") / "undisturbed"
    codes, said = ends(start(run))
    assert codes == [0, 0], said
    return run


def test_one_writes_and_both_tell_who_they_are(undisturbed: Path) -> None:
    updates = [row.update for row in read_rows(undisturbed / "metrics.jsonl")]
    assert updates == sorted(set(updates))
    assert len(updates) == 50
    assert {"evaluation.json", "report.html"} <= {path.name for path in undisturbed.iterdir()}


def killed(run: Path, role: int, rows: int, *more: str) -> None:
    """Trains until there are so many rows, and kills one of the two: the other ends too."""
    processes = start(run, *more)
    try:
        pod_smoke.wait_for_rows(run / "metrics.jsonl", rows)
        processes[role].kill()
        began = time.monotonic()
        codes, said = ends(processes)
    finally:
        for process in processes:
            process.kill()
    assert time.monotonic() - began < 3 * HEARTBEAT, said
    assert codes[role] == -signal.SIGKILL
    assert codes[1 - role] in (75, -signal.SIGABRT), said  # its own words, or jax's


PREEMPTED = """
import os, signal, sys
from metarl_experiments import cli
from metarl_experiments.process import distributed
join = distributed.join
distributed.join = lambda *given: (join(*given), os.kill(os.getpid(), signal.SIGTERM))
sys.exit(cli.main(sys.argv[1:]))
"""
"""`metarl`, which is sent SIGTERM once jax has joined, and before our own handler is set."""


def test_what_jax_is_told_of_before_our_handler_is_set(tmp_path: Path) -> None:
    """Both are on: its preemption service takes the signal of one process, and both save.

    It looks for signals once a second: the run is long enough to be found.
    """
    run, port = tmp_path / "run", pod_smoke.free_port()
    train = ["train", *ARGUMENTS, "--total-steps", "160000", "--out", str(run)]
    commands = [[*COMMAND, *train], [sys.executable, "-c", PREEMPTED, *train]]
    codes, said = ends([pod_smoke.start(each, 2, i, port) for i, each in enumerate(commands)])
    assert codes == [75, 75], said
    assert "stopped by SIGTERM" in said[0]
    (newest, *_) = steps(run / "checkpoints")
    assert newest == read_rows(run / "metrics.jsonl")[-1].update
    assert leaf_digests(run / "checkpoints")


def test_one_process_that_jax_has_joined_is_ended_as_any_other(tmp_path: Path) -> None:
    """Before there is anything to save: the service would take the signal, and tell nobody."""
    train = ["train", *ARGUMENTS, "--out", str(tmp_path / "run")]
    command = [sys.executable, "-c", PREEMPTED, *train]
    codes, said = ends([pod_smoke.start(command, 1, 0, pod_smoke.free_port())])
    assert codes == [-signal.SIGTERM], said


def test_either_that_is_killed_takes_the_other_with_it(undisturbed: Path, tmp_path: Path) -> None:
    """One after the other; what goes on from there ends as what was never disturbed."""
    run = tmp_path / "run"
    killed(run, 1, 12)
    killed(run, 0, 30, "--or-resume")
    codes, said = ends(start(run, "--or-resume"))
    assert codes == [0, 0], said
    assert same_end(run, undisturbed)


def test_what_the_first_refuses_all_refuse(undisturbed: Path) -> None:
    codes, said = ends(start(undisturbed))
    assert codes == [2, 2], said
    for text in said:
        assert "expected a folder without a run" in text
