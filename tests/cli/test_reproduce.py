"""`make reproduce`: what a finished run's row says, and which runs are not taken for it."""

import dataclasses
import json
import subprocess
from types import MappingProxyType
from typing import Any

import pytest

from metarl_experiments.commands.options import parse_train_options
from metarl_experiments.reproduce import __main__ as reproduce
from metarl_experiments.reproduce.__main__ import JOBS, SHORT, key_of, record
from metarl_experiments.reproduce.jobs import Job, run
from metarl_experiments.reproduce.results import read_results
from metarl_jax.evaluation.record import write_record
from metarl_jax.experiment.registry import load_experiment
from metarl_jax.types import ConfigurationError
from support.invented_runs import evaluation
from support.run_folders import preset_run

JOB = Job("goal_grid_5", "adaptive", "ppo")


def finished_run(folder, changes=MappingProxyType({})) -> None:
    """A folder as `metarl train` leaves it, as far as it is read."""
    preset_run(folder, JOB.experiment, ["--algorithm", "ppo"], changes)
    whole = evaluation(
        "adaptive",
        [3.98281, 11.01507, 11.05719],
        [0.1, 0.1, 0.1],
        total_return_mean=37.11472,
        total_return_ci95=0.16114,
        num_tasks=10_017,
        measures={"shortest_path_rate": (0.5, 1.0)},
    )
    write_record(folder / "evaluation.json", whole)
    ablated = dataclasses.replace(whole, total_return_mean=15.9, total_return_ci95=0.4)
    write_record(folder / "evaluation_without_memory.json", ablated)
    rows = [
        {"update": update, "env_steps": 50 * update, "seconds": seconds}
        for update, seconds in ((1, 1.0), (2, 12.6))
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_finished_run_is_not_repeated_and_has_its_row(tmp_path, monkeypatch) -> None:
    finished_run(tmp_path / "run")
    monkeypatch.setattr(subprocess, "call", None)
    assert run(JOB, tmp_path / "run") == 0
    record(JOB, tmp_path / "run", tmp_path / "families.csv")
    assert read_results(tmp_path / "families.csv") == {
        ("goal_grid_5", "adaptive", "ppo", "gru", ""): {
            "experiment": "goal_grid_5",
            "policy": "adaptive",
            "algorithm": "ppo",
            "memory": "gru",
            "flags": "",
            "total_return": "37.1147",
            "total_ci95": "0.1611",
            "ablated_return": "15.9",
            "ablated_ci95": "0.4",
            "first_episode": "3.9828",
            "last_episode": "11.0572",
            "more_episodes": "",
            "more_episodes_ci95": "",
            "num_tasks": "10017",
            "env_steps": "100",
            "seconds": "13",
            "seed": "0",
            "measures": '{"shortest_path_rate": [0.5, 1.0]}',
        }
    }


def test_a_run_is_evaluated_over_more_episodes_than_it_was_trained_on(tmp_path) -> None:
    job = dataclasses.replace(JOB, flags=("--seed", "1"), more_episodes=3)
    finished_run(tmp_path, {"budget.seed": 1})
    longer = evaluation("adaptive", [1.0, 2.0, 2.5], [0.1, 0.1, 0.2])
    write_record(tmp_path / "evaluation_3_episodes.json", longer)
    assert run(job, tmp_path) == 0
    record(job, tmp_path, tmp_path / "families.csv")
    [(key, row)] = read_results(tmp_path / "families.csv").items()
    assert key.flags == "--seed 1" and job.name == "goal_grid_5-adaptive-ppo-seed-1"
    assert row["more_episodes"] == "[1.0, 2.0, 2.5]"
    assert row["more_episodes_ci95"] == "[0.1, 0.1, 0.2]"


@pytest.mark.parametrize("changes", [{"budget.seed": 1}, {"algorithm.entropy_coefficient": (0.1,)}])
def test_a_run_with_other_settings_is_refused(tmp_path, monkeypatch, capsys, changes) -> None:
    finished_run(tmp_path / JOB.name, changes)
    with pytest.raises(ConfigurationError, match="the settings that goal_grid_5 has now"):
        run(JOB, tmp_path / JOB.name)
    arguments = ["reproduce", "goal_grid_5-adaptive-ppo", "--runs", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    assert reproduce.main() == 2
    assert "move it away" in capsys.readouterr().err


def test_every_job_has_a_row_of_its_own() -> None:
    assert len({key_of(job) for job in JOBS}) == len(JOBS) == len({job.name for job in JOBS})


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_every_job_is_one_that_the_command_line_takes(job: Job) -> None:
    """With the settings of its algorithm and its memory, and no others but its flags'."""
    experiment = load_experiment(job.experiment)
    settings = parse_train_options(experiment, job.options).settings
    expected: Any = experiment.settings_for(
        algorithm=job.algorithm, memory=job.memory, policy=job.policy
    )
    if SHORT[0] in job.flags:
        expected = expected.change({"budget.total_steps": 2_000_000})
    assert settings == expected
