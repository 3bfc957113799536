"""`make reproduce WHAT=rl2`: rows of finished runs, and totals that belong to committed means."""

import json
import subprocess

import jax
import numpy as np
import pytest

from metarl_experiments.commands.evaluation_record import META_TEST_SEED
from metarl_experiments.reproduce import rl2
from metarl_experiments.reproduce.jobs import Job
from metarl_experiments.runs import make_tasks
from metarl_jax.evaluation.evaluate import meta_test_tasks
from metarl_jax.evaluation.evaluation import Evaluation
from metarl_jax.evaluation.record import write_record
from metarl_jax.evaluation.scores import with_control_variate
from metarl_jax.experiment.registry import load_experiment
from metarl_jax.types import ConfigurationError
from support.invented_runs import evaluation
from support.run_folders import preset_run


def finished_run(runs, job: Job, episode_returns: np.ndarray) -> None:
    folder = runs / job.name
    preset_run(folder, job.experiment, job.options)
    totals = episode_returns.sum(axis=1)
    means, widths = episode_returns.mean(axis=0), [0.1] * episode_returns.shape[1]
    told = {"total_return_mean": float(totals.mean()), "num_tasks": len(totals)}
    write_record(folder / "evaluation.json", evaluation("adaptive", means, widths, **told))
    np.savez(folder / "evaluation.npz", episode_returns=episode_returns)
    (folder / "evaluation_without_memory.json").write_text("{}")
    row = {"update": 5, "env_steps": 2_000_000, "seconds": 12.6}
    (folder / "metrics.jsonl").write_text(json.dumps(row))


def test_a_finished_run_has_its_row_and_every_tasks_total(tmp_path, monkeypatch, capsys) -> None:
    presets = ("bandit_10_5", "bandit_100_10", "tabular_mdp_10")
    monkeypatch.setattr(rl2, "PUBLISHED", {name: rl2.PUBLISHED[name] for name in presets})
    monkeypatch.setattr(rl2, "SEEDS", (0, 1))
    monkeypatch.setattr(subprocess, "call", None)
    rng = np.random.default_rng(0)
    returns = {}
    for seed, job in rl2.jobs():
        drawn = rng.normal(size=(5 + seed, 3)).round(2)
        returns[f"{job.experiment} seed {seed}"] = drawn
        finished_run(tmp_path, job, drawn)
    means, per_task = tmp_path / "rl2.csv", tmp_path / "tasks.csv.gz"
    assert rl2.reproduce_rl2(tmp_path, means, per_task) == 0
    rows = rl2.read_rows(means)
    assert [(row.experiment, row.seed) for row in rows] == [(n, s) for s in (0, 1) for n in presets]
    bests = [(row.best, row.best_is) for row in rows[:3]]
    assert bests[0] == (pytest.approx(6.66, abs=1e-3), "optimum")
    assert bests[1] == (pytest.approx(83.75, abs=0.2), "gittins")
    assert bests[2] == (pytest.approx(150.2, abs=5), "beb")
    assert rows[0].best_ci95 == 0 and 1 < rows[2].best_ci95 < 4
    assert rows[0][-3:] == (5, 2_000_000, 13)
    found = rl2.read_per_task(per_task)
    assert found.keys() == returns.keys()
    for name, totals in found.items():
        np.testing.assert_allclose(totals, returns[name].sum(axis=1), atol=0.005)
    assert rl2.rl2_table(rows) in capsys.readouterr().out
    lines = rl2.rl2_table(rows).splitlines()[2:]
    assert [line.split("|")[1].strip(" `") for line in lines] == list(presets)
    for line, preset in zip(lines, presets, strict=True):
        seeds = [row for row in rows if row.experiment == preset]
        assert all(f"{row.total_return:.2f}, " in line for row in seeds)
        assert f"| {min(row.total_return / row.best for row in seeds):.1%} |" in line
    first = per_task.read_bytes()
    rl2.reproduce_rl2(tmp_path, means, per_task)
    assert per_task.read_bytes() == first


@pytest.mark.parametrize("row", rl2.read_rows(), ids=lambda row: f"{row.experiment}-{row.seed}")
def test_the_committed_totals_have_the_committed_mean(row: rl2.Row) -> None:
    """On the meta-test tasks of their order: known tasks cut the interval only where they fit."""
    totals = rl2.read_per_task()[f"{row.experiment} seed {row.seed}"]
    experiment = load_experiment(row.experiment)
    tasks = make_tasks(experiment, experiment.arguments)
    tasks_key, _ = jax.random.split(jax.random.key(META_TEST_SEED))
    meta_test = meta_test_tasks(tasks, tasks_key, row.num_tasks)
    plain = Evaluation(totals[:, None], "")
    controlled = with_control_variate(plain, tasks.references(), meta_test)
    assert controlled.total_return_mean == pytest.approx(row.total_return, abs=1e-2)
    assert controlled.total_return_ci95 == pytest.approx(row.total_ci95, rel=1e-2)


def test_without_the_classical_agents_nothing_is_trained(tmp_path) -> None:
    assert rl2.best_known("bandit_10_5", tmp_path / "none.csv").whose == "optimum"
    with pytest.raises(ConfigurationError, match="bandit_100_5.* WHAT=classical` makes it"):
        rl2.best_known("bandit_100_5", tmp_path / "none.csv")


def test_the_committed_rows_are_those_of_the_jobs() -> None:
    rows = [(row.experiment, row.seed) for row in rl2.read_rows()]
    assert rows == [(job.experiment, seed) for seed, job in rl2.jobs()]
