"""`make soak`: training that is killed, stopped and left without room, again and again.

A run is trained undisturbed; its memory and its open files are watched. The same run is trained
under `metarl supervise`, while every few seconds a fault is chosen at random: the process is
killed, at any moment or in the middle of a save, sent SIGTERM, or cannot write for a while. It
must end in the same state, with the same rows.
"""

import collections
import dataclasses
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tyro

from metarl_experiments.pod_smoke import METARL, child_of, expect
from metarl_jax.checkpoint import leaf_digests
from metarl_jax.metrics_file import read_rows
from metarl_jax.training_plan import WALL_CLOCK_FIELDS

PRESET = ("bandit_10_5", "--num-tasks", "64", "--hidden-size", "32")
EVALUATIONS_PER_MINUTE = 10
"""Of the undisturbed run; after each it saves, of which tensorstore keeps some 20 kB for ever."""
STEPS_PER_MINUTE = 24_000_000
WATCH_SECONDS = 0.25
GROWTH = 0.01
"""By how much memory may grow, from the third quarter of the run to the last."""
NO_ROOM_BYTES, NO_ROOM_SECONDS = 4096, 8
"""No file may grow beyond so much, for so long: it takes in a save."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoakOptions:
    """Train a run amid faults, and compare it to one that was let be.

    Attributes:
        out: a folder that does not exist yet, for both runs.
        minutes: about as long, in all.
        seed: of the faults.
    """

    out: Path
    minutes: float = 120.0
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Watched:
    """What a process held, from moment to moment.

    Attributes:
        resident: bytes of memory, [N].
        files: open files, [N].
    """

    resident: np.ndarray
    files: np.ndarray


def main() -> int:
    """Runs both; 0 where all of it holds."""
    options = tyro.cli(SoakOptions, prog="make soak")
    options.out.mkdir(parents=True)
    minutes = options.minutes / 4  # of training that nothing disturbs; faults cost the rest
    command = [METARL, "train", *PRESET, "--total-steps", str(int(STEPS_PER_MINUTE * minutes))]
    command += ["--num-evaluations", str(max(8, int(EVALUATIONS_PER_MINUTE * minutes)))]
    whole, disturbed = options.out / "whole", options.out / "disturbed"
    check_whole([*command, "--out", str(whole)], whole / "metrics.jsonl")
    faults = disturb([*command, "--out", str(disturbed)], disturbed, random.Random(options.seed))
    told = ", ".join(f"{number} × {fault}" for fault, number in sorted(faults.items()))
    expect(sum(faults.values()) > 0, f"faults: {told}")
    last = [leaf_digests(run / "checkpoints") for run in (disturbed, whole)]
    expect(last[0] == last[1], "the last state is, bit for bit, that of the run that was let be")
    expect(rows(disturbed) == rows(whole), "and so is every row of its metrics")
    return 0


def check_whole(command: list[str], metrics: Path) -> None:
    """Trains undisturbed; memory and open files stay what they are after the warm-up."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    seen = watch(process, metrics)
    expect(process.returncode == 0, f"trained undisturbed, exit code {process.returncode}")
    before, now = (np.median(quarter) for quarter in last_quarters(seen.resident))
    told = f"memory grew by {now / before - 1:.2%} after the warm-up, to {now / 1e6:.0f} MB"
    expect(now <= (1 + GROWTH) * before, told)
    before, now = (quarter.min() for quarter in last_quarters(seen.files))  # between two saves
    expect(now <= before, f"open files: {now}, before {before}")


def last_quarters(values: np.ndarray) -> list[np.ndarray]:
    """The third, which ends the warm-up, and the last."""
    return np.array_split(values, 4)[2:]


def watch(process: "subprocess.Popen[bytes]", metrics: Path) -> Watched:
    """Looks at a process until it has ended; what it held as long as it wrote its metrics."""
    seen: list[tuple[int, int]] = []
    written, trained = 0, 0
    while process.poll() is None:
        try:
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        except OSError:  # it has just ended
            break
        seen.append((pages * resource.getpagesize(), files))
        if _size(metrics) > written:  # what comes after the last row is evaluated and drawn
            written, trained = _size(metrics), len(seen)
        time.sleep(WATCH_SECONDS)
    process.wait()
    return Watched(*np.array(seen[:trained]).T)


def disturb(command: list[str], run: Path, draw: random.Random) -> collections.Counter[str]:
    """Trains under a supervisor, amid faults; how many there were of each kind."""
    supervised = [METARL, "supervise", "--pause", "0.1", "--patience", "20", "--", *command]
    faults: collections.Counter[str] = collections.Counter()
    with subprocess.Popen(supervised, stdout=subprocess.DEVNULL) as supervisor:
        for wait in pauses(draw):
            if not training(supervisor, run, wait):
                break
            fault = draw.choice(tuple(FAULTS))
            try:
                FAULTS[fault](child_of(supervisor.pid), run)
            except (IndexError, OSError):  # between two starts there is no child
                continue
            faults[fault] += 1
        code = supervisor.wait()
    expect(code == 0, f"trained amid faults, exit code {code}")
    return faults


def pauses(draw: random.Random) -> Iterator[float]:
    """Seconds of training from fault to fault."""
    while True:
        yield draw.uniform(0.5, 12.0)


def training(supervisor: "subprocess.Popen[bytes]", run: Path, seconds: float) -> bool:
    """Waits until a process has trained for so long; whether any still does."""
    rows, trained = run / "metrics.jsonl", 0.0
    before = _size(rows)
    while trained < seconds:
        if supervisor.poll() is not None or (run / "evaluation.json").exists():
            return False
        time.sleep(0.05)
        trained += 0.05 * (_size(rows) != before)  # it has written since
    return True


def kill(process: int, run: Path) -> None:
    """SIGKILL, now."""
    del run
    os.kill(process, signal.SIGKILL)


def kill_in_a_save(process: int, run: Path) -> None:
    """SIGKILL as soon as a save has begun, a few milliseconds into it."""
    until = time.monotonic() + 5
    while time.monotonic() < until and not any(run.glob("checkpoints/*.orbax-checkpoint-tmp*")):
        time.sleep(0.001)
    os.kill(process, signal.SIGKILL)


def terminate(process: int, run: Path) -> None:
    """SIGTERM."""
    del run
    os.kill(process, signal.SIGTERM)


def fill_the_disk(process: int, run: Path) -> None:
    """No file of the process may grow for a while: a quota, as not everybody may mount a disk."""
    del run
    soft, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (NO_ROOM_BYTES, hard))
    time.sleep(NO_ROOM_SECONDS)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (soft, hard))


FAULTS: dict[str, Callable[[int, Path], None]] = {
    "SIGKILL": kill,
    "SIGKILL in a save": kill_in_a_save,
    "SIGTERM": terminate,
    "no room": fill_the_disk,
}


def rows(run: Path) -> list[dict[str, object]]:
    """Of the metrics, without what the clock makes of them."""
    return [
        {name: value for name, value in row.items() if name not in WALL_CLOCK_FIELDS}
        for row in read_rows(run / "metrics.jsonl")
    ]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


if __name__ == "__main__":
    sys.exit(main())
