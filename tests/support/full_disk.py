"""A disk that is full: a limit on this process's files, or a small disk, where one may be mounted.

unshare -Urm python full_disk.py ROOM        prints what came of it, as JSON
"""

import contextlib
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from metarl_jax.checkpoint.folder import steps
from metarl_jax.trees import digest
from support.random_walk import Recorder, run
from support.run_folders import rows_of


@contextlib.contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """No file of this process may grow past so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fill(place: Path) -> None:
    """Writes until nothing more can be."""
    with place.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 512):
                continue
        except OSError:
            return


def main(room: Path) -> None:
    subprocess.check_call(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(room)])
    ballast, folder = room / "ballast", room / "run"
    recorder = Recorder(at_8=lambda: fill(ballast), at_14=ballast.unlink)
    outcome = run(folder, recorder=recorder)
    told = {
        "exit_code": outcome.exit_code,
        "failed_saves": outcome.failed_saves,
        "digest": digest(outcome.state),
        "rows": rows_of(folder),
        "warnings": recorder.warnings,
        "steps": steps(folder / "checkpoints"),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
