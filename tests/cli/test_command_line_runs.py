"""A whole small run from the command line, and what may be done with its folder."""

import json
import pathlib
import re
import shutil
import signal
import sys
from typing import Any

import numpy as np
import pytest

from metarl_experiments.commands import train
from metarl_jax import Agent
from metarl_jax.evaluation.record import read_record
from metarl_jax.experiment.run_config import load_config
from metarl_jax.report.verdict import verdict
from support.command_line import BROKEN, SMALL, assert_refused, metarl_here, signalled

PPO = ["--algorithm", "ppo", "--algorithm.epochs", "2", "--algorithm.minibatches", "2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A small run from its beginning to its end."""
    folder = tmp_path_factory.mktemp("runs")
    result = metarl_here("train", "mouse_lecture", *SMALL, *PPO, "--out", "mouse", cwd=folder)
    assert result.returncode == 0, result.stderr
    (folder / "mouse.log").write_text(result.stdout, encoding="utf-8")
    return folder / "mouse"


def test_a_run_leaves_all_its_files(run: pathlib.Path) -> None:
    names = {path.name for path in run.iterdir()}
    expected = {"config.json", "run.json", "metrics.jsonl", "checkpoints", "evaluation.json"}
    expected |= {"interface.json"}
    pictures = {"learning.png", "adaptation.png", "behaviour.png"}
    assert expected | pictures | {"evaluation.npz", "report.html"} <= names
    evaluation = json.loads((run / "evaluation.json").read_text())
    returns = np.load(run / "evaluation.npz")["episode_returns"]
    assert returns.shape == (12, 6)  # all six tasks, equally often, at least 8 together
    np.testing.assert_allclose(evaluation["episode_return_mean"], returns.mean(axis=0), rtol=1e-6)
    assert evaluation["total_return_mean"] == pytest.approx(returns.sum(axis=1).mean())
    assert len(evaluation["task_set_hash"]) == 64
    assert evaluation["sampled_actions"] is True
    assert (
        evaluation["update"]
        == json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["update"]
    )
    assert len(evaluation["measures"]["success_rate"]) == 6


def test_a_run_says_little_and_ends_with_a_verdict(run: pathlib.Path) -> None:
    lines = run.with_name("mouse.log").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 28
    assert "evaluating on 4 tasks ..." in lines, "of the evaluations while it trains"
    assert "evaluating on 8 tasks ..." in lines, "of that at the end"
    *_, said, drawing, report = lines
    assert said == verdict(read_record(run / "evaluation.json"))
    assert (drawing, report) == ("drawing the report ...", "report: mouse/report.html")
    assert said.partition(":")[0].lower() in (run / "report.html").read_text("utf-8").lower()


def test_evaluate_needs_only_the_folder_and_repeats_itself(
    run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    (moved / "evaluation.json").unlink()
    result = metarl_here("evaluate", moved, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    again = json.loads((moved / "evaluation.json").read_text())
    assert again == json.loads((run / "evaluation.json").read_text())


def test_a_second_start_compiles_nothing_again(tmp_path: pathlib.Path) -> None:
    """Nor does the order of a set, which Python's hashes of strings give, matter to the program.

    Each is stopped with its first row.
    """
    cache = tmp_path / "cache"
    found = []
    for name, seed in (("first", "0"), ("second", "1")):
        kept = {"JAX_COMPILATION_CACHE_DIR": str(cache), "PYTHONHASHSEED": seed}
        run = tmp_path / name
        begin = ["train", "goal_grid_3", *SMALL, "--total-steps", "40000", "--out", run]
        result = signalled(run, signal.SIGTERM, *begin, **kept)
        assert result.returncode == 75, result.stderr
        found.append(sorted(path.name for path in cache.glob("jit_chunk-*-cache")))
    assert len(found[0]) == 1
    assert found[1] == found[0], "another key: the second run compiled its updates again"


def test_a_run_is_never_overwritten(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    before = (run / "config.json").read_bytes()
    result = metarl_here(
        "train", f"{BROKEN}:sound", *SMALL, "--seed", "7", "--out", run, cwd=tmp_path
    )
    assert_refused(result, "a folder without a run", "is not overwritten", "--resume")
    assert (run / "config.json").read_bytes() == before


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = metarl_here("train", f"{BROKEN}:sound", *SMALL, "--out", "file/run", cwd=tmp_path)
    assert_refused(result, "can be written", "another --out")


@pytest.mark.parametrize("out", [["--out", "run"], []])
def test_a_missing_extra_leaves_no_run_behind(
    out: list[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # importing it is an ImportError
    result = metarl_here("train", f"{BROKEN}:sound", *SMALL, "--wandb", "p", *out, cwd=tmp_path)
    assert_refused(result, "extra `wandb`", "leave that logger out")
    assert [path.name for path in tmp_path.rglob("*")] in ([], ["runs"])


def test_a_run_that_diverges_says_so(tmp_path: pathlib.Path) -> None:
    """NaN comes in one episode of 128: of 512 tasks' 1,024, some have it in every update."""
    many = ["--num-tasks", "512", "--total-steps", "200000"]
    result = metarl_here("train", f"{BROKEN}:nan_later", *SMALL, *many, cwd=tmp_path)
    assert result.returncode == 3, result.stderr
    assert "diverged by update" in result.stdout
    told = r"rewards of \d+ \([\d, ]+(, …)?\) of 512 tasks; the learner after it"
    assert re.search(told, result.stdout), result.stdout
    assert "the parameters are the last good ones" in result.stdout


def test_a_family_whose_package_is_gone(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its entry point is still there, as after an interrupted removal."""
    metadata = tmp_path / "gone-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: gone\nVersion: 1.0\n")
    point = "[metarl_jax.experiments]\ngone = gone_package.presets:gone\n"
    (metadata / "entry_points.txt").write_text(point)
    monkeypatch.syspath_prepend(tmp_path)
    result = metarl_here("train", "gone", cwd=tmp_path)
    assert_refused(result, "the experiment 'gone'", "gone_package", "install the package")
    listed = metarl_here("list", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert "gone_package" in listed.stdout and "bandit_10_5" in listed.stdout


def test_a_run_goes_on_in_parts_that_fit(
    run: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it was begun with none; its configuration stays what it was."""
    prepared: list[Any] = []
    monkeypatch.setattr(
        train, "run_prepared", lambda run, resume, on_start: prepared.append((run, resume)) or 0
    )
    assert train.train_command(["--resume", str(run), "--task-chunk", "2"]) == 0
    (begun, resumes), before = prepared[0], load_config(run)
    assert resumes
    assert (begun.config.settings.budget.task_chunk, before.settings.budget.task_chunk) == (2, None)
    assert begun.setup.agents[0].budget.task_chunk == 2


def test_a_run_of_an_older_version_gets_its_interface_when_it_is_resumed(
    run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(run, old)
    (old / "interface.json").unlink()
    result = metarl_here("train", "--resume", old, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    agent = Agent.load(old)
    assert agent.act(np.zeros(agent.interface.specification.observation.shape)) in range(4)


def test_resume_refuses_what_is_no_run(tmp_path: pathlib.Path) -> None:
    assert_refused(
        metarl_here("train", "--resume", tmp_path, cwd=tmp_path), "config.json", str(tmp_path)
    )


def test_resume_refuses_a_name(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    both = metarl_here("train", "bandit_10_5", "--resume", run, cwd=tmp_path)
    assert_refused(both, "with its own settings")


def test_resume_refuses_a_damaged_checkpoint(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(run, damaged)
    for path in (damaged / "checkpoints").rglob("*"):
        if path.is_file() and path.stat().st_size > 200 and "manifest" not in path.parts:
            path.write_bytes(path.read_bytes()[:100])
    resumed = metarl_here("train", "--resume", damaged, cwd=tmp_path)
    assert_refused(resumed, "checkpoint", "none that can be used")


def test_resume_names_the_first_leaf_of_another_architecture(
    run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    config = json.loads((other / "config.json").read_text())
    config["settings"]["memory"]["hidden_size"] = 5
    (other / "config.json").write_text(json.dumps(config))
    resumed = metarl_here("train", "--resume", other, cwd=tmp_path)
    assert_refused(resumed, "heads", "float32[9, 1]", "float32[8, 1]")


def test_evaluating_a_run_whose_family_is_gone(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    orphan = tmp_path / "orphan"
    shutil.copytree(run, orphan)
    config = json.loads((orphan / "config.json").read_text())
    config["experiment"] = "no_longer_installed"
    (orphan / "config.json").write_text(json.dumps(config))
    assert_refused(
        metarl_here("evaluate", orphan, cwd=tmp_path), "'no_longer_installed'", "metarl list"
    )


def test_an_edited_configuration_is_refused(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    edited = tmp_path / "edited"
    shutil.copytree(run, edited)
    config = json.loads((edited / "config.json").read_text())
    config["settings"]["memory"]["hiden_size"] = 5
    (edited / "config.json").write_text(json.dumps(config))
    assert_refused(metarl_here("evaluate", edited, cwd=tmp_path), "hiden_size", "unknown")


def test_list_shows_every_preset(tmp_path: pathlib.Path) -> None:
    result = metarl_here("list", cwd=tmp_path)
    assert result.returncode == 0
    for name in ("bandit_10_5", "goal_grid_5", "mouse_lecture", "cheetah_vel_both_ways"):
        assert name in result.stdout


def test_doctor_finds_everything_in_place(tmp_path: pathlib.Path) -> None:
    result = metarl_here("doctor", cwd=tmp_path)
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("ok") >= 3
    assert "FAILED" not in result.stdout
