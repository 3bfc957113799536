"""The training loop, around an algorithm whose updates are cheap and known: a random walk."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
from concurrent.futures import Future
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import run_loop, training
from metarl_jax.checkpoint import SaveError, restore, steps
from metarl_jax.chunks import ChunkRunner, fetch
from metarl_jax.evaluation import Evaluation
from metarl_jax.fingerprint import digest
from metarl_jax.learner import Algorithm, Learner, TrainState
from metarl_jax.loggers import TensorBoardLogger, WandbLogger
from metarl_jax.metrics_file import MetricsFile, keep_rows_until, read_rows
from metarl_jax.normalization import identity_statistics
from metarl_jax.policy import PolicyParams
from metarl_jax.signals import Stopped, stop_requests, stops_raise
from metarl_jax.training import ExitCode, TrainingPlan, train
from metarl_jax.types import ConfigurationError
from runs import rows_of

PLAN = TrainingPlan(num_updates=24, updates_per_chunk=2, chunks_per_evaluation=3)
STEPS_PER_UPDATE = 3_000_000_000  # more than int32 holds
BAD_UPDATES = (3, 4, 8)


@functools.cache
def walk(bad_updates=()):
    """A random walk of one weight; some of its updates fail and are skipped."""

    def init(key):
        zero, one = jnp.zeros((), jnp.int32), jnp.ones((), jnp.float32)
        params = PolicyParams(weights={"w": jnp.zeros((), jnp.float32)}, statistics=())
        learner = Learner(params, (), (), identity_statistics())
        return TrainState(learner, (), one, zero, zero, zero, key)

    def update(state):
        key, step_key = jax.random.split(state.key)
        w = state.learner.params.weights["w"]
        bad = jnp.isin(state.update + 1, jnp.asarray(bad_updates, jnp.int32))
        w = jnp.where(bad, w, w + jax.random.normal(step_key, (), jnp.float32))
        params = state.learner.params.replace(weights={"w": w})
        state = state.replace(
            learner=state.learner.replace(params=params),
            update=state.update + 1,
            skipped=state.skipped + jnp.where(bad, 1, 0),
            skipped_in_a_row=jnp.where(bad, state.skipped_in_a_row + 1, 0),
            key=key,
        )
        metrics = {
            "w": jnp.where(bad, jnp.nan, w),
            "skipped": state.skipped.astype(jnp.float32),
            "skipped_in_a_row": state.skipped_in_a_row.astype(jnp.float32),
        }
        return state, metrics

    return Algorithm(jax.jit(init), update, STEPS_PER_UPDATE)


def evaluate(params):
    """Two tasks, two episodes; tells which weights it was given."""
    w = float(params.weights["w"])
    return Evaluation(np.array([[w, 1.0], [w, 3.0]], np.float32), "")


class Recorder:
    """A reporter and a logger that remembers, and acts on a row where it is told to."""

    def __init__(self, **actions):
        self.warnings, self.records, self.rows = [], [], []
        self.actions = {int(name.removeprefix("at_")): act for name, act in actions.items()}

    def compiling(self, what):
        self.compiled = what

    def progress(self, record):
        self.records.append(record)

    def warn(self, message):
        self.warnings.append(message)

    def log(self, row):
        self.rows.append(row)
        if row["update"] in self.actions:
            self.actions[row["update"]]()


def run(folder, *, algorithm=None, recorder=None, plan=PLAN, evaluate=evaluate, resume_from=None):
    folder.mkdir(exist_ok=True)
    recorder = recorder or Recorder()
    algorithm = algorithm or walk(BAD_UPDATES)
    return train(
        algorithm,
        evaluate,
        plan,
        folder=folder,
        key=jax.random.key(3),
        reporter=recorder,
        loggers=[recorder],
        resume_from=resume_from,
    )


def kill(number):
    return lambda: os.kill(os.getpid(), number)


def fail():
    raise RuntimeError("the logger's server is gone")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run from beginning to end: its folder and its outcome."""
    folder = tmp_path_factory.mktemp("run") / "undisturbed"
    return folder, run(folder)


def assert_undisturbed(folder, outcome, undisturbed):
    """Parameters and rows are, bit for bit, those of the undisturbed run."""
    other_folder, other = undisturbed
    assert outcome.exit_code == ExitCode.FINISHED
    assert digest(outcome.state) == digest(other.state)
    assert rows_of(folder) == rows_of(other_folder)
    template = jax.eval_shape(walk().init, jax.random.key(0))
    assert digest(restore(folder / "checkpoints", template).state) == digest(other.state)


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
        expected.append(row)
    found = rows_of(folder)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            assert mine[name] == (value if value is None else pytest.approx(value, rel=1e-6)), name
    assert digest(outcome.state) == digest(state)
    assert outcome.exit_code == 0
    assert outcome.update == 24
    assert outcome.compile_seconds > 0


def test_seconds_rise_and_speeds_are_positive(undisturbed):
    rows = read_rows(undisturbed[0] / "metrics.jsonl")
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)
    assert all(row["env_steps_per_second"] > 0 for row in rows)


def test_the_reporter_gets_the_rows_and_the_totals(tmp_path):
    recorder = Recorder()
    run(tmp_path / "run", recorder=recorder)
    assert recorder.compiled == "2 updates"
    assert [r["update"] for r in recorder.records] == list(range(2, 25, 2))
    assert {r["num_updates"] for r in recorder.records} == {24}
    assert {r["total_env_steps"] for r in recorder.records} == {24 * STEPS_PER_UPDATE}
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


def test_a_chunk_that_blocks_its_caller_holds_up_neither_rows_nor_signals(tmp_path, monkeypatch):
    """As a program with a host callback does, on a CPU."""

    def compile_chunk(*arguments):
        chunk = training_compile(*arguments)
        return lambda state: (time.sleep(0.2), chunk(state))[1]

    training_compile = training.compile_chunk
    monkeypatch.setattr(training, "compile_chunk", compile_chunk)
    recorder = Recorder(at_6=kill(signal.SIGTERM))
    outcome = run(tmp_path / "run", recorder=recorder)
    assert outcome.update == 6
    took = [2 * STEPS_PER_UPDATE / row["env_steps_per_second"] for row in recorder.rows]
    assert all(seconds > 0.19 for seconds in took)
    assert sum(took) < recorder.rows[-1]["seconds"] + 0.01


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
    chunk = training.compile_chunk(walk(), 2, state)
    chunk(state)
    assert state.learner.params.weights["w"].is_deleted()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("update", [2, 6, 14, 24])
def test_stopped_and_resumed_is_as_never_stopped(tmp_path, undisturbed, number, update):
    folder, recorder = tmp_path / "run", Recorder(**{f"at_{update}": kill(number)})
    outcome = run(folder, recorder=recorder)
    assert outcome.exit_code == (75 if number == signal.SIGTERM else 130)
    assert outcome.update in (update, update + 2)
    assert steps(folder / "checkpoints")[0] == outcome.update
    assert number.name in outcome.message
    assert str(folder) in outcome.message
    assert_undisturbed(folder, run(folder, resume_from="latest"), undisturbed)


def test_stopped_while_compiling_and_resumed(tmp_path, undisturbed, monkeypatch):
    def compile_chunk(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return training_compile(*arguments)

    training_compile = training.compile_chunk
    with monkeypatch.context() as patch:
        patch.setattr(training, "compile_chunk", compile_chunk)
        for resume_from in (None, "latest"):
            outcome = run(tmp_path / "run", resume_from=resume_from)
            assert (outcome.exit_code, outcome.update) == (75, 0)
            assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["0"]
    assert_undisturbed(tmp_path / "run", run(tmp_path / "run", resume_from="latest"), undisturbed)


@pytest.mark.parametrize("update", [10, 18])
def test_killed_at_once_and_resumed(tmp_path, undisturbed, update):
    """What SIGKILL leaves: rows later than the last checkpoint, one of them cut off."""
    copy = lambda: shutil.copytree(tmp_path / "run", tmp_path / "killed")
    run(tmp_path / "run", recorder=Recorder(**{f"at_{update}": copy}))
    rows = tmp_path / "killed" / "metrics.jsonl"
    assert read_rows(rows)[-1]["update"] == update
    with rows.open("a") as file:
        file.write('{"update": 999, "w')
    outcome = run(tmp_path / "killed", resume_from="latest")
    assert_undisturbed(tmp_path / "killed", outcome, undisturbed)


def test_resumed_from_an_earlier_checkpoint(tmp_path, undisturbed):
    run(tmp_path / "run")
    recorder = Recorder()
    outcome = run(tmp_path / "run", resume_from=18, recorder=recorder)
    assert_undisturbed(tmp_path / "run", outcome, undisturbed)
    assert [row["update"] for row in recorder.rows] == [20, 22, 24]
    assert recorder.warnings == ["set aside, being newer than update 18: 24.set-aside-0"]


def test_resuming_passes_over_a_damaged_checkpoint_and_says_so(tmp_path, undisturbed):
    run(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "24" / "manifest")
    recorder = Recorder()
    outcome = run(tmp_path / "run", resume_from="latest", recorder=recorder)
    assert_undisturbed(tmp_path / "run", outcome, undisturbed)
    assert "24: it has no manifest" in recorder.warnings[0]


def test_nothing_is_left_to_do(tmp_path, undisturbed, monkeypatch):
    run(tmp_path / "run")
    monkeypatch.setattr(training, "compile_chunk", None)
    assert_undisturbed(tmp_path / "run", run(tmp_path / "run", resume_from="latest"), undisturbed)


def test_seconds_go_on_where_they_stopped(tmp_path):
    run(tmp_path / "run", recorder=Recorder(at_4=kill(signal.SIGTERM)))
    path = tmp_path / "run" / "metrics.jsonl"
    rows = read_rows(path)
    rows[-1]["seconds"] = 1000.0
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run(tmp_path / "run", resume_from="latest")
    assert 1000 < read_rows(path)[-1]["seconds"] < 1100


def test_ten_skipped_in_a_row_end_the_run(tmp_path):
    folder = tmp_path / "run"
    outcome = run(folder, algorithm=walk(range(5, 15)))
    assert outcome.exit_code == ExitCode.DIVERGED == 3
    assert outcome.message.startswith("diverged by update 14: 10 updates in a row were skipped")
    assert outcome.update in (14, 16)
    assert [row["update"] for row in rows_of(folder)] == list(range(2, outcome.update + 1, 2))
    saved = restore(folder / "checkpoints", outcome.state)
    assert saved.step == outcome.update
    assert np.isfinite(saved.state.learner.params.weights["w"])
    assert rows_of(folder)[4]["w"] is None


def test_nine_skipped_in_a_row_do_not(tmp_path):
    outcome = run(tmp_path / "run", algorithm=walk(range(5, 14)))
    assert outcome.exit_code == ExitCode.FINISHED
    assert rows_of(tmp_path / "run")[-1]["skipped"] == 9


@pytest.mark.parametrize("update", [8, 10, 12])
def test_an_exception_passes_on_once_the_state_is_saved(tmp_path, undisturbed, update):
    with pytest.raises(RuntimeError, match="server is gone"):
        run(tmp_path / "run", recorder=Recorder(**{f"at_{update}": fail}))
    assert steps(tmp_path / "run" / "checkpoints")[0] >= update
    assert_undisturbed(tmp_path / "run", run(tmp_path / "run", resume_from="latest"), undisturbed)


def test_a_failing_evaluation_loses_no_update(tmp_path):
    def broken(params):
        raise MemoryError

    with pytest.raises(MemoryError):
        run(tmp_path / "run", evaluate=broken)
    assert steps(tmp_path / "run" / "checkpoints") == [6]
    assert rows_of(tmp_path / "run")[-1]["update"] == 6


def test_failed_saves_are_told_and_counted_and_training_goes_on(tmp_path, monkeypatch, undisturbed):
    real, asked = run_loop.save, []

    def full_at_first(folder, step, *arguments, **options):
        asked.append(step)
        if len(asked) <= 2:
            raise SaveError("no space left")
        real(folder, step, *arguments, **options)

    monkeypatch.setattr(run_loop, "save", full_at_first)
    recorder = Recorder()
    outcome = run(tmp_path / "run", recorder=recorder)
    assert asked == [6, 12, 18, 24]
    assert outcome.failed_saves == 2
    assert recorder.warnings == [f"no space left; failed saves so far: {n}." for n in (1, 2)]
    assert_undisturbed(tmp_path / "run", outcome, undisturbed)


def test_a_last_save_that_fails_is_no_success(tmp_path, monkeypatch):
    def full(folder, *arguments, **options):
        raise SaveError("no space left")

    monkeypatch.setattr(run_loop, "save", full)
    outcome = run(tmp_path / "run")
    assert outcome.exit_code == ExitCode.NOT_SAVED == 74
    assert (
        outcome.message == "finished 24 updates; this could not be saved; there is no checkpoint."
    )


def test_a_run_is_never_overwritten(tmp_path):
    run(tmp_path / "run")
    with pytest.raises(ConfigurationError, match="expected a folder without a run"):
        run(tmp_path / "run")


def test_a_run_without_a_checkpoint_begins_anew(tmp_path, undisturbed):
    """As after a kill before the first save: there are rows, and nothing to go on from."""
    folder, recorder = tmp_path / "run", Recorder()
    folder.mkdir()
    shutil.copy(undisturbed[0] / "metrics.jsonl", folder)
    outcome = run(folder, recorder=recorder, resume_from="latest")
    assert_undisturbed(folder, outcome, undisturbed)
    assert "begins anew" in recorder.warnings[0]


def test_what_cannot_be_resumed_is_refused(tmp_path):
    (tmp_path / "none" / "checkpoints" / "emptied").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="none that can be used"):
        run(tmp_path / "none", resume_from="latest")
    run(tmp_path / "run")
    with pytest.raises(ConfigurationError, match=r"whole checkpoint 6 .*\[24, 18\]"):
        run(tmp_path / "run", resume_from=6)
    for plan in (
        TrainingPlan(num_updates=25, updates_per_chunk=5),
        TrainingPlan(num_updates=12, updates_per_chunk=2),
    ):
        with pytest.raises(ConfigurationError, match="got 24 in .*the run's own settings"):
            run(tmp_path / "run", plan=plan, resume_from="latest")
    assert len(rows_of(tmp_path / "run")) == 12


def test_a_run_that_does_not_compile_leaves_no_run_behind(tmp_path):
    def broken(state):
        raise TypeError("an environment's")

    with pytest.raises(TypeError, match="environment's"):
        run(tmp_path / "run", algorithm=walk()._replace(update=broken))
    assert run(tmp_path / "run").exit_code == ExitCode.FINISHED


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


def test_signal_handlers_are_put_back():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with stop_requests() as stop:
        assert stop.signal is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == signal.SIGTERM
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert {number: signal.getsignal(number) for number in before} == before


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_requests() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.signal is None
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_breaks_off_what_may_be_broken_off(number):
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    with pytest.raises(Stopped) as stopped, stops_raise():
        os.kill(os.getpid(), number)
    assert stopped.value.signal == number
    assert str(stopped.value) == number.name
    assert {each: signal.getsignal(each) for each in before} == before


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_process_at_once(second):
    source = Path(run_loop.__file__).with_name("signals.py")
    program = (
        f"import os, runpy, signal; made = runpy.run_path({str(source)!r})\n"
        "with made['stop_requests']() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGTERM); print(stop.signal, flush=True)\n"
        f"    os.kill(os.getpid(), {int(second)}); print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-second, f"{signal.SIGTERM}\n")


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


class FullDisk:
    """A file that takes half of what it is given and then is full."""

    def __init__(self, file):
        self.file = file

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        raise OSError(28, "No space left on device")

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_rows_wait_for_room_and_none_is_lost(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    assert metrics.append({"update": 1}) is None
    metrics._file = FullDisk(metrics._file)
    assert "No space left" in str(metrics.append({"update": 2, "loss": float("nan")}))
    assert "No space left" in str(metrics.append({"update": 3}))
    assert read_rows(path)[:1] == [{"update": 1}]
    metrics._file = metrics._file.file
    assert metrics.append({"update": 4}) is None
    metrics.close()
    expected = [{"update": 1}, {"update": 2, "loss": None}, {"update": 3}, {"update": 4}]
    assert read_rows(path) == expected


def test_rows_that_wait_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(MetricsFile, "append", lambda self, row: OSError(28, "No space left"))
    recorder = Recorder()
    assert run(tmp_path / "run", recorder=recorder).exit_code == ExitCode.FINISHED
    assert "metrics.jsonl waits for room" in recorder.warnings[0]


def test_rows_are_kept_until_an_update(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"update": 1, "loss": 0.1}\n{"update": 2, "loss": 0.2}\n{"upd')
    keep_rows_until(path, 1)
    assert path.read_text() == '{"update": 1, "loss": 0.1}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_tensorboard_gets_every_finite_number(tmp_path, monkeypatch):
    calls = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            calls.append((folder, purge_step))

        def __getattr__(self, name):
            return lambda *arguments: calls.append((name, *arguments))

    module = types.SimpleNamespace(SummaryWriter=SummaryWriter)
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    logger = TensorBoardLogger(tmp_path)
    logger.log({"env_steps": 50, "loss": float("nan"), "meta_test_episode_returns": [1.0, 2.0]})
    logger.close()
    assert calls == [
        (str(tmp_path / "tensorboard"), 50),
        ("add_scalar", "env_steps", 50, 50),
        ("add_scalar", "meta_test_episode_returns/1", 1.0, 50),
        ("add_scalar", "meta_test_episode_returns/2", 2.0, 50),
        ("flush",),
        ("close",),
    ]


def test_wandb_goes_on_with_the_same_run(tmp_path, monkeypatch):
    begun, logged = [], []

    def init(**options):
        begun.append(options)
        return types.SimpleNamespace(log=lambda row, step: logged.append((row, step)))

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    for _ in range(2):
        logger = WandbLogger(tmp_path, project="p", name="n", config={"seed": 1})
        logger.log({"env_steps": 50, "loss": 0.5})
    assert begun[0] == begun[1]
    assert begun[0]["id"] == (tmp_path / "wandb_id").read_text()
    assert begun[0]["resume"] == "allow"
    assert logged == [({"env_steps": 50, "loss": 0.5}, 50)] * 2


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'metarl-jax\[tensorboard\]'"):
        TensorBoardLogger(tmp_path)
    with pytest.raises(ConfigurationError, match=r"pip install 'metarl-jax\[wandb\]'"):
        WandbLogger(tmp_path, project="p", name="n", config={})
