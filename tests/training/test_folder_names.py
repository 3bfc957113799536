"""A run is trained, resumed and evaluated whatever its folder is called."""

import json
import pathlib
import signal

import jax
import pytest

from metarl_experiments.commands.options import parse_train_options
from metarl_jax.checkpoint.folder import steps
from metarl_jax.checkpoint.plain_path import plain_path
from metarl_jax.experiment.registry import load_experiment
from metarl_jax.training.plan import ExitCode, TrainingPlan
from metarl_jax.training.train import run_training
from support import random_walk
from support.command_line import SMALL, metarl_here, signalled_here
from support.folder_names import NAMES
from support.run_folders import rows_of

SHORT = TrainingPlan(num_updates=2, updates_per_chunk=2, chunks_per_evaluation=1)
LONG = TrainingPlan(num_updates=4, updates_per_chunk=2, chunks_per_evaluation=1)


def trained(folder: pathlib.Path, plan: TrainingPlan, resume: bool) -> tuple[ExitCode, list[str]]:
    """The exit code, and what was warned of."""
    recorder = random_walk.Recorder()
    outcome = run_training(
        random_walk.walk(),
        random_walk.evaluate,
        plan,
        folder=folder,
        key=jax.random.key(0),
        reporter=recorder,
        resume_from="latest" if resume else None,
    )
    return outcome.exit_code, recorder.warnings


@pytest.mark.parametrize("name", NAMES, ids=[f"name {i}" for i in range(len(NAMES))])
def test_a_run_goes_on_whatever_it_is_called(name: str, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    assert trained(folder, SHORT, resume=False) == (ExitCode.FINISHED, [])
    assert trained(folder, LONG, resume=True) == (ExitCode.FINISHED, [])
    assert steps(folder / "checkpoints") == [4, 2]
    assert [row["update"] for row in rows_of(folder)] == [2, 4]


@pytest.mark.parametrize("name", ["None", "-rf", "--out=x", "sizes=[64,64]", "line\nbreak"])
def test_a_name_is_taken_as_it_is_given(name: str) -> None:
    options = parse_train_options(load_experiment("bandit_10_5"), [f"--out={name}"])
    assert options.output.out == pathlib.Path(name)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run that was stopped, in a folder within folders of all the names."""
    place = tmp_path_factory.mktemp("names")
    run = place.joinpath(*NAMES)
    begin = ("train", "bandit_10_5", *SMALL, "--out", str(run.relative_to(place)))
    result = signalled_here(signal.SIGTERM, *begin, cwd=place)
    assert result.returncode == ExitCode.TERMINATED, result.stderr
    return run


def test_the_command_line_goes_on_with_it(stopped: pathlib.Path) -> None:
    resumed = metarl_here("train", "--resume", stopped, cwd=stopped)
    assert resumed.returncode == 0, resumed.stderr
    assert "passed over" not in resumed.stdout
    assert (stopped / "report.html").exists()
    (stopped / "evaluation.json").unlink()
    evaluated = metarl_here("evaluate", stopped, cwd=stopped)
    assert evaluated.returncode == 0, evaluated.stderr
    assert json.loads((stopped / "evaluation.json").read_text(encoding="utf-8"))["update"] == 3


@pytest.mark.parametrize("descriptors", [True, False])
@pytest.mark.parametrize("name", ["plain", "a[b]*?\n"])
def test_a_plain_path_leads_to_the_folder(
    name: str, descriptors: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a system that shows no descriptors."""
    if not descriptors:
        nowhere = tmp_path / "nowhere"
        monkeypatch.setattr("metarl_jax.checkpoint.plain_path._DESCRIPTORS", nowhere)
    folder = tmp_path / name
    folder.mkdir()
    with plain_path(folder) as place:
        (place / "file").write_text("here")
        assert (place == folder) == (name == "plain")
        assert not set(str(place)) & set("[]*?\n\\%")
    assert (folder / "file").read_text() == "here"
    assert not place.exists() or name == "plain"
