"""Many seeds and swept settings: what is asked for, and what is made of the agents."""

import json
import pathlib
import shutil
import signal
from typing import Any

import jax
import numpy as np
import pytest
import scipy.stats

from metarl_experiments.commands.numbers import read_sweep
from metarl_experiments.commands.populations import print_population
from metarl_jax.evaluation.evaluation import Evaluation, PopulationEvaluation
from metarl_jax.evaluation.population_record import PointRecord, PopulationRecord
from metarl_jax.evaluation.statistics import seeds_half_width
from metarl_jax.experiment.build import split_devices
from metarl_jax.experiment.settings import Budget, Settings
from metarl_jax.experiment.sweep import agents_of
from metarl_jax.learning.settings import A2C
from metarl_jax.parallel.sharding import DataParallel
from metarl_jax.report.population import figures
from metarl_jax.tasks.distribution import References
from metarl_jax.training import chunks
from metarl_jax.training.metrics_file import read_rows
from metarl_jax.training.metrics_row import MetricsRow
from metarl_jax.types import ConfigurationError
from support.command_line import (
    SMALL,
    assert_refused,
    assert_well_put,
    metarl_here,
    signalled_here,
)
from support.invented_runs import evaluation
from support.invented_runs import point as point_record
from support.run_folders import rows_of

SWEEP = ["sweep", "bandit_10_5", "--over", "learning_rate=1e-3,1e-2", "--num-seeds", "2", *SMALL]
SWEEP += ["--total-steps", "80000"]  # 10 chunks of 200 updates


# What is asked for.


def test_every_combination_has_every_seed() -> None:
    settings = Settings(
        algorithm=A2C(entropy_coefficient=(0.1, 0.0)), budget=Budget(seed=5, num_seeds=2)
    )
    agents = agents_of(settings, {"learning_rate": (0.1, 0.2), "discount": (0.8, 0.9, 1.0)})
    told = [(*a.optimizer.learning_rate, *a.discounting.discount, a.budget.seed) for a in agents]
    assert told[:3] == [(0.1, 0.8, 5), (0.1, 0.8, 6), (0.1, 0.9, 5)]
    assert len(set(told)) == len(agents) == 12
    assert {a.algorithm.entropy_coefficient for a in agents} == {(0.1, 0.0)}
    assert agents_of(Settings()) == (Settings(),)


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ({"hidden_size": (32, 64)}, "what changes the program's structure"),
        ({"learning_rte": (0.1,)}, "got learning_rte"),
        ({"clip_ratio": (0.1, 0.2)}, "expected .*gae_lambda.* got clip_ratio"),
        ({"learning_rate": (0.1, 2.0)}, "between 0 and 1"),
    ],
)
def test_a_sweep_over_what_cannot_be_swept_is_refused(sweep: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as refusal:
        agents_of(Settings(), sweep)
    assert_well_put(str(refusal.value))


def test_a_near_setting_is_suggested() -> None:
    with pytest.raises(ConfigurationError, match="got learning_rat; did you mean learning_rate"):
        agents_of(Settings(), {"learning_rat": (0.1, 0.2)})


def test_the_last_seed_must_be_one() -> None:
    with pytest.raises(ConfigurationError, match="seed must be"):
        Budget(seed=2**32 - 2, num_seeds=3)


def test_a_sweep_is_read_from_the_command_line() -> None:
    read = read_sweep(["learning-rate=1e-4,3e-4", "discount=0.9,1"])
    assert read == {"learning_rate": (1e-4, 3e-4), "discount": (0.9, 1.0)}
    assert read_sweep(None) == {}


@pytest.mark.parametrize("over", [[], ["learning_rate"], ["discount=a,b"], ["discount=1,1"]])
def test_what_is_no_sweep_is_refused(over: list[str]) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        read_sweep(over)
    assert_well_put(str(refusal.value))
    with pytest.raises(ConfigurationError, match="each setting once"):
        read_sweep(["discount=0.9,1", "discount=0.5"])


def test_the_command_line_refuses_in_words(tmp_path: pathlib.Path) -> None:
    one_value = ["bandit_10_5", "--over", "discount=1"]
    both = [*one_value, "--num-seeds", "2", "--discount", "0.5"]
    for arguments, told in (
        (["bandit_10_5"], "got no --over"),
        (["--over", "discount=1"], "the name before the options"),
        ([], "the name before the options"),
        (one_value, "got one agent"),
        (both, "either a flag or a sweep of discount"),
    ):
        assert_refused(metarl_here("sweep", *arguments, cwd=tmp_path), told)


@pytest.mark.parametrize(
    ("num_devices", "num_agents", "num_tasks", "asked", "agents_on", "tasks_on"),
    [
        (2, 8, 64, None, 2, 1),
        (2, 3, 64, None, 1, 2),
        (16, 2, 64, None, 1, 16),  # two devices for the agents would leave fourteen idle
        (16, 18, 9, None, 9, 1),
        (16, 1, 64, None, 1, 16),
        (16, 6, 64, 4, 1, 4),
        (16, 8, 64, 1, 1, 1),
        (1, 8, 64, None, 1, 1),
    ],
)
def test_agents_are_split_unless_their_tasks_occupy_more_devices(
    num_devices: int,
    num_agents: int,
    num_tasks: int,
    asked: int | None,
    agents_on: int,
    tasks_on: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jax, "local_device_count", lambda: num_devices)
    places = split_devices(Settings(budget=Budget(num_tasks=num_tasks)), num_agents, asked)
    assert places == (DataParallel(agents_on), DataParallel(tasks_on))


# What is made of the agents.


def test_the_interval_over_few_seeds_is_students() -> None:
    values = np.array([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    low, high = scipy.stats.t.interval(
        0.95, 2, loc=values.mean(axis=0)[0], scale=scipy.stats.sem(values)[0]
    )
    np.testing.assert_allclose(seeds_half_width(values), [(high - low) / 2, 0.0])
    assert np.isnan(seeds_half_width(values[:1])).all()


def test_a_row_has_each_agents_evaluation() -> None:
    first, second = np.array([[1.0, 2.0]]), np.array([[3.0, 6.0]])
    population = PopulationEvaluation((Evaluation(first, ""), Evaluation(second, "")))
    row = MetricsRow(update=1, env_steps=10).with_evaluation(population, 2.0)
    assert row.to_json() == {
        "update": 1,
        "env_steps": 10,
        "meta_test_episode_returns": [2.0, 4.0],
        "meta_test_episode_returns_members": [[1.0, 2.0], [3.0, 6.0]],
        "meta_test_total_return": 6.0,
        "meta_test_total_return_members": [3.0, 9.0],
        "evaluation_seconds": 2.0,
    }


def point(values: dict[str, float], agents: list[int], total: float) -> PointRecord:
    width = float("nan") if len(agents) == 1 else 0.1
    return point_record(values, agents, [0.0, total], width)


def test_a_point_of_four_agents_has_an_interquartile_mean() -> None:
    """Of 1, 2, 3 and 100 the middle half is 2 and 3; its interval is over agents."""
    each = [Evaluation(np.array([[x]], np.float32), "") for x in (1.0, 100.0, 3.0, 2.0)]
    four = PointRecord.of({}, range(4), range(4), each)
    assert four.total_return_iqm == 2.5
    assert four.total_return_iqm_interval95 is not None
    low, high = four.total_return_iqm_interval95
    assert 1.0 <= low < 2.5 < high <= 100.0
    three = PointRecord.of({}, range(3), range(3), each[:3])
    assert three.total_return_iqm is three.total_return_iqm_interval95 is None


NAMES = ("learning", "adaptation", "sweep")


def test_pictures_say_what_they_show() -> None:
    points = [point({"learning_rate": 1e-3}, [0, 1], 1.0), point({"learning_rate": 1e-1}, [2], 9.0)]
    nan = float("nan")
    rows = [
        MetricsRow(update=i, env_steps=10 * i, meta_test_total_return_members=(i, i + 1.0, nan))
        for i in (1, 2)
    ]
    rows.insert(0, MetricsRow(update=1, env_steps=1))
    known = References(optimal_total=12.5, optimal_episodes=(1.0, 8.0), memoryless_total=3.0)
    drawn = figures(rows, points, title="t", references=known)
    learning, adapted, swept = (drawn[f"{name}.png"].axes[0] for name in NAMES)
    texts = [text.get_text() for text in learning.texts]
    assert {"learning rate 0.001: 2.50", "Bayes-optimal: 12.50"} <= {*texts}
    thickest = max(line.get_linewidth() for line in learning.lines)
    means = [line.get_xydata() for line in learning.lines if line.get_linewidth() == thickest]
    np.testing.assert_allclose(means[-1], [[10, 1.5], [20, 2.5]])
    levels = ["best without memory: 3.00", "Bayes-optimal: 12.50"]
    assert [text.get_text() for text in swept.texts] == levels
    assert swept.get_xscale() == "log"
    assert swept.get_xlabel() == "learning rate"
    optimum = [line for line in adapted.lines if line.get_linestyle() == "--"]
    np.testing.assert_allclose(optimum[-1].get_xydata(), [[1, 1.0], [2, 8.0]])
    assert [text.get_text() for text in adapted.texts][2:] == [
        "Bayes-optimal: 8.00",
        "learning rate 0.1: 9.00",
    ]
    grid = [point({"a": x, "b": y}, [0], x + y) for x in (0.0, 1.0) for y in (0.0, 1.0)]
    ticks = figures(rows, grid, title="t")["sweep.png"].axes[0].get_xticklabels()
    assert [tick.get_text() for tick in ticks][1] == "a 0\nb 1"


def test_an_agent_that_diverged_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    points = [point({}, [0, 1], 1.0)]
    subject = evaluation("adaptive", [1.0], [0.1])
    print_population(PopulationRecord.of(subject, points))
    said = capsys.readouterr().out
    assert "diverged" not in said and "highest" not in said
    print_population(PopulationRecord.of(subject, points, [1]))
    assert "diverged: agents 1 (counted from 0)" in capsys.readouterr().out


def test_the_best_point_of_a_sweep_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    points = [point({"learning_rate": rate}, [i], -rate) for i, rate in enumerate((0.1, 0.01))]
    print_population(PopulationRecord.of(evaluation("adaptive", [1.0], [0.1]), points))
    assert capsys.readouterr().out.splitlines()[-1] == "highest return: learning rate 0.01"


# A whole one.


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("sweeps")
    before = chunks._compile.cache_info().misses
    result = metarl_here(*SWEEP, "--out", "run", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert chunks._compile.cache_info().misses == before + 1, "four agents, one program"
    assert "4 in one program: 2 values of learning_rate × 2 seeds" in result.stdout
    return folder / "run"


def test_a_sweep_leaves_all_its_files(sweep: pathlib.Path) -> None:
    names = {path.name for path in sweep.iterdir()}
    assert {"learning.png", "adaptation.png", "sweep.png", "evaluation.npz"} <= names
    assert "report.html" in names
    points = json.loads((sweep / "evaluation.json").read_text())["points"]
    returns = np.load(sweep / "evaluation.npz")["episode_returns"]
    assert returns.shape[0] == 4
    assert [p["values"] for p in points] == [{"learning_rate": 1e-3}, {"learning_rate": 1e-2}]
    for i, p in enumerate(points):
        assert p["seeds"] == [0, 1]
        totals = returns[2 * i : 2 * i + 2].sum(axis=2).mean(axis=1)
        np.testing.assert_allclose(p["total_return_of_agents"], totals, rtol=1e-6)
        np.testing.assert_allclose(p["total_return_mean"], totals.mean(), rtol=1e-6)
        np.testing.assert_allclose(p["total_return_ci95"], seeds_half_width(totals), rtol=1e-4)


def test_an_agent_of_a_sweep_learns_as_it_does_alone(
    sweep: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The last agent: the second learning rate, the second seed. Only rounding may differ."""
    alone = ["train", *SWEEP[1:2], *SWEEP[6:], "--learning-rate", "1e-2", "--seed", "1"]
    assert metarl_here(*alone, "--out", "alone", cwd=tmp_path).returncode == 0
    of_one, of_all = (
        read_rows(folder / "metrics.jsonl")[0] for folder in (tmp_path / "alone", sweep)
    )
    assert of_one.update == of_all.update
    one = of_one.to_json()
    for name in ("return", "entropy", "value_error"):
        assert of_all.members[name][3] == pytest.approx(one[name], rel=2e-3)
    entropy = of_all.members["entropy"]
    assert entropy[3] != pytest.approx(entropy[1], rel=1e-2)


def test_a_sweep_that_was_stopped_goes_on(sweep: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run = tmp_path / "run"
    stopped = signalled_here(signal.SIGTERM, *SWEEP, "--out", run, cwd=tmp_path)
    assert stopped.returncode == 75, stopped.stderr
    assert len(rows_of(run)) < len(rows_of(sweep))
    resumed = metarl_here("train", "--resume", run, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert rows_of(run) == rows_of(sweep)
    assert json.loads((run / "evaluation.json").read_text())["diverged_agents"] == []
    ours, whole = (json.loads((x / "evaluation.json").read_text()) for x in (run, sweep))
    assert ours == whole


def test_a_report_of_a_sweep_is_drawn(sweep: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run = shutil.copytree(sweep, tmp_path / "run")
    before = (run / "evaluation.json").read_bytes()
    for name in ("report.html", "evaluation.json"):
        (run / name).unlink()
    result = metarl_here("report", run, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "evaluating 4 agents on 8 tasks" in result.stdout
    assert "learning rate" in (run / "report.html").read_text(encoding="utf-8")
    assert (run / "evaluation.json").read_bytes() == before


def test_a_sweep_can_be_evaluated_again(sweep: pathlib.Path, tmp_path: pathlib.Path) -> None:
    result = metarl_here("evaluate", sweep, "--greedy", "--tasks", "16", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    again = json.loads((sweep / "evaluation_16_tasks_greedy.json").read_text())
    assert again["num_tasks"] == 16
    assert len(again["points"]) == 2
