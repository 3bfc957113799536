"""`metarl evaluate RUN`: each option reaches the evaluator, and each answer has its own files."""

import dataclasses
import importlib
import json
import pathlib
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs.goal_grid import GoalGridTask, goal_grid
from metarl_experiments.commands import evaluate, prepared_run, train, video
from metarl_experiments.commands.ablations import ablations_after_training, ablations_of
from metarl_experiments.commands.compare import _labels, compare_command
from metarl_experiments.commands.evaluate import evaluate_command, evaluate_run
from metarl_experiments.commands.evaluation_record import META_TEST_SEED, EvaluateOptions
from metarl_experiments.commands.report import report_command
from metarl_experiments.commands.video import video_command
from metarl_jax import (
    Architecture,
    ConfigurationError,
    Evaluation,
    TrainState,
    UpdateConfig,
    a2c,
    adaptive_policy,
    gru,
    hyperparameters,
    make_task_evaluator,
    meta_test_tasks,
)
from metarl_jax.checkpoint.checkpoint import restore
from metarl_jax.checkpoint.folder import steps
from metarl_jax.evaluation.ablated import find_ablations
from metarl_jax.evaluation.record import read_record
from metarl_jax.evaluation.scores import with_control_variate
from metarl_jax.experiment.build import build_setup
from metarl_jax.experiment.run_config import load_config
from metarl_jax.tasks.distribution import References
from metarl_jax.training.metrics_row import MetricsRow
from support.command_line import assert_well_put

evaluate_module = importlib.import_module("metarl_jax.evaluation.evaluate")  # not the function

TASKS = goal_grid(size=3, episode_length=3, num_episodes=3)
POLICY = adaptive_policy(TASKS, gru(4), Architecture(embedding_size=4))
NUM_TASKS, FIRST, LAST = 16, 20, 40  # meta-test tasks; updates of the two checkpoints
TRAIN = (
    *("goal_grid_3", "--family.episode-length", "3", "--family.num-episodes", "3"),
    *("--memory.hidden-size", "4", "--policy.embedding-size", "4", "--num-tasks", "4"),
    *("--total-steps", str(LAST * 4 * TASKS.max_steps), "--num-evaluations", "2"),
    *("--evaluation-tasks", "8", "--final-evaluation-tasks", str(NUM_TASKS)),
    # So that it soon acts on what it remembers: the ablation must be seen in the returns.
    *("--learning-rate", "0.03", "--algorithm.entropy-coefficient", "0"),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A small run, trained and evaluated; not drawn, which would take as long again."""
    folder = tmp_path_factory.mktemp("runs") / "grid"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(evaluate, "draw_run", lambda *_: [])
        assert train.train_command([*TRAIN, "--out", str(folder)]) == 0
    assert steps(folder / "checkpoints") == [LAST, FIRST]
    return folder


@pytest.fixture
def run(trained: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of it for one test."""
    return shutil.copytree(trained, tmp_path / "run")


def state_of(run: pathlib.Path, step: int = LAST) -> TrainState:
    algorithm = a2c(TASKS, POLICY, hyperparameters(entropy_coefficient=0.0), UpdateConfig())
    template = jax.eval_shape(algorithm.init, jax.random.key(0))
    return restore(run / "checkpoints", template, step).state


def directly(
    run: pathlib.Path,
    *,
    num_tasks: int = NUM_TASKS,
    step: int = LAST,
    seed: int = 0,
    **options: Any,
) -> Evaluation:
    """The framework's own evaluator, on the tasks and with the keys that the command documents."""
    tasks_key, actors_key = jax.random.split(jax.random.key(META_TEST_SEED))
    meta_test = meta_test_tasks(TASKS, tasks_key, num_tasks)
    evaluator = make_task_evaluator(TASKS, POLICY, **options)
    params = state_of(run, step).learner.params
    evaluation = evaluator(params, meta_test, jax.random.fold_in(actors_key, seed))
    known = References() if "num_episodes" in options else TASKS.references()
    return with_control_variate(evaluation, known, meta_test)


def contents(run: pathlib.Path) -> dict[str, tuple[bytes, int]]:
    """Every file, and when it was written."""
    files = {path: path.stat() for path in sorted(run.rglob("*")) if path.is_file()}
    return {
        str(path.relative_to(run)): (path.read_bytes(), stat.st_mtime_ns)
        for path, stat in files.items()
    }


def answer(run: pathlib.Path, label: str) -> tuple[dict[str, Any], np.ndarray]:
    """What LABEL.json and LABEL.npz hold."""
    record = json.loads((run / f"{label}.json").read_text())
    return record, np.load(run / f"{label}.npz")["episode_returns"]


def assert_answers(run: pathlib.Path, label: str, expected: Evaluation, **fields: Any) -> None:
    record, returns = answer(run, label)
    np.testing.assert_array_equal(returns, expected.episode_returns)
    fields = {"update": LAST, "split": None, "sampled_actions": True} | fields
    fields = {"ablation": None, "num_tasks": expected.num_tasks} | fields
    assert {name: record[name] for name in fields} == fields
    assert record["task_set_hash"] == expected.task_set_hash
    assert record["episode_return_mean"] == expected.episode_return_mean.tolist()
    assert record["episode_return_ci95"] == expected.episode_return_ci95.tolist()
    for name in ("total_return_mean", "total_return_ci95"):
        assert record[name] == getattr(expected, name)
    for name in ("total_return_p20", "adaptation_gain", "adaptation_gain_ci95"):
        assert record[name] == getattr(expected, name)


def test_what_is_too_good_to_be_true_is_no_result(
    run: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def highest_total(references: References, **kind: bool) -> float | None:
        asked.append(kind)
        return None if references.optimal_total is None else -1e3

    monkeypatch.setattr(evaluate_module, "highest_total", highest_total)
    with pytest.raises(ConfigurationError, match="leaks"):
        evaluate.evaluate_command([str(run), "--tasks", "64", "--ablate", "memory"])
    assert not list(run.glob("*64_tasks*"))
    assert asked == [{"contextual": False, "memory_ablated": True}]
    # Of other numbers of episodes the exact values are not known here.
    assert evaluate.evaluate_command([str(run), "--tasks", "64", "--episodes", "2"]) == 0


def test_a_run_ends_with_the_plain_evaluation(trained: pathlib.Path) -> None:
    assert_answers(trained, "evaluation", directly(trained))


@pytest.mark.parametrize(
    ("flags", "label", "options", "fields"),
    [
        (["--ablate", "memory"], "without_memory", {"ablation": "memory"}, {"ablation": "memory"}),
        (["--greedy"], "greedy", {"greedy": True}, {"sampled_actions": False}),
        (["--episodes", "2"], "2_episodes", {"num_episodes": 2}, {}),
        (["--tasks", "24"], "24_tasks", {"num_tasks": 24}, {}),
        (["--step", str(FIRST)], f"step_{FIRST}", {"step": FIRST}, {"update": FIRST}),
        (["--seed", "5"], "seed_5", {"seed": 5}, {}),
        (
            ["--tasks=24", "--episodes=2", "--ablate", "memory", f"--step={FIRST}", "--seed=5"],
            f"24_tasks_2_episodes_without_memory_step_{FIRST}_seed_5",
            {"num_tasks": 24, "num_episodes": 2, "ablation": "memory", "step": FIRST, "seed": 5},
            {"ablation": "memory", "update": FIRST},
        ),
    ],
)
def test_an_option_reaches_the_evaluator_and_has_files_of_its_own(
    flags: list[str],
    label: str,
    options: dict[str, Any],
    fields: dict[str, Any],
    run: pathlib.Path,
) -> None:
    label = f"evaluation_{label}"
    before = contents(run)
    assert evaluate_command([str(run), *flags]) == 0
    after = contents(run)
    assert after.keys() - before.keys() == {f"{label}.json", f"{label}.npz"}
    assert {name: after[name] for name in before} == before, "a file was overwritten"
    expected = directly(run, **options)
    assert_answers(run, label, expected, **fields)
    plain = answer(run, "evaluation")[1]
    assert not np.array_equal(expected.episode_returns, plain), "nothing would be noticed here"


def test_a_run_of_bfloat16_products_is_evaluated_on_a_cpu(
    run: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained on an accelerator, its parameters are float32; a CPU has float32 products alone."""
    place = run / "config.json"
    config = json.loads(place.read_text())
    config["settings"]["policy"]["precision"] = "bf16"
    place.write_text(json.dumps(config))
    assert evaluate_command([str(run), "--seed", "5"]) == 0
    assert "evaluated in f32" in capsys.readouterr().err
    config["settings"]["policy"]["precision"] = "f32"
    place.write_text(json.dumps(config))
    assert_answers(run, "evaluation_seed_5", directly(run, seed=5))


def test_a_split_is_what_the_tasks_are_drawn_from(run: pathlib.Path) -> None:
    """Tasks alone are drawn from it: keys of the actions, params and files are as ever."""
    config = load_config(run)
    corner = lambda key: GoalGridTask(jax.random.choice(key, jnp.array([7, 8], jnp.int32)))
    tasks = dataclasses.replace(TASKS, splits={"corner": corner})
    program = build_setup(TASKS, config.settings)._replace(tasks=tasks)
    before = contents(run)
    evaluate_run(EvaluateOptions(run=run, split="corner"), config, program, state_of(run))
    assert contents(run).items() >= before.items()
    record, returns = answer(run, "evaluation_split_corner")
    assert record["split"] == "corner"
    tasks_key, actors_key = jax.random.split(jax.random.key(META_TEST_SEED))
    goals = meta_test_tasks(tasks, tasks_key, NUM_TASKS, "corner")
    assert set(np.asarray(goals.goal).tolist()) == {7, 8}
    expected = make_task_evaluator(TASKS, POLICY)(
        state_of(run).learner.params, goals, jax.random.fold_in(actors_key, 0)
    )
    np.testing.assert_array_equal(returns, expected.episode_returns)
    assert record["task_set_hash"] == expected.task_set_hash != directly(run).task_set_hash


def test_a_run_is_compared_on_the_tasks_it_is_evaluated_on(
    run: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(run)
    assert compare_command([str(run), str(run), "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    plain = answer(run, "evaluation")[0]
    for name in ("task_set_hash", "num_tasks"):
        assert compared[name] == plain[name]
    for line in compared["contenders"]:
        assert line["total_return_mean"] == pytest.approx(plain["total_return_mean"], abs=1e-6)
        assert line["difference_mean"] == 0.0
    assert contents(run) == before
    with pytest.raises(ConfigurationError, match=r"same tasks.*bandit_10_5.*goal_grid_3"):
        compare_command([str(run), "--preset", "bandit_10_5"])


def test_runs_of_one_name_are_told_apart_by_their_folders(
    run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    other = shutil.copytree(run, tmp_path / "elsewhere" / "run")
    assert _labels([str(run), "greedy"]) == {str(run): "run", "greedy": "greedy"}
    assert _labels([str(run), str(other)]) == {str(run): str(run), str(other): str(other)}


def test_a_report_is_drawn_with_every_ablation(
    run: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(run)
    assert report_command([str(run)]) == 0
    made = contents(run).keys() - before.keys()
    labels = ("without_memory", "without_rewards", "history_of_another_task")
    assert {f"evaluation_{label}.json" for label in labels} | {"report.html"} <= made
    page = (run / "report.html").read_text(encoding="utf-8")
    for words in ("fresh memory every episode", "rewards withheld", "history of another task"):
        assert words in page
    assert "report.html" in capsys.readouterr().out
    stale = json.loads((run / "evaluation_without_memory.json").read_text()) | {"update": FIRST}
    (run / "evaluation_without_memory.json").write_text(json.dumps(stale))
    plain = read_record(run / "evaluation.json")
    assert list(find_ablations(run, plain)) == ["rewards withheld", "history of another task"]


def test_a_change_is_that_of_the_returns_pair_by_pair(run: pathlib.Path) -> None:
    assert report_command([str(run)]) == 0
    plain, ablated = (
        answer(run, label)[1].sum(axis=1, dtype=np.float64)
        for label in ("evaluation", "evaluation_without_rewards")
    )
    record = read_record(run / "evaluation.json")
    found = find_ablations(run, record)["rewards withheld"]
    assert found.change == pytest.approx((ablated - plain).mean())
    spread = np.std(ablated - plain, ddof=1) / np.sqrt(len(plain))
    assert found.change_ci95 == pytest.approx(1.96 * spread) and spread > 0
    place = run / "evaluation_without_rewards.npz"
    for write in (
        lambda: place.write_bytes(b"broken"),
        lambda: np.savez(place, episode_returns=np.zeros((10_000, 3))),
        lambda: np.savez(place, episode_returns=np.array([["a"] * 3] * NUM_TASKS)),
        place.unlink,
    ):
        write()
        known = find_ablations(run, record)["rewards withheld"]
        assert known.change == pytest.approx(found.change, abs=0.2)
        assert np.isnan(known.change_ci95)


def test_ablations_are_made_by_themselves_after_short_training(run: pathlib.Path) -> None:
    """Of one agent with a memory, in less than 300 seconds, on at least 100 tasks."""

    def made(seconds: float = 299.0, **changes: Any) -> int:
        row = MetricsRow(update=1, env_steps=1, seconds=seconds)
        (run / "metrics.jsonl").write_text(json.dumps(row.to_json()) + "\n")
        settings = config.settings.change({"evaluation.final_evaluation_tasks": 100, **changes})
        changed = dataclasses.replace(config, settings=settings)
        return len(ablations_after_training(run, changed, build_setup(TASKS, settings)))

    config = load_config(run)
    assert made() == 3
    assert made(300.0) == 0
    assert made(**{"evaluation.final_evaluation_tasks": 99}) == 0
    assert made(**{"budget.num_seeds": 2}) == 0
    alone = build_setup(dataclasses.replace(TASKS, num_episodes=1), config.settings)
    assert ablations_of(alone) == ("rewards",)


def test_training_ends_with_the_ablations_that_it_is_told(
    run: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared_run, "ablations_after_training", lambda *_: ("rewards",))
    drawn: list[list[str]] = []
    monkeypatch.setattr(
        evaluate,
        "draw_run",
        lambda *_: drawn.append([x.name for x in run.glob("*rewards.json")]) or [],
    )
    assert train.train_command(["--resume", str(run)]) == 0
    assert drawn == [["evaluation_without_rewards.json"]]


def test_a_film_is_made_of_the_folder_alone(
    run: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(run)
    film = run.parent / "films" / "two.gif"
    assert video_command([str(run), "--out", str(film), "--tasks", "2", "--fps", "4"]) == 0
    assert film.read_bytes()[:6] == b"GIF89a"
    assert str(film) in capsys.readouterr().out
    assert contents(run) == before


def test_a_film_that_cannot_be_is_refused(
    run: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(run)
    monkeypatch.setenv("PATH", str(run))
    with pytest.raises(ConfigurationError, match=r"ffmpeg.*write a \.gif"):
        video_command([str(run), "--out", "film.mp4"])
    blind = dataclasses.replace(TASKS, scene=None)
    monkeypatch.setattr(video, "load_tasks", lambda config: (None, blind))
    with pytest.raises(ConfigurationError, match="no scene to film.*give the family one"):
        video_command([str(run)])
    assert contents(run) == before


@pytest.mark.parametrize("flags", [["--tasks", "0"], ["--tasks", "33"], ["--fps", "0"]])
def test_a_film_of_nothing_is_refused(flags: list[str], run: pathlib.Path) -> None:
    with pytest.raises(SystemExit) as refusal:
        video_command([str(run), *flags])
    assert refusal.value.code == 2


@pytest.mark.parametrize(
    ("flags", "fragments"),
    [
        (["--split", "faster"], ["goal_grid", "split", "'faster'", "none"]),
        (["--step", "7"], ["checkpoint 7", f"[{LAST}, {FIRST}]"]),
    ],
)
def test_what_a_run_does_not_have_is_refused_and_nothing_is_written(
    flags: list[str], fragments: list[str], run: pathlib.Path
) -> None:
    before = contents(run)
    with pytest.raises(ConfigurationError) as refusal:
        evaluate_command([str(run), *flags])
    assert_well_put(str(refusal.value))
    for fragment in fragments:
        assert fragment in str(refusal.value)
    assert contents(run) == before


@pytest.mark.parametrize("flag", ["tasks", "episodes"])
def test_a_count_below_one_is_refused(
    flag: str, run: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(run)
    with pytest.raises(SystemExit) as refusal:
        evaluate_command([str(run), f"--{flag}", "0"])
    assert refusal.value.code == 2
    assert f"{flag} must be at least 1, got 0" in " ".join(capsys.readouterr().err.split())
    assert contents(run) == before
