"""A family without a preset starts from settings that suit its actions."""

import dataclasses
import pathlib

import pytest

from metarl_experiments.commands.starting_settings import load_with_settings
from metarl_jax.experiment.defaults import CONTINUOUS, DISCRETE, settings_for
from metarl_jax.experiment.registry import experiment_names, load_experiment
from metarl_jax.experiment.settings import Settings
from support.command_line import metarl_here
from support.probes import counter, revealed_target

FAMILIES = """
from support.probes import counter, revealed_target
from metarl_jax import Budget, Experiment, Settings, TaskDistribution

def discrete() -> TaskDistribution:
    return counter()

def continuous() -> TaskDistribution:
    return revealed_target()

def broken() -> TaskDistribution:
    raise ValueError("no such size")

bare = Experiment(name="bare", summary="", family=continuous)
chosen = Experiment(
    name="chosen", summary="", family=continuous, settings=Settings(budget=Budget(num_tasks=7))
)
"""


@pytest.fixture
def families(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "families.py"
    path.write_text(FAMILIES)
    return str(path)


def test_settings_are_as_the_actions_are() -> None:
    assert settings_for(counter()) == DISCRETE
    assert settings_for(revealed_target()) == CONTINUOUS


def test_a_sampler_that_fails_is_left_to_the_check() -> None:
    def failing(key: object) -> None:
        raise RuntimeError("broken")

    assert settings_for(dataclasses.replace(revealed_target(), sample=failing)) == DISCRETE


@pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [
        ("discrete", "discrete", DISCRETE),
        ("continuous", "continuous", CONTINUOUS),
        ("bare", "continuous", CONTINUOUS),
    ],
)
def test_a_family_from_a_file_starts_from_them_and_it_is_told(
    name: str, kind: str, settings: Settings, families: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load_with_settings(f"{families}:{name}").settings == settings
    told = capsys.readouterr().out
    assert f"{kind} actions" in told and settings.algorithm.name in told


def test_settings_that_were_chosen_stay(families: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_with_settings(f"{families}:chosen").settings.budget.num_tasks == 7
    for name in experiment_names():
        assert load_with_settings(name) == load_experiment(name)
    assert capsys.readouterr().out == ""


def test_help_shows_what_was_chosen(families: str, tmp_path: pathlib.Path) -> None:
    result = metarl_here("train", f"{families}:continuous", "--help", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "continuous actions (ppo, gru)" in result.stdout
    assert "--algorithm.epochs" in result.stdout
    refused = metarl_here("train", f"{families}:broken", cwd=tmp_path)
    assert (refused.returncode, "no such size" in refused.stderr) == (2, True)
