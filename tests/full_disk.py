"""A run on a disk of two megabytes that is full for a while; in a namespace that may mount one.

unshare -Urm python full_disk.py ROOM        prints what came of it, as JSON
"""

import json
import subprocess
import sys
from pathlib import Path

from metarl_jax.checkpoint_folder import steps
from metarl_jax.fingerprint import digest
from random_walk import Recorder, run
from runs import rows_of


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
