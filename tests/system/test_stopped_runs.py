"""Runs in processes of their own, which a signal stops and `--resume` goes on with."""

import json
import pathlib
import signal

from metarl_jax.checkpoint.checkpoint import leaf_digests
from support.command_line import SMALL, metarl, signalled
from support.run_folders import rows_of

BEGIN = ["train", "mouse_lecture", *SMALL, "--algorithm", "ppo"]
BEGIN += ["--algorithm.epochs", "2", "--algorithm.minibatches", "2"]
BEGIN += ["--total-steps", "48000", "--num-evaluations", "20"]
"""1,000 updates in 100 chunks: some seconds to be stopped in."""


def test_a_run_stopped_twice_is_the_run_that_was_not(tmp_path: pathlib.Path) -> None:
    """By SIGTERM and by SIGINT: every leaf, row and result is that of the run left alone.

    Being killed is the soak's (test_supervise.py).
    """
    run, stopped = tmp_path / "whole", tmp_path / "stopped"
    whole = metarl(*BEGIN, "--out", run)
    assert whole.returncode == 0, whole.stderr
    arguments = [*BEGIN, "--out", stopped]
    for number, code in ((signal.SIGTERM, 75), (signal.SIGINT, 130)):
        result = signalled(stopped, number, *arguments)
        assert result.returncode == code, result.stdout + result.stderr
        assert f"stopped by {number.name}" in result.stdout
        assert f"go on with:  metarl train --resume {stopped}" in result.stdout
        arguments = ["train", "--resume", stopped]
    assert len(rows_of(stopped)) < len(rows_of(run)), "it was not stopped before its end"
    result = metarl(*arguments)
    assert result.returncode == 0, result.stderr
    assert rows_of(stopped) == rows_of(run)
    assert leaf_digests(stopped / "checkpoints") == leaf_digests(run / "checkpoints")
    evaluations = [json.loads((place / "evaluation.json").read_text()) for place in (stopped, run)]
    assert evaluations[0] == evaluations[1]
