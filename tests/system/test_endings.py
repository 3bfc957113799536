"""How a run ends, and how it goes on: stopped, killed, failed, diverged, resumed."""

import contextlib
import dataclasses
import importlib
import json
import os
import shutil
import signal
from types import SimpleNamespace

import numpy as np
import pytest

from metarl_jax.checkpoint.checkpoint import SaveError, restore
from metarl_jax.checkpoint.folder import steps
from metarl_jax.training import loop as run_loop
from metarl_jax.training.metrics_file import MetricsFile, keep_rows_until, read_rows
from metarl_jax.training.plan import ExitCode, TrainingPlan
from metarl_jax.types import ConfigurationError
from support.full_disk import largest_file
from support.random_walk import Recorder, assert_undisturbed, evaluate, kill, run, walk
from support.run_folders import rows_of

training = importlib.import_module("metarl_jax.training.train")  # not the function of that name


def fail():
    raise RuntimeError("the logger's server is gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("update", [2, 6, 14, 20, 24])
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
    assert read_rows(rows)[-1].update == update
    with rows.open("a") as file:
        file.write('{"update": 999, "w')
    outcome = run(tmp_path / "killed", resume_from="latest")
    assert_undisturbed(tmp_path / "killed", outcome, undisturbed)


def test_resumed_from_an_earlier_checkpoint(tmp_path, undisturbed):
    run(tmp_path / "run")
    recorder = Recorder()
    outcome = run(tmp_path / "run", resume_from=18, recorder=recorder)
    assert_undisturbed(tmp_path / "run", outcome, undisturbed)
    assert [row.update for row in recorder.rows] == [20, 22, 24]
    assert recorder.warnings == ["set aside, being newer than update 18: 24.set-aside-0"]


def test_no_checkpoint_is_without_its_rows_while_those_are_dropped(tmp_path, monkeypatch):
    """A kill between the two must leave none that a later start would go on from."""
    seen, set_aside = [], training.set_aside_newer

    def watched(folder, step):
        seen.append([row["update"] for row in rows_of(tmp_path / "run")][-1])
        return set_aside(folder, step)

    run(tmp_path / "run")
    monkeypatch.setattr(training, "set_aside_newer", watched)
    run(tmp_path / "run", resume_from=18)
    assert seen == [24]


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
    rows[-1] = dataclasses.replace(rows[-1], seconds=1000.0)
    path.write_text("".join(json.dumps(row.to_json()) + "\n" for row in rows))
    run(tmp_path / "run", resume_from="latest")
    assert 1000 < read_rows(path)[-1].seconds < 1100


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


def test_a_logger_without_room_ends_no_run(tmp_path, undisturbed):
    def no_room():
        raise OSError(28, "No space left on device")

    recorder = Recorder(at_8=no_room, at_12=no_room)
    outcome = run(tmp_path / "run", recorder=recorder)
    assert_undisturbed(tmp_path / "run", outcome, undisturbed)
    told = "Recorder: No space left on device; training goes on."
    assert recorder.warnings == [told] * 2


def test_of_several_processes_an_evaluation_that_fails_is_made_again(tmp_path, undisturbed):
    """One is gone, and the others with it: the row must not stay without its evaluation."""

    def alone(params):
        if len(seen) == 2:
            raise RuntimeError("a peer is gone")
        seen.append(params)
        return evaluate(params)

    seen, recorder = [], Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_loop, "jax", SimpleNamespace(process_count=lambda: 2))
        with pytest.raises(RuntimeError, match="peer is gone"):
            run(tmp_path / "run", evaluate=alone, recorder=recorder)
    assert steps(tmp_path / "run" / "checkpoints") == [12, 6]
    assert recorder.warnings == ["not evaluated, nor saved; there is a checkpoint of update 12."]
    outcome = run(tmp_path / "run", resume_from="latest")
    assert_undisturbed(tmp_path / "run", outcome, undisturbed)


def test_a_signal_in_the_last_save_is_no_end(tmp_path, undisturbed, monkeypatch):
    """What comes after it, the evaluation, may take minutes."""
    save = run_loop.save

    def asked(folder, step, *arguments, **options):
        save(folder, step, *arguments, **options)
        if step == 24:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(run_loop, "save", asked)
        outcome = run(tmp_path / "run")
    assert (outcome.exit_code, outcome.update) == (75, 24)
    assert_undisturbed(tmp_path / "run", run(tmp_path / "run", resume_from="latest"), undisturbed)


def test_rows_that_are_gone_are_told(tmp_path):
    """A machine without power has lost them, or somebody else's hand."""
    run(tmp_path / "run", recorder=Recorder(at_14=kill(signal.SIGTERM)))
    rows = tmp_path / "run" / "metrics.jsonl"
    keep_rows_until(rows, 10)
    recorder = Recorder()
    run(tmp_path / "run", recorder=recorder, resume_from="latest")
    (update,) = {steps for steps in (14, 16) if str(steps) in recorder.warnings[0]}
    assert recorder.warnings == [
        f"metrics.jsonl ends with update 10: the rows up to {update} are gone."
    ]


def test_resuming_on_a_full_disk_trains_on(tmp_path, undisturbed):
    folder = tmp_path / "run"
    run(folder, recorder=Recorder(at_8=kill(signal.SIGTERM)))
    with largest_file(100):
        outcome = run(folder, resume_from="latest")
    assert outcome.exit_code == ExitCode.NOT_SAVED
    assert_undisturbed(folder, run(folder, resume_from="latest"), undisturbed)


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


def test_rows_that_waited_come_with_the_next_checkpoint(tmp_path, monkeypatch):
    """A row that waited for room is written with the checkpoint that finds it."""
    seen, save = [], run_loop.save

    def watched(folder, step, *arguments, **options):
        no_room.close()
        save(folder, step, *arguments, **options)
        seen.append((step, read_rows(tmp_path / "metrics.jsonl")[-1].update))

    monkeypatch.setattr(run_loop, "save", watched)
    with contextlib.ExitStack() as no_room:
        no_room.enter_context(largest_file(100))
        run(tmp_path, recorder=Recorder(at_6=kill(signal.SIGTERM)))
    assert seen == [(6, 6)]


def test_no_checkpoint_without_its_rows(tmp_path, monkeypatch):
    """Of a disk that has room for all but the rows: what would be lost is told."""
    monkeypatch.setattr(MetricsFile, "sync", lambda self: OSError(28, "No space left"))
    outcome = run(tmp_path, plan=TrainingPlan(num_updates=4, updates_per_chunk=2))
    assert outcome.exit_code == ExitCode.NOT_SAVED
    assert steps(tmp_path / "checkpoints") == []


def test_saves_that_fail_again_and_again_end_the_run(tmp_path, monkeypatch):
    """Of eight saves the first works, the others fail: five in a row."""
    real, asked = run_loop.save, []

    def full_after_the_first(folder, step, *arguments, **options):
        asked.append(step)
        if len(asked) > 1:
            raise SaveError("no space left")
        real(folder, step, *arguments, **options)

    monkeypatch.setattr(run_loop, "save", full_after_the_first)
    plan = TrainingPlan(num_updates=16, updates_per_chunk=2)
    outcome = run(tmp_path / "run", plan=plan)
    assert asked == [2, 4, 6, 8, 10, 12]
    assert (outcome.exit_code, outcome.update) == (ExitCode.NOT_SAVED, 12)
    assert outcome.message == (
        "stopped after 5 saves that failed; this could not be saved; there is a checkpoint of "
        "update 2."
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
    assert "begins again" in recorder.warnings[0]


def test_a_run_killed_in_its_first_save_begins_anew(tmp_path, undisturbed):
    begun = tmp_path / "run" / "checkpoints" / "6.orbax-checkpoint-tmp"
    begun.mkdir(parents=True)
    assert_undisturbed(tmp_path / "run", run(tmp_path / "run", resume_from="latest"), undisturbed)
    assert not begun.exists()


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
