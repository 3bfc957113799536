"""Measures beside the return, against values counted by hand; the lines beside a run's own."""

import dataclasses
import datetime
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs.cheetah import VelocityTask, cheetah_vel
from metarl_envs.mouse import mouse
from metarl_experiments import runs
from metarl_experiments.commands.evaluate import evaluate_run
from metarl_experiments.commands.evaluation_record import EvaluateOptions
from metarl_experiments.commands.pictures import find_baselines
from metarl_experiments.runs import create_run
from metarl_jax import Measure, measure
from metarl_jax.evaluation.record import write_record
from metarl_jax.experiment.build import build_setup
from metarl_jax.experiment.run_config import RunConfig
from metarl_jax.experiment.settings import Budget, Settings
from metarl_jax.memory import unroll_by_steps
from metarl_jax.memory.settings import GRU
from metarl_jax.policy.distributions import Categorical
from metarl_jax.policy.policy import Policy, PolicyOutput
from metarl_jax.types import Array, Experience, PyTree, StepOutcome
from support.invented_runs import evaluation
from support.probes import counter

NOON = SimpleNamespace(now=lambda: datetime.datetime(2026, 1, 1, 12))
UP, RIGHT, DOWN, LEFT = range(4)
ROUTES = {  # cheese: what the mouse does in two episodes of two steps, from the cell 1 below 4
    0: ([LEFT, LEFT], [LEFT, LEFT]),  # found in 1, found in 1
    2: ([RIGHT, LEFT], [UP, DOWN]),  # found in 1, not found
    3: ([LEFT, RIGHT], [LEFT, RIGHT]),  # sees 0 and 1, then nothing else
    4: ([RIGHT, LEFT], [UP, UP]),  # sees 2 and 1, then finds it in 1
    5: ([LEFT, RIGHT], [UP, RIGHT]),  # sees 0 and 1, then finds it in 2
    7: ([UP, LEFT], [UP, DOWN]),  # sees 4 and 3, then 4 and the start again
}


def scripted_mouse() -> Policy:
    """Reads the cheese's cell in the context, counts episodes and steps, and plays ROUTES."""
    routes = jnp.asarray([ROUTES.get(cell, ROUTES[0]) for cell in range(9)])

    def step(params: Any, carry: PyTree, experience: Experience) -> tuple[PyTree, PolicyOutput]:
        del params
        begins = experience.episode_start
        episode = jnp.where(begins, carry[0] + 1, carry[0])
        time = jnp.where(begins, 0, carry[1] + 1)
        action = routes[jnp.argmax(experience.context, axis=-1), episode, time]
        zero = jnp.zeros(action.shape, jnp.float32)
        chosen = Categorical(100.0 * jax.nn.one_hot(action, 4, dtype=jnp.float32))
        return (episode, time), PolicyOutput(chosen, zero, zero[..., None])

    def initial_carry(key: Array) -> PyTree:
        del key
        return jnp.full((), -1, jnp.int32), jnp.zeros((), jnp.int32)

    return Policy("scripted", True, lambda key: (), initial_carry, step, unroll_by_steps(step))


def test_the_mouses_measures_are_those_counted_by_hand() -> None:
    tasks = mouse(
        size=3, walls="none", cheese="near", episode_length=2, num_episodes=2, step_cost=0.0
    )
    found = measure(tasks, scripted_mouse(), (), jax.random.key(0), num_devices=2)
    assert found == {
        "success_rate": pytest.approx([2 / 6, 3 / 6]),
        "mean_steps_to_cheese": pytest.approx([10 / 6, 10 / 6]),
        "shortest_path_rate": pytest.approx([2 / 6, 3 / 6]),
        "fruitless_repeat_rate": pytest.approx(2 / 4),  # of 3, 4, 5 and 7: 3 and 7
    }


def test_a_longer_way_is_no_shortest_path() -> None:
    tasks = mouse(
        size=3, walls="none", cheese="near", episode_length=4, num_episodes=1, step_cost=0.0
    )
    task = jax.tree.map(lambda x: x[:1], tasks.all_tasks())  # the cheese in cell 0
    kept = {
        "episode": np.zeros((4, 1), int),
        "valid": np.array([[True], [True], [True], [False]]),
        "found": np.array([[False], [False], [True], [False]]),
        "cell": np.array([[4], [3], [0], [0]]),
    }
    values = tasks.measures[0].summarize(task, kept)
    assert values["success_rate"] == [1.0]
    assert values["mean_steps_to_cheese"] == [3.0]
    assert values["shortest_path_rate"] == [0.0]


def test_the_cheetahs_error_of_speed() -> None:
    """v = Δx / 0.05 s = 2 m/s throughout, and in the second episode 1 m/s after 20 steps."""
    tasks = cheetah_vel(episode_length=40)
    velocity = np.full((80, 3), 2.0, np.float32)
    velocity[60:] = 1.0
    moved = np.zeros((80, 3, 9), np.float32)
    moved[:, :, 0] = 0.05 * velocity
    outcome: Any = SimpleNamespace(next_state=SimpleNamespace(displacement=jnp.asarray(moved)))
    task = VelocityTask(jnp.array([0.0, 1.0, 2.0]))
    (cheetah,) = tasks.measures
    kept = np.asarray(cheetah.keep(task, jnp.zeros((80, 3, 6)), outcome))
    values = cheetah.summarize(task, kept)
    assert values["velocity_error_first_20_steps"] == pytest.approx([1.0, 1.0])
    # |v - v*|: 2, 1, 0 at 2 m/s; 1, 0, 1 at 1 m/s
    assert values["velocity_error"] == pytest.approx([1.0, (1.0 + 2 / 3) / 2])


def keep_ones(task: PyTree, action: Array, outcome: StepOutcome) -> PyTree:
    return {"ones": action == 1, "identity": jnp.broadcast_to(task.identity, outcome.reward.shape)}


def share(task: PyTree, kept: Any) -> dict[str, Any]:
    assert kept["ones"].shape == kept["identity"].shape
    assert kept["ones"].shape[1] == len(task.identity)
    assert np.array_equal(kept["identity"], np.tile(task.identity, (len(kept["ones"]), 1)))
    return {"share_of_ones": float(kept["ones"].mean()), "by_episode": [1.0, 2.0, 3.0]}


def test_a_family_of_ones_own_has_its_measures_in_its_evaluation(tmp_path: Path) -> None:
    own = (Measure(keep_ones, share), Measure(keep_ones, lambda task, kept: {"second": 5.0}))
    tasks = dataclasses.replace(counter(ends_early=False), measures=own)
    settings = Settings(memory=GRU(hidden_size=4), budget=Budget(num_tasks=4, total_steps=100))
    setup = build_setup(tasks, settings)
    record = evaluate_run(
        EvaluateOptions(run=tmp_path),
        RunConfig("mine.py:mine", {}, settings),
        setup,
        setup.algorithm.init(setup.key, setup.plan.num_updates),
    )
    written = json.loads((tmp_path / "evaluation.json").read_text())["measures"]
    assert 0 < written.pop("share_of_ones") < 1
    assert written == {"by_episode": [1.0, 2.0, 3.0], "second": 5.0}
    assert record.measures.keys() == {"share_of_ones", "by_episode", "second"}


@pytest.mark.parametrize("wanted", [1, 7, 99, 101, 469])
def test_training_overshoots_by_less_than_a_chunk(wanted: int) -> None:
    tasks = mouse(size=3, walls="none", cheese="near", episode_length=2, num_episodes=6)
    plan = build_setup(tasks, Settings(budget=Budget(num_tasks=4, total_steps=48 * wanted))).plan
    assert 0 <= plan.num_updates - wanted < plan.updates_per_chunk
    assert plan.num_updates % plan.updates_per_chunk == 0


def test_a_default_folder_is_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "datetime", SimpleNamespace(datetime=NOON))
    with ThreadPoolExecutor(8) as threads:  # as of runs begun in the same second
        made = threads.map(lambda _: runs.default_folder("here/corridor.py:corridor"), range(8))
    ends = ["", *(f"-{n}" for n in range(2, 9))]
    assert {folder.name for folder in made} == {f"corridor-20260101-120000{end}" for end in ends}
    assert len(list((tmp_path / "runs").iterdir())) == 8


def a_run(
    folder: Path,
    total: float,
    policy: Any,
    experiment: str = "goal_grid_3",
    task_set_hash: str = "same",
) -> RunConfig:
    config = RunConfig(experiment, {"size": 3}, Settings().choose("policy", policy))
    create_run(folder, config, [])
    nan = float("nan")
    own = evaluation(policy, [total, 1.0], [0.1, nan], task_set_hash=task_set_hash)
    write_record(folder / "evaluation.json", own)
    return config


STRANGE: dict[str, dict[str, Any]] = {
    "a_population": {"episode_return_mean": None, "episode_return_ci95": None},
    "texts": {"episode_return_mean": ["a", "b"]},
    "of_other_lengths": {"episode_return_ci95": [0.1]},
    "a_number": {"episode_return_mean": 5},
    "empty": {"episode_return_mean": [], "episode_return_ci95": []},
}
"""Evaluations of the same tasks that hold no curve of episodes."""


def test_baselines_are_the_newest_runs_on_the_same_tasks_beside_it(tmp_path: Path) -> None:
    config = a_run(tmp_path / "own", 3.0, "adaptive")
    assert find_baselines(tmp_path / "own", config, "same") == []
    a_run(tmp_path / "memoryless", 1.0, "memoryless")
    a_run(tmp_path / "contextual", 5.0, "contextual")
    a_run(tmp_path / "other_family", 9.0, "contextual", "goal_grid_5")
    a_run(tmp_path / "another_recurrent", 9.0, "adaptive")
    a_run(tmp_path / "on_other_tasks", 9.0, "contextual", task_set_hash="other")
    for name, value in STRANGE.items():
        a_run(tmp_path / name, 9.0, "contextual")
        strange = json.loads((tmp_path / name / "evaluation.json").read_text()) | value
        (tmp_path / name / "evaluation.json").write_text(json.dumps(strange))
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "evaluation.json").write_text("{")
    totals = sorted(
        each.episode_return_mean[0] for each in find_baselines(tmp_path / "own", config, "same")
    )
    assert totals == [1.0, 5.0]
