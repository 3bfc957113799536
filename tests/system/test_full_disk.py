"""A disk that is really full: a small one, mounted in a namespace of the test's own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from metarl_jax.trees import digest
from support.run_folders import rows_of

UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]


def may_mount() -> bool:
    """Whether this system lets its users mount in a namespace of their own."""
    mount = [*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(
    not may_mount(), reason="no disk can be mounted here: test_checkpoint.py has a quota instead"
)
def test_training_goes_on_while_the_disk_is_full(tmp_path: Path, undisturbed) -> None:
    command = [*UNSHARE, sys.executable, "-m", "support.full_disk", str(tmp_path)]
    said = subprocess.check_output(command, cwd=Path(__file__).parents[1], text=True)
    told = json.loads(said.splitlines()[-1])
    assert (told["exit_code"], told["failed_saves"], told["steps"]) == (0, 1, [24, 18])
    assert any("No space left on device" in text for text in told["warnings"])
    assert any("failed saves so far: 1" in text for text in told["warnings"])
    folder, outcome = undisturbed
    assert told["digest"] == digest(outcome.state)
    assert told["rows"] == rows_of(folder)
