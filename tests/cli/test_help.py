"""What the command line says of itself: help, version, near names, and errors without numbers."""

import importlib.metadata
import os
import pathlib
import subprocess
import sys

import pytest

from metarl_experiments import cli
from metarl_experiments.cli import COMMANDS, main
from metarl_experiments.commands.options import parse_train_options
from metarl_experiments.commands.parsing import whole_number
from metarl_experiments.commands.sweep_help import sweepable
from metarl_jax.checks import NEAR
from metarl_jax.experiment.kinds import CHOICES
from metarl_jax.experiment.registry import load_experiment
from metarl_jax.experiment.settings import Settings
from support.command_line import assert_refused, metarl_here


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("300", 300),
        ("1_000_000", 1_000_000),
        ("1e6", 1_000_000),
        ("2.5e6", 2_500_000),
        ("1E3", 1_000),
        ("-5", -5),
        ("9007199254740993", 9007199254740993),  # more than a float holds
    ],
)
def test_a_whole_number_is_read_as_people_write_it(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize(
    "text", ["1.5", "2.5e0", "", "many", "nan", "inf", "1e99999", "1e6x", "9" * 5000]
)
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whole number such as .* got"):
        whole_number(text)


def test_steps_may_be_written_with_an_exponent() -> None:
    preset = load_experiment("goal_grid_3")
    given = ["--total-steps", "2.5e6", "--num-tasks=1e2", "--task-chunk", "5e1"]
    budget = parse_train_options(preset, given).settings.budget
    assert (budget.total_steps, budget.num_tasks, budget.task_chunk) == (2_500_000, 100, 50)
    assert type(budget.total_steps) is int


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"metarl {importlib.metadata.version('metarl-jax')}\n"


def test_help_is_a_command(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    usage = capsys.readouterr().out
    assert all(f"  {command} " in usage for command in COMMANDS)
    asked, flagged = (
        metarl_here(*words, cwd=tmp_path) for words in (["help", "sweep"], ["sweep", "--help"])
    )
    assert (asked.returncode, asked.stdout) == (0, flagged.stdout)


@pytest.mark.parametrize(
    ("given", "meant"), [("trian", "train"), ("evalute", "evaluate"), ("reports", "report")]
)
def test_a_near_command_is_suggested(
    given: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([given]) == 2
    assert f"did you mean {meant}?" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["helpme", "run", "fit", "--verbose", ""])
def test_a_far_one_is_not(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([given]) == 2
    said = capsys.readouterr().err
    assert "did you mean" not in said
    assert "metarl help" in said


def test_a_name_is_as_near_for_commands_as_for_presets() -> None:
    """A misspelt command is answered without importing the framework, where the other stands."""
    assert cli.NEAR == NEAR


def test_a_reader_that_goes_early_is_no_error() -> None:
    """As `head` does."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "metarl_experiments", "help"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_supervise_says_what_follows_its_options(tmp_path: pathlib.Path) -> None:
    result = metarl_here("supervise", "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout.startswith("usage: metarl supervise [options] -- metarl train NAME --out")
    assert "--patience" in result.stdout and "--pause" in result.stdout


def test_sweep_lists_every_setting_that_it_can_be_over(tmp_path: pathlib.Path) -> None:
    result = metarl_here("sweep", "--help", cwd=tmp_path)
    assert result.returncode == 0
    listed = {line.split()[0] for line in result.stdout.splitlines() if line.strip()}
    for algorithm in CHOICES["algorithm"]:
        assert set(Settings().choose("algorithm", algorithm).schedules()) <= listed
    clipped = next(line for line in result.stdout.splitlines() if "clip_ratio" in line)
    assert "ppo only" in clipped


@pytest.mark.parametrize("algorithm", CHOICES["algorithm"])
def test_sweep_lists_those_of_a_preset_and_an_algorithm(
    algorithm: str, tmp_path: pathlib.Path
) -> None:
    asked = ("sweep", "goal_grid_3", "--algorithm", algorithm, "--help")
    said = " ".join(metarl_here(*asked, cwd=tmp_path).stdout.split())
    settings = load_experiment("goal_grid_3").settings_for(algorithm=algorithm)
    assert f"SETTING is one of {', '.join(settings.schedules())}." in said


def test_each_of_them_is_described() -> None:
    rows = [
        row
        for name in CHOICES["algorithm"]
        for row in sweepable(Settings().choose("algorithm", name))
    ]
    assert rows
    assert all(row.text and "(schedule)" not in row.text for row in rows)


@pytest.mark.parametrize("command", ["evaluate", "report", "train --resume", "compare"])
def test_a_folder_that_is_not_there_is_told_without_a_number(
    command: str, tmp_path: pathlib.Path
) -> None:
    result = metarl_here(*command.split(), "nowhere", cwd=tmp_path)
    assert_refused(result, "nowhere")
    assert "Errno" not in result.stderr


def test_a_file_that_may_not_be_written_is_told_without_a_number(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever command meets it, and wherever."""

    def failing(arguments: object) -> int:
        raise PermissionError(13, "Permission denied", "there/evaluation.json")

    monkeypatch.setattr("metarl_experiments.commands.evaluate.evaluate_command", failing)
    result = metarl_here("evaluate", "there", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == "metarl: Permission denied: 'there/evaluation.json'\n"
