"""Two processes that train one run: what is done to one of them, both bear."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from metarl_experiments import pod_smoke
from metarl_jax.checkpoint import leaf_digests
from metarl_jax.checkpoint_folder import steps
from metarl_jax.metrics_file import read_rows

HEARTBEAT = 5
ARGUMENTS = (
    *("bandit_10_5", "--num-tasks", "8", "--hidden-size", "8", "--embedding-size", "8"),
    *("--total-steps", "16000", "--num-evaluations", "10", "--evaluation-tasks", "6"),
    *("--final-evaluation-tasks", "7", "--devices", "1", "--heartbeat", str(HEARTBEAT)),
)
WAIT_SECONDS = 100


def start(run: Path, *more: str) -> list["subprocess.Popen[str]"]:
    """Both processes of the run, or of its going on."""
    port = pod_smoke.free_port()
    command = [pod_smoke.METARL, "train", *ARGUMENTS, "--out", str(run), *more]
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


@pytest.fixture
def running(tmp_path: Path) -> Iterator[list["subprocess.Popen[str]"]]:
    """A run half way: with checkpoints, and with more to do."""
    processes = start(tmp_path / "run")
    pod_smoke.wait_for_rows(tmp_path / "run" / "metrics.jsonl", 12)
    yield processes
    for process in processes:
        process.kill()


def test_one_writes_and_both_tell_who_they_are(undisturbed: Path) -> None:
    updates = [row["update"] for row in read_rows(undisturbed / "metrics.jsonl")]
    assert updates == sorted(set(updates))
    assert len(updates) == 50
    assert {"evaluation.json", "report.html"} <= {path.name for path in undisturbed.iterdir()}


@pytest.mark.parametrize("asked", [0])
def test_a_signal_to_one_stops_both_after_the_same_update(
    running: list["subprocess.Popen[str]"], undisturbed: Path, tmp_path: Path, asked: int
) -> None:
    running[asked].send_signal(signal.SIGTERM)
    codes, said = ends(running)
    assert codes == [75, 75], said
    run = tmp_path / "run"
    assert "stopped by SIGTERM after" in said[0]
    assert read_rows(run / "metrics.jsonl")[-1]["update"] == steps(run / "checkpoints")[0]
    codes, said = ends(start(run, "--or-resume"))
    assert codes == [0, 0], said
    assert same_end(run, undisturbed)


@pytest.mark.parametrize("killed", [0, 1])
def test_one_that_is_killed_takes_the_other_with_it(
    running: list["subprocess.Popen[str]"], undisturbed: Path, tmp_path: Path, killed: int
) -> None:
    running[killed].kill()
    began = time.monotonic()
    codes, said = ends(running)
    assert time.monotonic() - began < 3 * HEARTBEAT, said
    assert codes[killed] == -signal.SIGKILL
    assert codes[1 - killed] in (75, -signal.SIGABRT), said  # its own words, or jax's
    codes, said = ends(start(tmp_path / "run", "--or-resume"))
    assert codes == [0, 0], said
    assert same_end(tmp_path / "run", undisturbed)


def test_what_the_first_refuses_all_refuse(undisturbed: Path) -> None:
    codes, said = ends(start(undisturbed))
    assert codes == [2, 2], said
    for text in said:
        assert "expected a folder without a run" in text
