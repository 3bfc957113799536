"""A whole small run from the command line, and what may be done with its folder."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from command_line import BROKEN, SMALL, assert_refused, metarl


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A finished small run."""
    folder = tmp_path_factory.mktemp("runs") / "line"
    result = metarl("train", f"{BROKEN}:sound", *SMALL, "--out", folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_a_run_leaves_all_its_files(run: pathlib.Path) -> None:
    names = {path.name for path in run.iterdir()}
    expected = {"config.json", "run.json", "metrics.jsonl", "checkpoints", "evaluation.json"}
    assert expected | {"evaluation.npz", "learning.png", "adaptation.png"} <= names
    evaluation = json.loads((run / "evaluation.json").read_text())
    returns = np.load(run / "evaluation.npz")["episode_returns"]
    assert returns.shape == (8, 2)
    np.testing.assert_allclose(evaluation["episode_return_mean"], returns.mean(axis=0), rtol=1e-6)
    assert evaluation["total_return_mean"] == pytest.approx(returns.sum(axis=1).mean())
    assert len(evaluation["task_set_hash"]) == 64
    assert evaluation["sampled_actions"] is True


def test_evaluate_needs_only_the_folder_and_repeats_itself(
    run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    (moved / "evaluation.json").unlink()
    result = metarl("evaluate", moved, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    again = json.loads((moved / "evaluation.json").read_text())
    assert again == json.loads((run / "evaluation.json").read_text())


def test_a_run_is_never_overwritten(run: pathlib.Path) -> None:
    before = (run / "config.json").read_bytes()
    result = metarl("train", f"{BROKEN}:sound", *SMALL, "--seed", "7", "--out", run)
    assert_refused(result, "is a run already", "--resume")
    assert (run / "config.json").read_bytes() == before


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = metarl("train", f"{BROKEN}:sound", *SMALL, "--out", tmp_path / "file" / "run")
    assert_refused(result, "can be written", "another --out")


def test_resume_refuses_what_is_no_run(tmp_path: pathlib.Path) -> None:
    assert_refused(metarl("train", "--resume", tmp_path), "config.json", str(tmp_path))


def test_resume_refuses_a_name(run: pathlib.Path) -> None:
    assert_refused(metarl("train", "bandit_10_5", "--resume", run), "with its own settings")


def test_resume_refuses_a_damaged_checkpoint(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(run, damaged)
    for path in (damaged / "checkpoints").rglob("*"):
        if path.is_file() and path.stat().st_size > 200 and "manifest" not in path.parts:
            path.write_bytes(path.read_bytes()[:100])
    assert_refused(metarl("train", "--resume", damaged), "checkpoint", "none that can be used")


def test_resume_names_the_first_leaf_of_another_architecture(
    run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    config = json.loads((other / "config.json").read_text())
    config["settings"]["hidden_size"] = 5
    (other / "config.json").write_text(json.dumps(config))
    assert_refused(metarl("train", "--resume", other), "heads", "float32[9, 1]", "float32[8, 1]")


def test_evaluating_a_run_whose_family_is_gone(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    orphan = tmp_path / "orphan"
    shutil.copytree(run, orphan)
    config = json.loads((orphan / "config.json").read_text())
    config["experiment"] = "no_longer_installed"
    (orphan / "config.json").write_text(json.dumps(config))
    assert_refused(metarl("evaluate", orphan), "'no_longer_installed'", "metarl list")


def test_an_edited_configuration_is_refused(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    edited = tmp_path / "edited"
    shutil.copytree(run, edited)
    config = json.loads((edited / "config.json").read_text())
    config["settings"]["hiden_size"] = 5
    (edited / "config.json").write_text(json.dumps(config))
    assert_refused(metarl("evaluate", edited), "hiden_size", "unknown")


def test_list_shows_every_preset() -> None:
    result = metarl("list")
    assert result.returncode == 0
    for name in ("bandit_10_5", "goal_grid_5", "mouse_lecture", "cheetah_vel_both_ways"):
        assert name in result.stdout


def test_doctor_finds_everything_in_place() -> None:
    result = metarl("doctor")
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("ok") >= 3
    assert "FAILED" not in result.stdout
