"""The README's code is run as it stands."""

import pathlib
import re
import sys
import types

import jax
import numpy as np
import pytest

README = pathlib.Path(__file__).parents[1] / "README.md"


def run_block(heading: str) -> dict:
    section = README.read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    module = types.ModuleType("readme")
    sys.modules["readme"] = module  # dataclasses look their module up
    code = compile(block, f"README.md, {heading}", "exec")
    exec(code, vars(module))
    return vars(module)


def test_python_api_learns_the_bandit(capsys: pytest.CaptureFixture[str]) -> None:
    names = run_block("In Python")
    assert names["result"].num_tasks == 2_000
    # Random play earns 5.00 of 6.66; a few seconds of learning must show.
    assert names["result"].total_return_mean > 5.5
    assert "of 6.659" in capsys.readouterr().out


def test_custom_loss_is_trained_and_logged() -> None:
    algorithm = run_block("A loss of your own")["algorithm"]
    _, metrics = jax.jit(algorithm.update)(algorithm.init(jax.random.key(0)))
    assert {"policy_gradient", "value_error", "entropy", "quiet_memory"} <= metrics.keys()
    assert float(metrics["quiet_memory"]) > 0


def test_custom_family_conforms_and_is_played() -> None:
    from metarl_jax import check_task_distribution, evaluate, gru, recurrent_policy

    tasks = run_block("A task family of your own")["corridor"](length=1)
    check_task_distribution(tasks)
    policy = recurrent_policy(tasks, gru(4))
    result = evaluate(tasks, policy, policy.init(jax.random.key(0)), jax.random.key(1), 500)
    # Of length 1, three steps: a random walk is there at step 1 with ½, at step 3 with ½ · ¼.
    np.testing.assert_allclose(result.episode_return_mean, 0.625, atol=0.08)
