"""The real command line: what it refuses, and how; and a whole small run."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

BROKEN = pathlib.Path(__file__).with_name("broken_families.py")
SMALL = ["--num-tasks", "4", "--hidden-size", "4", "--embedding-size", "4", "--total-steps", "96"]
SMALL += ["--num-evaluations", "2", "--evaluation-tasks", "4", "--final-evaluation-tasks", "8"]


def metarl(*arguments: str | pathlib.Path, cwd: pathlib.Path | None = None):
    command = [sys.executable, "-m", "metarl_experiments", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "200", "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120, check=False
    )


def assert_refused(result: subprocess.CompletedProcess, *fragments: str) -> None:
    said = result.stderr + result.stdout
    assert result.returncode == 2, said
    assert "Traceback" not in said
    for fragment in fragments:
        assert fragment in said, said
    assert "compiling" not in said


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A finished small run."""
    folder = tmp_path_factory.mktemp("runs") / "line"
    result = metarl("train", f"{BROKEN}:sound", *SMALL, "--out", folder)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["trian"], ["'trian'", "did you mean train"]),
        (["train"], ["got no name", "metarl list"]),
        (["train", "no_such_family"], ["'no_such_family'"]),
        (["train", "bandit_10_6"], ["'bandit_10_6'", "did you mean", "bandit_10_5"]),
        (["train", "cheeta_vel"], ["did you mean cheetah_vel"]),
        (["train", "no_such_file.py:family"], ["no file 'no_such_file.py'", "FILE.py:NAME"]),
        (["train", "bandit_10_5", "--num-task", "3"], ["--num-task", "Perhaps you meant"]),
        (["train", "bandit_10_5", "--num-tasks", "-1"], ["num_tasks must be at least 1, got -1"]),
        (["train", "bandit_10_5", "--total-steps", "0"], ["total_steps must be at least 1, got 0"]),
        (["train", "bandit_10_5", "--num-tasks", "many"], ["--num-tasks", "'many'"]),
        (["train", "bandit_10_5", "--discount", "1.5"], ["discount must be", "between 0 and 1"]),
        (["train", "bandit_10_5", "--gae-lambda", "-0.1"], ["gae_lambda must be", "-0.1"]),
        (["train", "bandit_10_5", "--policy", "reactive"], ["'reactive'", "memoryless"]),
        (["train", "bandit_10_5", "--algorithm", "sac"], ["'sac'", "reinforce"]),
        (["train", "bandit_10_5", "--memory", "lstmm"], ["'lstmm'", "gru"]),
        (["train", "bandit_10_5", "--family.num-arms", "0"], ["num_arms"]),
        (
            ["train", "bandit_10_5", "--algorithm=ppo", "--num-tasks", "10", "--minibatches", "4"],
            ["10 tasks", "4 minibatches", "8 tasks would"],
        ),
        (["train", "bandit_10_5", "--windows", "3"], ["windows must divide", "got 3"]),
        (["train", "goal_grid_3", "--family.episode-length", "0"], ["episode_length", "0"]),
        (["train", "goal_grid_3", "--family.num-episodes", "0"], ["num_episodes", "0"]),
        (["train", "cheetah_vel", "--family.engine", "bullet"], ["'bullet'", "mujoco"]),
        (
            ["train", "cheetah_vel", "--family.engine", "mjx", "--family.mjx-impl", "warp"],
            ["warp"],
        ),
    ],
)
def test_bad_arguments_are_refused_before_compilation(
    arguments: list[str], fragments: list[str], tmp_path: pathlib.Path
) -> None:
    assert_refused(metarl(*arguments, cwd=tmp_path), *fragments)
    assert not list(tmp_path.iterdir()), "a refused run leaves nothing behind"


@pytest.mark.parametrize(
    ("family", "fragments"),
    [
        ("sampler_changes_dtype", ["sample(key)", ".side", "float32[]", "int32[]"]),
        ("sampler_changes_shape", ["sample(key)", ".side", "float32[1]", "float32[2]"]),
        ("step_changes_structure", ["step_env", "another structure", "state"]),
        ("nan_at_once", ["step_env", "reward", "not finite"]),
        ("observation_of_another_shape", ["observation_space", "[1]", "[4]"]),
        ("unsupported_actions", ["Discrete", "Box of rank 1", "Dict"]),
        ("no_such_function", ["'no_such_function'", "TaskDistribution"]),
    ],
)
def test_broken_families_are_refused(
    family: str, fragments: list[str], tmp_path: pathlib.Path
) -> None:
    assert_refused(metarl("train", f"{BROKEN}:{family}", cwd=tmp_path), *fragments)


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
    assert_refused(metarl("train", "--resume", other), "memory", "12", "15")


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
