"""A whole run in one call from Python."""

import asyncio
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

from metarl_jax import (
    Agent,
    ConfigurationError,
    TrainResult,
    UpdateConfig,
    a2c,
    hyperparameters,
    train,
    value_error,
)
from metarl_jax.learning.train_state import Algorithm
from metarl_jax.memory import gru, unroll_by_steps
from metarl_jax.training.metrics_row import MetricsRow
from metarl_jax.types import PyTree
from support.command_line import SMALL, assert_refused, metarl_here
from support.comparisons import assert_same
from support.probes import small_policy, tiny_bandit
from support.run_folders import rows_of

TASKS = tiny_bandit()
POLICY = small_policy(TASKS)
STEPS = 4 * TASKS.max_steps
"""Of an update."""


def make(policy: Any = POLICY, rate: Any = (1e-2, 1e-3)) -> Algorithm:
    h = hyperparameters(learning_rate=rate, entropy_coefficient=(0.1, 0.0))
    return a2c(TASKS, policy, h, UpdateConfig(num_tasks=4))


ALGORITHM = make()


def run(folder: Path | None, updates: int = 8, **options: Any) -> TrainResult:
    given: dict[str, Any] = {"evaluate_every": 2 * STEPS, "progress": False}
    given |= {"key": jax.random.key(3), "evaluation_tasks": 8, "final_evaluation_tasks": 16}
    algorithm = options.pop("algorithm", ALGORITHM)
    policy = options.pop("policy", POLICY)
    given |= {"total_steps": updates * STEPS, "folder": folder} | options
    return train(TASKS, policy, algorithm, **given)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainResult]:
    folder = tmp_path_factory.mktemp("runs") / "not yet" / "there"
    return folder, run(folder)


def test_a_run_leaves_what_the_command_line_leaves(whole: tuple[Path, TrainResult]) -> None:
    folder, result = whole
    names = {path.name for path in folder.iterdir()}
    assert {"run.json", "interface.json", "policy.json", "metrics.jsonl", "checkpoints"} <= names
    assert {"evaluation.json", "evaluation.npz", "report.html", "adaptation.png"} <= names
    assert "config.json" not in names
    evaluation = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert evaluation["total_return_mean"] == result.evaluation.total_return_mean
    np.testing.assert_array_equal(
        np.load(folder / "evaluation.npz")["episode_returns"], result.episode_returns
    )
    assert result.folder == folder and int(result.state.update) == 8
    assert [row.update for row in result.rows if row.meta_test_total_return is not None] == [
        *(2, 4, 6, 8)
    ]


def test_an_agent_is_loaded_from_its_folder_alone(whole: tuple[Path, TrainResult]) -> None:
    folder, result = whole
    assert_same(Agent.load(folder).params, result.params)


def test_a_run_that_goes_on_for_longer_is_one_whose_schedules_ended(
    whole: tuple[Path, TrainResult], tmp_path: Path
) -> None:
    """Begun with 4 updates and extended to 8, it holds the last learning rate from there on."""
    short = run(tmp_path / "run", 4)
    longer = run(tmp_path / "run", 8, resume=True)
    assert rows_of(tmp_path / "run")[: len(short.rows)] == rows_of_result(short)
    assert int(longer.state.update) == 8
    assert float(longer.state.num_updates) == 4 != float(whole[1].state.num_updates)
    again = run(tmp_path / "run", 8, resume=True)
    assert_same(again.params, longer.params)


def rows_of_result(result: TrainResult) -> list[dict[str, Any]]:
    clock = ("seconds", "env_steps_per_second", "evaluation_seconds")
    rows = [row.to_json() for row in result.rows]
    return [{name: x for name, x in row.items() if name not in clock} for row in rows]


def test_resuming_an_empty_folder_begins(whole: tuple[Path, TrainResult], tmp_path: Path) -> None:
    assert_same(run(tmp_path / "new", resume=True).params, whole[1].params)


def test_nothing_is_kept_without_a_folder_in_an_event_loop(
    whole: tuple[Path, TrainResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the run is the same: a notebook has an event loop running."""
    monkeypatch.chdir(tmp_path)

    async def cell() -> TrainResult:
        return run(None)

    result = asyncio.run(cell())
    assert result.folder is None and not list(tmp_path.iterdir())
    assert_same(result.params, whole[1].params)
    assert rows_of_result(result) == rows_of_result(whole[1])


def test_what_is_there_is_not_overwritten(whole: tuple[Path, TrainResult]) -> None:
    folder, _ = whole
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    other = small_policy(TASKS, gru(5))
    with pytest.raises(ConfigurationError, match="resume=True"):
        run(folder)
    with pytest.raises(ConfigurationError, match="another architecture"):
        run(folder, policy=other, algorithm=make(other), resume=True)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_run_of_the_command_line_is_resumed_there(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="metarl train --resume"):
        run(tmp_path, resume=True)


def test_the_command_line_leaves_a_run_from_python_as_it_is(
    whole: tuple[Path, TrainResult],
) -> None:
    folder, _ = whole
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    refused = metarl_here("train", "goal_grid_3", *SMALL, "--out", folder, cwd=folder.parent)
    assert_refused(refused, "which holds one")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_warm_start_begins_with_the_parameters_given(whole: tuple[Path, TrainResult]) -> None:
    params = whole[1].params
    still = run(None, 2, algorithm=make(rate=0.0), init_params=params)
    assert_same(still.params.weights, params.weights)
    other = small_policy(TASKS, gru(5))
    with pytest.raises(ConfigurationError, match="of the same sizes"):
        run(None, 2, policy=other, algorithm=make(other), init_params=params)


def test_a_schedule_of_optax_runs_over_the_updates_of_the_run() -> None:
    schedule = optax.linear_schedule(1e-2, 0.0, 4)
    result = run(None, 4, algorithm=make(rate=schedule))
    knots = result.state.hyperparameters["learning_rate"]
    np.testing.assert_allclose(knots, [1e-2, 7.5e-3, 5e-3, 2.5e-3], rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"total_steps": 0}, "total_steps"),
        ({"evaluation_tasks": 0}, "evaluation_tasks"),
        ({"final_evaluation_tasks": -1}, "final_evaluation_tasks"),
        ({"evaluate_every": 0}, "evaluate_every"),
        ({"evaluate_every": -5}, "evaluate_every"),
        ({"key": jax.random.split(jax.random.key(0), 2)}, "one key"),
        ({"key": 0}, "jax.random.key"),
        ({"key": jax.random.PRNGKey(0)}, "jax.random.key"),
        ({"policy": small_policy(TASKS)}, "the policy that the algorithm was made with"),
    ],
)
def test_what_is_off_is_refused_by_name(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        run(None, **wrong)


def test_a_schedule_that_decides_in_python_is_refused() -> None:
    schedule = lambda count: 1e-2 if count < 2 else 1e-3
    with pytest.raises(ConfigurationError, match=r"learning_rate: .* jnp\.where"):
        run(None, 4, algorithm=make(rate=schedule))


def test_several_processes_are_sent_to_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ConfigurationError, match="metarl train"):
        run(None)


def test_what_a_deleted_run_left_decides_nothing(tmp_path: Path) -> None:
    """A run.json without checkpoints is another's: this run's own steps set its schedules."""
    run(tmp_path, 2)
    shutil.rmtree(tmp_path / "checkpoints")
    (tmp_path / "metrics.jsonl").unlink()
    result = run(tmp_path, 4)
    assert float(result.state.num_updates) == 4
    assert json.loads((tmp_path / "run.json").read_text())["settings"]["total_steps"] == 4 * STEPS


@pytest.mark.parametrize(
    ("objective", "told"),
    [(lambda h: None, "expected a loss"), (lambda h: value_error() + value_error(), "same metric")],
)
def test_an_objective_that_is_no_loss_is_refused(objective: Any, told: str) -> None:
    h = hyperparameters()
    with pytest.raises(ConfigurationError, match=told):
        run(None, algorithm=a2c(TASKS, POLICY, h, UpdateConfig(num_tasks=4), objective=objective))


def test_a_memory_that_runs_backwards_is_refused_before_anything_is_compiled() -> None:
    memory = gru(8)

    def backwards(params: PyTree, carry: PyTree, xs: PyTree) -> Any:
        carry, ys = unroll_by_steps(memory.step)(params, carry, jax.tree.map(lambda x: x[::-1], xs))
        return carry, ys[::-1]

    policy = small_policy(TASKS, memory._replace(name="own", unroll=backwards, made_by=None))
    with pytest.raises(ConfigurationError, match="future"):
        run(None, policy=policy, algorithm=make(policy))


def test_rows_go_to_loggers_and_a_memory_of_ones_own_needs_its_policy(tmp_path: Path) -> None:
    @dataclasses.dataclass
    class Kept:
        rows: list[MetricsRow] = dataclasses.field(default_factory=list)

        def log(self, row: MetricsRow) -> None:
            self.rows.append(row)

    kept, policy = Kept(), small_policy(TASKS, gru(8)._replace(made_by=None))
    result = run(tmp_path / "own", 2, policy=policy, algorithm=make(policy), loggers=[kept])
    assert [row.update for row in kept.rows] == [row.update for row in result.rows]
    with pytest.raises(ConfigurationError, match="policy=policy"):
        Agent.load(tmp_path / "own")
    assert_same(Agent.load(tmp_path / "own", policy=policy).params, result.params)


def test_progress_ends_with_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    run(None, 2, progress=True)
    printed = capsys.readouterr().out
    assert "evaluating on 16 tasks" in printed and len(printed.splitlines()) < 25
    assert "adapt" in printed.splitlines()[-1] or "gain" in printed.splitlines()[-1]
    run(None, 2, progress=False)
    assert capsys.readouterr().out == ""
