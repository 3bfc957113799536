"""The README's code is run as it stands."""

import pathlib
import re
import sys
import types

import jax
import numpy as np
import pytest

from support.command_line import SMALL, metarl

README = pathlib.Path(__file__).parents[2] / "README.md"
RESULTS_PAGE = README.parent / "docs" / "results.md"


def block_of(heading: str, count: int = 1) -> str:
    section = README.read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    blocks = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert len(blocks) == count
    return "\n".join(blocks)


def run_block(heading: str, count: int = 1) -> dict:
    block = block_of(heading, count)
    module = types.ModuleType("readme")
    sys.modules["readme"] = module  # dataclasses look their module up
    code = compile(block, f"README.md, {heading}", "exec")
    exec(code, vars(module))
    return vars(module)


def test_python_api_learns_the_bandit(capsys: pytest.CaptureFixture[str]) -> None:
    names = run_block("In Python", count=2)
    # Random play earns 5.00 of 6.66; a few seconds of learning must show.
    assert names["result"].evaluation.total_return_mean > 5.5
    assert int(names["state"].update) == 1
    assert "of 6.659" in capsys.readouterr().out


def test_classical_agents_are_read_beside_the_optimum() -> None:
    returns = run_block("What is best")["returns"]
    assert returns["Bayes-optimal"] == pytest.approx(6.6599878748)
    assert abs(returns["gittins"] - returns["Bayes-optimal"]) < 4 * 2.26 / 2_000**0.5
    assert returns["thompson"] < returns["ucb"]


def test_many_agents_are_trained_together() -> None:
    assert run_block("Many agents at once")["metrics"]["return"].shape == (4,)


@pytest.mark.parametrize("name", ["leaky_average", "nnx_gru"])
def test_custom_memories_learn_from_what_they_read(name: str) -> None:
    from metarl_jax import UpdateConfig, a2c, adaptive_policy, hyperparameters

    names = run_block("Memories", count=2)
    policy = adaptive_policy(names["tasks"], names[name]())
    algorithm = a2c(names["tasks"], policy, hyperparameters(), UpdateConfig(num_tasks=8))
    before = algorithm.init(jax.random.key(0))
    after, metrics = jax.jit(algorithm.update)(before)
    assert np.isfinite(metrics["gradient_norm"])
    weights = lambda state: jax.tree.leaves(state.learner.params.weights["memory"])
    for old, new in zip(weights(before), weights(after), strict=True):
        assert np.all(np.isfinite(new)) and np.any(old != new)


def test_custom_loss_is_trained_and_logged() -> None:
    algorithm = run_block("A loss of your own")["algorithm"]
    _, metrics = jax.jit(algorithm.update)(algorithm.init(jax.random.key(0)))
    assert {"policy_gradient", "value_error", "entropy", "quiet_memory"} <= metrics.keys()
    assert float(metrics["quiet_memory"]) > 0


def test_custom_family_conforms_and_is_played() -> None:
    from metarl_jax import adaptive_policy, check_task_distribution, evaluate, gru

    tasks = run_block("A task family of your own")["corridor"]()
    check_task_distribution(tasks)
    policy = adaptive_policy(tasks, gru(4))
    result = evaluate(tasks, policy, policy.init(jax.random.key(0)), jax.random.key(1), 1000)
    np.testing.assert_allclose(result.episode_return_mean, first_passage(3, 9), atol=0.06)


def first_passage(distance: int, num_steps: int) -> float:
    """Probability that a fair walk on the line reaches `distance` within `num_steps`."""
    walk = {0: 1.0}
    reached = 0.0
    for _ in range(num_steps):
        following: dict[int, float] = {}
        for place, share in walk.items():
            for step in (-1, 1):
                following[place + step] = following.get(place + step, 0.0) + share / 2
        reached += following.pop(distance, 0.0)
        walk = following
    return reached


def test_custom_family_is_trained_from_the_command_line(tmp_path: pathlib.Path) -> None:
    announced = "\nprint('the file was run')\n"
    (tmp_path / "corridor.py").write_text(block_of("A task family of your own") + announced)
    options = [*SMALL, "--family.num-episodes", "5", "--out", "run"]
    result = metarl("train", "corridor.py:corridor", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "episode 5" in result.stdout
    assert result.stdout.count("the file was run") == 1


def test_the_tables_are_those_of_the_results_and_whole() -> None:
    """Every job has a row, and no row is without one."""
    from metarl_experiments.reproduce import rl2
    from metarl_experiments.reproduce.__main__ import JOBS, key_of
    from metarl_experiments.reproduce.classical import bandit_table, read_rows, tabular_table
    from metarl_experiments.reproduce.results import (
        markdown_table,
        measures_table,
        memories_table,
        read_results,
    )

    page = RESULTS_PAGE.read_text()
    results, jobs = read_results(), {key_of(job): job for job in JOBS}
    assert results.keys() == jobs.keys()
    for table in (markdown_table, measures_table, memories_table):
        assert table(results) in page
    for table in (bandit_table, tabular_table):
        assert table(read_rows()) in page
    assert rl2.rl2_table(rl2.read_rows()) in page
