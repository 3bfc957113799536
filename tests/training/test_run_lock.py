"""Who trains a run holds its folder: a second one waits, and is then refused."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metarl_jax.training import run_lock
from metarl_jax.training.run_lock import held
from metarl_jax.types import PeerError
from support import random_walk
from support.command_line import assert_well_put

HOLDER = (
    "import pathlib, sys, time\n"
    "from metarl_jax.training.run_lock import held\n"
    "with held(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)\n"
)


def test_one_holds_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "PATIENCE_SECONDS", 0.2)
    with held(tmp_path):
        began = time.monotonic()
        with pytest.raises(PeerError, match="which another process holds") as refusal:
            random_walk.run(tmp_path)
        assert time.monotonic() - began >= 0.2
        assert_well_put(str(refusal.value))
        with held(tmp_path.parent):
            assert os.listdir(tmp_path) == []
    with held(tmp_path), pytest.raises(KeyError), held(tmp_path.parent):
        raise KeyError
    with held(tmp_path.parent):
        assert os.listdir(tmp_path) == []


def test_who_is_killed_lets_go(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert not run_lock._locked(os.open(tmp_path, os.O_RDONLY))
        holder.kill()
        with held(tmp_path):
            assert holder.wait() < 0


def test_where_there_are_no_locks_nothing_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(descriptor: int, how: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(run_lock.fcntl, "flock", unsupported)
    with held(tmp_path), held(tmp_path):
        assert os.listdir(tmp_path) == []
