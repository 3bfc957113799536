"""A run's folder: what it says of a run is what was asked for."""

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from metarl_envs.bandit import bandit
from metarl_experiments import cli, runs
from metarl_experiments.commands import prepared_run
from metarl_experiments.runs import create_run, holds_run, load_tasks
from metarl_jax.evaluation.store import write_evaluation
from metarl_jax.experiment.experiment import Experiment
from metarl_jax.experiment.run_config import RunConfig, load_config
from metarl_jax.experiment.settings import Budget, Settings
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.training.plan import ExitCode
from metarl_jax.training.provenance import describe_commit
from metarl_jax.types import ConfigurationError, UnwritableError
from support.command_line import assert_refused, metarl_here

GIVEN = []


def family(
    sizes: tuple[tuple[int, ...], ...] = ((1,),),
    weights: list[float] = [0.5],  # noqa: B006
    name: str = "",
) -> TaskDistribution:
    """Bandits, whatever they are given."""
    GIVEN.append((sizes, weights, name))
    return bandit()


def config(**changes: object) -> RunConfig:
    arguments = {"sizes": ((1,), (2, 3)), "weights": [0.1, 0.2], "name": "x"} | changes
    return RunConfig("test_runs:family", arguments, Settings())


def test_a_run_is_known_again_whatever_its_family_takes(tmp_path: Path) -> None:
    """JSON makes lists of tuples."""
    create_run(tmp_path / "run", config(), [])
    assert holds_run(tmp_path / "run", config())
    for other in (
        config(sizes=((1,), (2, 4))),
        config(name="y"),
        dataclasses.replace(config(), settings=Settings(budget=Budget(seed=1))),
        dataclasses.replace(config(), sweep={"discount": (0.9, 0.99)}),
    ):
        with pytest.raises(ConfigurationError, match="with other settings"):
            holds_run(tmp_path / "run", other)


def test_a_run_tells_the_commit_that_it_was_made_from(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    create_run(tmp_path / "outside", config(), [])
    assert "commit" not in json.loads((tmp_path / "outside" / "run.json").read_text())
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    (tmp_path / "code.py").write_text("1")
    for command in (["init", "-q"], ["add", "code.py"], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", *command], check=True)
    told = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert describe_commit() == {"commit": told.stdout.strip()}  # a new file is no change
    (tmp_path / "code.py").write_text("2")
    create_run(tmp_path / "inside", config(), [])
    found = json.loads((tmp_path / "inside" / "run.json").read_text())["commit"]
    assert found == told.stdout.strip() + " with changes"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert describe_commit() == {}


def test_a_family_is_given_what_it_was_given_at_first(tmp_path: Path, monkeypatch) -> None:
    given = Experiment(name="given", summary="", family=family)
    monkeypatch.setattr(runs, "load_experiment", lambda name: given)
    create_run(tmp_path / "run", config(), [])
    load_tasks(load_config(tmp_path / "run"))
    assert GIVEN[-1] == (((1,), (2, 3)), [0.1, 0.2], "x")


@pytest.mark.parametrize("error", [OSError(28, "no room"), UnwritableError("no room")])
def test_a_run_that_cannot_write_its_evaluation_may_go_on(error, monkeypatch, capsys) -> None:
    """A supervisor starts it again: bad input, which it would be elsewhere, would be the end."""

    def full(*arguments: object) -> list[str]:
        raise error

    monkeypatch.setattr(prepared_run, "evaluate_and_draw", full)
    monkeypatch.setattr(prepared_run, "local_replica", lambda state: state)
    monkeypatch.setattr(prepared_run, "ablations_after_training", lambda *_: ())
    assert prepared_run._conclude(Path("run"), config(), None, None) == ExitCode.NOT_SAVED
    assert "trained and saved, but: " in capsys.readouterr().err


def test_an_evaluation_that_leaks_is_no_want_of_room(monkeypatch) -> None:
    """Started again it would only leak again."""

    def leaking(*arguments: object) -> list[str]:
        raise ConfigurationError("the evaluation leaks")

    monkeypatch.setattr(prepared_run, "evaluate_and_draw", leaking)
    monkeypatch.setattr(prepared_run, "local_replica", lambda state: state)
    monkeypatch.setattr(prepared_run, "ablations_after_training", lambda *_: ())
    with pytest.raises(ConfigurationError, match="leaks"):
        prepared_run._conclude(Path("run"), config(), None, None)


def test_an_evaluation_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnwritableError, match="can be written"):
        write_evaluation(tmp_path / "gone", "evaluation", None, np.zeros((1, 1)))


def test_and_the_command_line_says_it(tmp_path: Path, monkeypatch) -> None:
    def full(arguments: list[str]) -> int:
        raise UnwritableError("expected a run's folder that can be written, got no room")

    monkeypatch.setattr(cli, "_command", lambda name: full)
    assert_refused(metarl_here("evaluate", "run", cwd=tmp_path), "got no room")
