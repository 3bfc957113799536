"""`make soak`: training that is killed, stopped and left without room, again and again.

A run is trained undisturbed; its memory and its open files are watched. The same run is trained
under `metarl supervise`, while faults are caused in turn: the process is killed, at any moment or
in the middle of a save, sent SIGTERM, or cannot write for a while. It must end in the same state,
with the same rows; the supervisor is watched, too.
"""

import collections
import contextlib
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
from typing import Any

import numpy as np
import tyro

from metarl_experiments.process.runtime import COMMAND
from metarl_jax.checkpoint.folder import steps
from metarl_jax.training.metrics_file import read_rows
from metarl_jax.training.plan import WALL_CLOCK_FIELDS
from metarl_jax.trees import digest
from metarl_jax.types import ConfigurationError
from system_checks.next_gradient import saved_state
from system_checks.trials import child_of, exit_on_signal, expect

PRESET = ("bandit_10_5", "--num-tasks", "64", "--memory.hidden-size", "32")
STEPS_PER_MINUTE = 24_000_000
"""Of two cores; a slower machine takes longer."""
SAVES_PER_MINUTE, FEWEST_SAVES = 1.5, 12
"""Of training. Of each save tensorstore keeps some 23 kB for ever: of ten a minute more than runs
make, and more than what is looked for."""
START_MINUTES, BOTH_RUNS = 1.0, 2.3
"""What the starts of runs with the fewest saves take; and both runs together, in times the one that
is undisturbed."""
LIMIT, PATIENCE_SECONDS = 12, 600
"""Times as long as undisturbed, and so much besides for the starts, and it is given up."""
WATCH_SECONDS = 0.25
WARM_UP, GROWTH = 0.5, 0.01
"""The part of a process's life that is not looked at, and by how much memory may grow after it."""
NO_ROOM_BYTES = 4096
"""No file may grow beyond so much."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoakOptions:
    """Train a run amid faults, and compare it to one that was let be.

    Attributes:
        out: a folder that does not exist yet, for both runs.
        minutes: about as long, in all; more than 1.
        seed: of the faults.
    """

    out: Path
    minutes: float = 120.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.minutes <= START_MINUTES:
            raise ConfigurationError(
                f"expected more than {START_MINUTES:g} minute, got {self.minutes}; take 3, or 120."
            )
        if self.out.exists():
            raise ConfigurationError(
                f"expected a new folder, got {self.out}; choose another --out."
            )
        if not Path("/proc/self/statm").exists():
            raise ConfigurationError("expected a system with /proc, as Linux has it, got none.")


def main() -> int:
    """Runs both; 0 where all of it holds."""
    options = tyro.cli(SoakOptions, prog="make soak")
    options.out.mkdir(parents=True)
    minutes = (options.minutes - START_MINUTES) / BOTH_RUNS
    saves = max(FEWEST_SAVES, round(SAVES_PER_MINUTE * minutes))
    train = ["train", *PRESET, "--total-steps", str(int(STEPS_PER_MINUTE * minutes))]
    train += ["--num-evaluations", str(saves)]
    whole, disturbed = options.out / "whole", options.out / "disturbed"
    check_whole([*COMMAND, *train, "--out", str(whole)], whole / "metrics.jsonl")
    seconds = read_rows(whole / "metrics.jsonl")[-1].seconds or 0.0
    limit = LIMIT * seconds + PATIENCE_SECONDS
    soak = Soak(disturbed, seconds / saves, limit, random.Random(options.seed))
    soak.disturb([*train, "--out", str(disturbed)])
    check_same(disturbed, whole)
    return 0


def check_same(disturbed: Path, whole: Path) -> None:
    """What both have come to, as it can be read back."""
    states = [
        digest(saved_state(run, steps(run / "checkpoints")[0])[1]) for run in (disturbed, whole)
    ]
    expect(
        states[0] == states[1], "the last state is, bit for bit, that of the run that was let be"
    )
    expect(rows(disturbed) == rows(whole), "and so is every row of its metrics")
    evaluations = [
        (run / "evaluation.json").read_text(encoding="utf-8") for run in (disturbed, whole)
    ]
    expect(evaluations[0] == evaluations[1], "and its evaluation")


class Watched:
    """What a process held, from moment to moment.

    Args:
        process: its number.
        name: what it is called.
    """

    def __init__(self, process: int, name: str) -> None:
        self._place, self._name = Path(f"/proc/{process}"), name
        self._seen: list[tuple[int, int]] = []

    def look(self) -> None:
        """Once more; an ended process holds nothing."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pages = int((self._place / "statm").read_text(encoding="utf-8").split()[1])
            files = len(list((self._place / "fd").iterdir()))
            if pages:
                self._seen.append((pages * resource.getpagesize(), files))

    def check(self, until: int | None = None) -> None:
        """Memory and open files stayed what they were after the warm-up.

        Args:
            until: so many looks count; None: all.
        """
        seen = np.array(self._seen[:until])
        seen = seen[int(WARM_UP * len(seen)) :]
        early, late = (np.array_split(seen, 4)[i] for i in (0, -1))
        before, now = np.median(early[:, 0]), np.median(late[:, 0])
        told = f"{self._name}: memory grew by {now / before - 1:.2%}, to {now / 1e6:.0f} MB"
        expect(now <= (1 + GROWTH) * before, told)
        before, now = early[:, 1].min(), late[:, 1].min()  # between two saves
        expect(now <= before, f"{self._name}: open files {now}, before {before}")

    def __len__(self) -> int:
        return len(self._seen)


def check_whole(command: list[str], metrics: Path) -> None:
    """Trains undisturbed; memory and open files stay what they are after the warm-up."""
    written, trained = 0, 0
    with running(command, subprocess.DEVNULL) as process:
        watched = Watched(process.pid, "undisturbed")
        while process.poll() is None:
            size = _size(metrics)
            if size:  # before its first row it imports and compiles
                watched.look()
            if size > written:  # what comes after the last row is evaluated and drawn
                written, trained = size, len(watched)
            time.sleep(WATCH_SECONDS)
    expect(process.returncode == 0, f"trained undisturbed, exit code {process.returncode}")
    watched.check(trained)


@contextlib.contextmanager
def running(command: list[str], out: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that does not outlive this one's interest in it."""
    process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@dataclasses.dataclass(frozen=True)
class Soak:
    """A run under a supervisor, and what is done to it.

    Attributes:
        run: its folder.
        save_seconds: of training, from save to save.
        limit_seconds: it is given up after.
        draw: of the faults.
    """

    run: Path
    save_seconds: float
    limit_seconds: float
    draw: random.Random

    def disturb(self, train: list[str]) -> None:
        """Trains amid faults, all kinds in each round of them."""
        options = ["--pause", "0.1", "--patience", "20"]
        supervised = [*COMMAND, "supervise", *options, "--", "metarl", *train]
        log = self.run.with_suffix(".log")
        met: collections.Counter[str] = collections.Counter()
        until = time.monotonic() + self.limit_seconds
        with running(supervised, subprocess.PIPE) as supervisor, log.open("wb") as file:
            # Through a pipe: a file's size is limited where there is to be no room.
            copying = subprocess.Popen(["cat"], stdin=supervisor.stdout, stdout=file)
            watched = Watched(supervisor.pid, "supervisor")
            for name in self.rounds():
                if not self.trains(supervisor, watched, until):
                    break
                with contextlib.suppress(IndexError, FileNotFoundError, ProcessLookupError):
                    # Between two starts there is no child.
                    met[name] += FAULTS[name](self, child_of(supervisor.pid))
            code = supervisor.wait()
            copying.wait()
        told = ", ".join(f"{number} × {name}" for name, number in sorted(met.items()))
        expect(code == 0, f"trained amid faults, exit code {code}: {told}")
        expect(all(met[name] for name in FAULTS), "every kind of fault was met")
        expect(b"failed saves so far" in log.read_bytes(), "saves failed, and it was told")
        watched.check()

    def rounds(self) -> Iterator[str]:
        """Faults, each kind as often as any other."""
        while True:
            yield from self.draw.sample(list(FAULTS), len(FAULTS))

    def trains(self, supervisor: "subprocess.Popen[bytes]", watched: Watched, until: float) -> bool:
        """Waits for new rows, for up to one and a half save intervals; whether there are any still.

        Raises:
            TimeoutError: it takes too long.
        """
        metrics = self.run / "metrics.jsonl"
        wanted = self.draw.uniform(0.1, 1.5) * self.save_seconds
        trained, size = 0.0, _size(metrics)
        while trained < wanted:
            if supervisor.poll() is not None or (self.run / "evaluation.json").exists():
                return False
            if time.monotonic() > until:
                raise TimeoutError(f"expected {self.run} to end within {self.limit_seconds:.0f} s.")
            watched.look()
            time.sleep(WATCH_SECONDS / 5)
            trained += WATCH_SECONDS / 5 * (_size(metrics) > size)  # it has written since
        return True

    def kill(self, process: int) -> bool:
        """SIGKILL, now."""
        os.kill(process, signal.SIGKILL)
        return True

    def kill_in_a_save(self, process: int) -> bool:
        """SIGKILL as soon as the next save has begun, a few milliseconds into it."""
        began = time.time()
        until = time.monotonic() + 3 * self.save_seconds
        while not any(_changed(place) > began for place in self.run.glob("checkpoints/*-tmp*")):
            if time.monotonic() > until:
                return False
            time.sleep(0.001)
        os.kill(process, signal.SIGKILL)
        return True

    def terminate(self, process: int) -> bool:
        """SIGTERM."""
        os.kill(process, signal.SIGTERM)
        return True

    def fill_the_disk(self, process: int) -> bool:
        """No file may grow until a save has failed: a quota, as not everybody may mount a disk."""
        soft, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
        resource.prlimit(process, resource.RLIMIT_FSIZE, (NO_ROOM_BYTES, hard))
        try:
            time.sleep(1.5 * self.save_seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                resource.prlimit(process, resource.RLIMIT_FSIZE, (soft, hard))
        return True


FAULTS: dict[str, Callable[[Soak, int], bool]] = {
    "SIGKILL": Soak.kill,
    "SIGKILL in a save": Soak.kill_in_a_save,
    "SIGTERM": Soak.terminate,
    "no room": Soak.fill_the_disk,
}


def rows(run: Path) -> list[dict[str, Any]]:
    """Of the metrics, without what the clock makes of them."""
    return [
        {name: value for name, value in row.to_json().items() if name not in WALL_CLOCK_FIELDS}
        for row in read_rows(run / "metrics.jsonl")
    ]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _changed(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_ctime
    return 0.0


if __name__ == "__main__":
    sys.exit(exit_on_signal(main))
