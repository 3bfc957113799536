"""`make pod-smoke`: a pod in small, two processes of two devices each on this machine.

A run is trained over loopback by the launcher of bare machines; another one like it is stopped half
way, by a signal to one of its processes, and goes on. Then 2 × 2, 1 × 4 and 1 × 1 devices read one
of its checkpoints, and each takes the gradient of the update after it.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from metarl_jax.checkpoint.checkpoint import leaf_digests
from metarl_jax.checkpoint.folder import steps
from metarl_jax.training.metrics_file import read_rows
from system_checks.next_gradient import STATE
from system_checks.trials import child_of, exit_on_signal, expect

LAUNCHER = Path(__file__).resolve().parents[1] / "launch" / "bare.sh"
RUN = (
    *("bandit_10_5", "--num-tasks", "128", "--total-steps", "256000", "--num-evaluations", "10"),
    *("--final-evaluation-tasks", "1001", "--devices", "2", "--heartbeat", "20"),
)
TOPOLOGIES = ((2, 2), (1, 4), (1, 1))
"""Processes, and devices of each."""
TOLERANCE = 1e-6
"""Of a gradient, relative to its largest number: its sums are taken in another order."""
LIMIT_SECONDS = 170
START_SECONDS = 100

Processes = list["subprocess.Popen[str]"]
Seen = dict[str, np.ndarray]
STARTED: Processes = []
"""Ended with this process, however it ends."""


def main() -> int:
    """Runs all of it in a folder of its own; 0 where all of it holds."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        whole, stopped = Path(name) / "whole", Path(name) / "stopped"
        try:
            check_whole(whole)
            check_stopped(stopped, whole)
            check_gradients(whole, Path(name))
        finally:
            for process in STARTED:
                process.terminate()
            for process in STARTED:  # they write to the folder until they have ended
                process.communicate()
    seconds = time.monotonic() - began
    expect(seconds < LIMIT_SECONDS, f"{seconds:.0f} s, of {LIMIT_SECONDS} at most")
    return 0


def check_whole(run: Path) -> None:
    """Trains a run by the launcher of bare machines."""
    processes = launch(run)
    said = [process.communicate(timeout=LIMIT_SECONDS)[0] for process in processes]
    codes = [process.returncode for process in processes]
    expect(codes == [0, 0], f"two processes of two devices trained, exit codes {codes}", said)
    for i, text in enumerate(said):
        head = f"{i} of 2, 2 devices here and 4 in all"
        expect(head in text, f"the header of process {i} says: {head}", said)


def check_stopped(run: Path, whole: Path) -> None:
    """Stops such a run half way; it goes on by itself, and ends as the other did."""
    processes = launch(run)
    wait_for_rows(run / "metrics.jsonl", 20)
    os.kill(child_of(processes[1].pid), signal.SIGTERM)  # its supervisor has not been asked
    said = [process.communicate(timeout=LIMIT_SECONDS)[0] for process in processes]
    codes = [process.returncode for process in processes]
    both = all("ended with code 75" in text for text in said) and "stopped by SIGTERM" in said[0]
    expect(both, "one process was sent SIGTERM, both saved and left with 75", said)
    expect(codes == [0, 0], f"started again they went on to the end, exit codes {codes}", said)
    ends = [leaf_digests(folder / "checkpoints") for folder in (run, whole)]
    same = ends[0] == ends[1] and len(ends[0]) > 0
    expect(same, "the last checkpoint is, bit for bit, that of the run never stopped")


def check_gradients(run: Path, folder: Path) -> None:
    """Reads the last checkpoint but one with each topology, and compares what they make of it."""
    step = steps(run / "checkpoints")[1]
    seen = [look(run, step, folder, *topology) for topology in TOPOLOGIES]
    digests = {str(process[STATE]) for processes in seen for process in processes}
    expect(len(digests) == 1, f"all processes read the same state of update {step}: {digests}")
    for (count, devices), processes in zip(TOPOLOGIES, seen, strict=True):
        errors = [difference(process, seen[-1][0]) for process in processes]
        told = f"gradient of {count} × {devices} beside that of one device: {max(errors):.1e}"
        expect(max(errors) <= TOLERANCE, told)


def launch(run: Path) -> Processes:
    """Both processes of a run, by the launcher."""
    port = free_port()
    return [start([str(LAUNCHER), *RUN, "--out", str(run)], 2, i, port) for i in range(2)]


def look(run: Path, step: int, folder: Path, count: int, devices: int) -> list[Seen]:
    """What each of so many processes makes of a checkpoint."""
    module = [sys.executable, "-P", "-m", "system_checks.next_gradient", str(run), str(step)]
    port, places = free_port(), [folder / f"{count}-{devices}-{i}.npz" for i in range(count)]
    processes = [
        start([*module, str(place), "--devices", str(devices)], count, i, port)
        for i, place in enumerate(places)
    ]
    said = [process.communicate(timeout=LIMIT_SECONDS)[0] for process in processes]
    codes = [process.returncode for process in processes]
    expect(not any(codes), f"{count} × {devices} devices read its checkpoint {step}", said)
    return [dict(np.load(place)) for place in places]


def start(command: list[str], count: int, process: int, port: int) -> "subprocess.Popen[str]":
    """One of so many processes that find each other over loopback."""
    named = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "METARL_COORDINATOR": f"127.0.0.1:{port}",
        "METARL_NUM_PROCESSES": str(count),
        "METARL_PROCESS_ID": str(process),
    }
    pipe = subprocess.PIPE
    environment = os.environ | named
    started = subprocess.Popen(
        command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )
    STARTED.append(started)
    return started


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for_rows(path: Path, count: int) -> None:
    """Waits until a run has written so many rows of metrics.

    Raises:
        TimeoutError: it does not come to that.
    """
    until = time.monotonic() + START_SECONDS
    while len(read_rows(path)) < count:
        if time.monotonic() > until:
            raise TimeoutError(f"expected {count} rows in {path} within {START_SECONDS} s.")
        time.sleep(0.02)


def difference(one: Seen, other: Seen) -> float:
    """The largest difference of two gradients, relative to the largest number of the second."""
    names = [name for name in other if name != STATE]
    largest = max(np.abs(other[name]).max() for name in names)
    return max(float(np.abs(one[name] - other[name]).max() / largest) for name in names)


if __name__ == "__main__":
    sys.exit(exit_on_signal(main))
