"""SIGKILL at a random moment, half of the time in a save: what is lost, and what stays."""

import math
import random
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import jax
import pytest

from metarl_jax.checkpoint.checkpoint import restore
from metarl_jax.checkpoint.folder import steps, unfinished
from metarl_jax.training.metrics_file import read_rows
from metarl_jax.trees import digest
from support.random_walk import BAD_UPDATES, walk
from support.walking_process import PLAN, walking

KILLS = 20
LONGEST_WAIT = 30.0


@pytest.fixture(scope="module")
def undisturbed() -> list[tuple[str, float]]:
    """Of the state after every update: its digest, and its weight."""
    algorithm = walk(BAD_UPDATES)
    state, update = algorithm.init(jax.random.key(3)), jax.jit(algorithm.update)
    seen = []
    for _ in range(PLAN.num_updates + 1):
        seen.append((digest(state), float(state.learner.params.weights["w"])))
        state = update(state)[0]
    return seen


def told(ear: Connection) -> Iterator[int]:
    """The saves that were finished so far."""
    while ear.poll():
        try:
            yield ear.recv()
        except EOFError:  # all of it
            return


def wait_for_a_save(folder: Path, left: list[Path]) -> None:
    """Until one has begun that is none of what was left before, and is not finished."""
    until = time.monotonic() + LONGEST_WAIT
    while set(unfinished(folder / "checkpoints")) <= set(left):
        assert time.monotonic() < until, "no save begins"
        time.sleep(0.001)


def test_nothing_that_was_saved_is_lost(tmp_path, undisturbed) -> None:
    folder, draw = tmp_path / "run", random.Random(0)
    folder.mkdir()
    template = jax.eval_shape(walk().init, jax.random.key(0))
    finished, broken_off = 0, 0
    for kill in range(KILLS):
        with walking(folder) as (process, ear):
            left = unfinished(folder / "checkpoints")
            assert ear.poll(LONGEST_WAIT), "no save is finished"
            finished = max(finished, ear.recv())
            time.sleep(draw.uniform(0, 0.4))
            if kill % 2:
                wait_for_a_save(folder, left)
                time.sleep(draw.uniform(0, 0.03))
            assert process.is_alive()
        finished = max([finished, *told(ear)])
        newest = steps(folder / "checkpoints")[0] if finished else 0
        assert newest >= finished, f"kill {kill}: a finished save is lost"
        if newest:
            restored = restore(folder / "checkpoints", template)
            assert restored.step == newest, f"kill {kill}: {restored.passed_over}"
            assert digest(restored.state) == undisturbed[newest][0], f"kill {kill}: a wrong state"
        finished = newest
        broken_off += len(unfinished(folder / "checkpoints"))
    assert finished >= KILLS / 2, "too few saves to tell"
    assert broken_off >= KILLS / 4, "too few kills in a save to tell"
    rows = read_rows(folder / "metrics.jsonl")
    assert [row.update for row in rows] == list(range(1, len(rows) + 1))
    for row in rows:
        expected = undisturbed[row.update][1]
        w = row.metrics["w"]
        assert math.isnan(w) if row.update in BAD_UPDATES else w == expected
