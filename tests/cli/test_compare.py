"""`metarl compare`: the same tasks and luck for all, differences pair by pair."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from metarl_envs.bandit import bandit
from metarl_experiments.commands.compare import Contender, compare, compare_command
from metarl_experiments.commands.evaluation_record import META_TEST_SEED
from metarl_jax.evaluation.evaluate import make_task_evaluator, meta_test_tasks
from metarl_jax.types import ConfigurationError
from support.command_line import assert_well_put

TASKS = bandit(num_arms=5, num_pulls=10)


def agent(name: str) -> Contender:
    policy = TASKS.references().agents[name]()
    return Contender(name, policy, policy.init(jax.random.key(0)))


def test_differences_are_those_of_the_same_tasks() -> None:
    record = compare(TASKS, [agent("gittins"), agent("random"), agent("gittins")], 400)
    first, second, again = record.contenders
    tasks_key, actors_key = jax.random.split(jax.random.key(META_TEST_SEED))
    meta_test = meta_test_tasks(TASKS, tasks_key, 400)
    known = 10 * np.max(np.asarray(meta_test.probabilities, np.float64), axis=1) - 50 / 6
    totals = []
    for name in ("gittins", "random"):
        key = jax.random.fold_in(jax.random.clone(actors_key), 0)
        evaluation = make_task_evaluator(TASKS, agent(name).policy)(
            agent(name).params, meta_test, key
        )
        total = evaluation.episode_returns.sum(axis=1).astype(np.float64)
        slope = np.cov(total, known)[0, 1] / known.var(ddof=1)
        totals.append(total - slope * known)
    apart = totals[1] - totals[0]
    assert second.difference_mean == pytest.approx(apart.mean(), abs=1e-4)
    assert second.difference_ci95 == pytest.approx(1.96 * apart.std(ddof=1) / 20, rel=1e-3)
    assert second.difference_ci95 > 0
    assert again.difference_mean == again.difference_ci95 == 0.0
    assert abs(second.normalized_score) < 0.3 < 0.7 < first.normalized_score


def test_a_comparison_is_printed_and_written_and_never_over_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "compared"
    asked = ["thompson", "greedy", "--preset", "bandit_10_5", "--tasks", "64"]
    assert compare_command([*asked, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "differences to thompson" in printed
    assert [line.split()[0] for line in printed.splitlines()[2:]] == ["thompson", "greedy"]
    assert {path.name for path in out.iterdir()} == {"compare.json", "compare.png"}
    assert compare_command([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((out / "compare.json").read_text())
    with pytest.raises(ConfigurationError, match="not overwritten") as refusal:
        compare_command([*asked, "--out", str(out)])
    assert_well_put(str(refusal.value))


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["thompson"], "or --preset"),
        (["thomson", "--preset", "bandit_10_5"], "gittins"),
        (["greedy", "--preset", "cheetah_vel"], r"cheetah_vel offers \(none\)"),
    ],
)
def test_what_cannot_be_compared_is_refused(arguments: list[str], fragment: str) -> None:
    with pytest.raises(ConfigurationError, match=fragment) as refusal:
        compare_command(arguments)
    assert_well_put(str(refusal.value))
