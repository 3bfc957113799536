"""The training loop: what it runs, what it writes, what it tells."""

import importlib
import signal
import threading
import time
from concurrent.futures import Future

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.checkpoint.folder import steps
from metarl_jax.training import chunks
from metarl_jax.training import loop as run_loop
from metarl_jax.training.chunks import ChunkRunner, fetch
from metarl_jax.training.metrics_file import MetricsFile, read_rows
from metarl_jax.training.plan import ExitCode, TrainingPlan
from metarl_jax.trees import digest
from metarl_jax.types import ConfigurationError
from support.random_walk import (
    BAD_UPDATES,
    PLAN,
    STEPS_PER_UPDATE,
    Recorder,
    assert_undisturbed,
    evaluate,
    kill,
    run,
    walk,
)
from support.run_folders import rows_of

training = importlib.import_module("metarl_jax.training.train")  # not the function of that name


def test_rows_are_those_of_a_plain_loop(undisturbed):
    folder, outcome = undisturbed
    state, update, expected = walk(BAD_UPDATES).init(jax.random.key(3)), 0, []
    step = jax.jit(walk(BAD_UPDATES).update)
    while update < PLAN.num_updates:
        ws = []
        worst = 0.0
        for _ in range(PLAN.updates_per_chunk):
            state, metrics = step(state)
            ws += [float(metrics["w"])] if np.isfinite(metrics["w"]) else []
            worst = max(worst, float(metrics["skipped_in_a_row"]))
        update += PLAN.updates_per_chunk
        row = {"update": update, "env_steps": update * STEPS_PER_UPDATE}
        row |= {"skipped": float(metrics["skipped"]), "skipped_in_a_row": worst}
        row |= {"w": float(np.mean(ws)) if ws else None}
        if update % 6 == 0:
            w = float(state.learner.params.weights["w"])
            row |= {"meta_test_episode_returns": [w, 2.0], "meta_test_total_return": w + 2.0}
            # Of 1 and 3: 1.96 times the standard deviation √2, by √2.
            row |= {"meta_test_episode_returns_ci95": [0.0, 1.96]}
            row |= {"meta_test_total_return_ci95": 1.96}
        expected.append(row)
    found = rows_of(folder)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            assert mine[name] == (value if value is None else pytest.approx(value, rel=1e-6)), name
    assert digest(outcome.state) == digest(state)
    assert outcome.exit_code == 0
    assert outcome.update == 24


def test_seconds_rise_and_speeds_are_positive(undisturbed):
    rows = read_rows(undisturbed[0] / "metrics.jsonl")
    seconds = [row.seconds for row in rows]
    assert seconds == sorted(seconds)
    assert all(row.env_steps_per_second > 0 for row in rows)


def test_the_reporter_gets_the_rows_and_the_totals(tmp_path):
    recorder = Recorder()
    run(tmp_path / "run", recorder=recorder)
    assert recorder.what == "2 updates"
    assert recorder.compile_seconds > 0
    assert [r.update for r in recorder.records] == list(range(2, 25, 2))
    assert recorder.totals == (24, 24 * STEPS_PER_UPDATE)
    assert recorder.warnings == []


def test_the_next_chunk_runs_while_metrics_are_fetched(tmp_path, monkeypatch):
    events = []
    start = ChunkRunner.start
    monkeypatch.setattr(ChunkRunner, "start", lambda self: (events.append("chunk"), start(self))[1])
    monkeypatch.setattr(run_loop, "fetch", lambda m: (events.append("fetch"), fetch(m))[1])
    traced = lambda params: (events.append("evaluate"), evaluate(params))[1]
    run(tmp_path / "run", evaluate=traced)
    ahead = ["chunk", "chunk", "fetch", "chunk", "fetch", "fetch", "evaluate"]
    assert events == ahead * 4


@pytest.mark.usefixtures("cpu")
def test_a_chunk_that_blocks_its_caller_holds_up_neither_rows_nor_signals(tmp_path, monkeypatch):
    """As a program with a host callback does, on a CPU."""

    def compile_chunk(*arguments):
        chunk = training_compile(*arguments)
        return lambda state: (time.sleep(0.2), chunk(state))[1]

    training_compile = training.compile_chunk
    monkeypatch.setattr(training, "compile_chunk", compile_chunk)
    monkeypatch.setattr(training, "require_room", lambda *_, alone: None)  # it is none of XLA's
    recorder = Recorder(at_6=kill(signal.SIGTERM))
    outcome = run(tmp_path / "run", recorder=recorder)
    assert outcome.update == 6
    took = [2 * STEPS_PER_UPDATE / row.env_steps_per_second for row in recorder.rows]
    assert all(seconds > 0.19 for seconds in took)
    assert sum(took) < recorder.rows[-1].seconds + 0.01


@pytest.mark.parametrize(("per_evaluation", "per_checkpoint"), [(1, 4), (4, 1)])
def test_evaluations_and_checkpoints_do_not_disturb_training(
    tmp_path, undisturbed, per_evaluation, per_checkpoint
):
    plan = TrainingPlan(
        num_updates=24,
        updates_per_chunk=2,
        chunks_per_evaluation=per_evaluation,
        chunks_per_checkpoint=per_checkpoint,
        checkpoints_kept=99,
    )
    outcome = run(tmp_path / "run", plan=plan)
    assert digest(outcome.state) == digest(undisturbed[1].state)
    assert steps(tmp_path / "run" / "checkpoints") == list(range(24, 0, -2 * per_checkpoint))
    returns = {r["update"]: r["meta_test_total_return"] for r in _evaluated(tmp_path / "run")}
    assert list(returns) == list(range(2 * per_evaluation, 25, 2 * per_evaluation))
    shared = {r["update"]: r["meta_test_total_return"] for r in _evaluated(undisturbed[0])}
    assert all(returns[update] == shared[update] for update in returns.keys() & shared.keys())


def _evaluated(folder):
    return [row for row in rows_of(folder) if "meta_test_total_return" in row]


def test_a_chunk_consumes_its_state():
    state = walk().init(jax.random.key(0))
    chunk = chunks.compile_chunk(walk(), 2, state)
    chunk(state)
    assert state.learner.params.weights["w"].is_deleted()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"num_updates": 7, "updates_per_chunk": 3}, "got 7 and 3; 9 is one"),
        ({"num_updates": 0, "updates_per_chunk": 1}, "num_updates must be at least 1, got 0"),
        ({"num_updates": 2, "updates_per_chunk": 1, "checkpoints_kept": 0}, "at least 1, got 0"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(settings, told):
    with pytest.raises(ConfigurationError, match=told):
        TrainingPlan(**settings)


def test_trains_in_another_thread(tmp_path, undisturbed):
    found = []
    thread = threading.Thread(target=lambda: found.append(run(tmp_path / "run")))
    thread.start()
    thread.join()
    assert_undisturbed(tmp_path / "run", found[0], undisturbed)


def test_metrics_of_a_chunk_become_one_number_each():
    nan = float("nan")
    metrics = {
        "loss": jnp.array([1.0, nan, 5.0]),
        "gone": jnp.array([nan, nan, jnp.inf]),
        "skipped": jnp.array([1.0, 2.0, 2.0]),
        "skipped_in_a_row": jnp.array([3.0, 4.0, 0.0]),
    }
    in_flight = Future()
    in_flight.set_result((None, metrics))
    found = fetch(in_flight)
    assert np.isnan(found.pop("gone"))
    assert found == {"loss": 3.0, "skipped": 2.0, "skipped_in_a_row": 4.0}


def test_rows_that_wait_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(MetricsFile, "append", lambda self, row: OSError(28, "No space left"))
    recorder = Recorder()
    assert run(tmp_path / "run", recorder=recorder).exit_code == ExitCode.FINISHED
    assert "metrics.jsonl waits for room" in recorder.warnings[0]
