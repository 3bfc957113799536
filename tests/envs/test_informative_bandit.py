"""Eleven arms of which one informs: every payment, and the optimum by a search over beliefs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs.bandit import BanditState
from metarl_envs.informative_bandit import InformativeTask, informative_bandit
from metarl_jax.types import ConfigurationError
from support.classical_play import earned


def test_every_arm_pays_what_the_paper_says():
    step = informative_bandit().environment.step_env
    for target in range(10):
        task = InformativeTask(jnp.int32(target))
        paid = [
            float(step(jax.random.key(0), BanditState(), jnp.int32(arm), task)[2])
            for arm in range(11)
        ]
        expected = [1.0] * 10 + [(target + 1) / 10]
        expected[target] = 5.0
        assert paid == pytest.approx(expected)


@functools.cache
def best_return(targets: tuple[int, ...], pulls: int) -> float:
    """By trying every arm, where the target is one of these, all as probable."""
    if pulls == 0:
        return 0.0
    worth = []
    for arm in range(11):
        outcomes: dict[float, list[int]] = {}
        for target in targets:
            paid = (target + 1) / 10 if arm == 10 else 5.0 if arm == target else 1.0
            outcomes.setdefault(paid, []).append(target)
        shares = {paid: len(left) / len(targets) for paid, left in outcomes.items()}
        worth.append(
            sum(
                shares[paid] * (paid + best_return(tuple(left), pulls - 1))
                for paid, left in outcomes.items()
            )
        )
    return max(worth)


@pytest.mark.parametrize("num_pulls", [1, 2, 5])
def test_the_optimum_is_that_of_every_policy(num_pulls):
    references = informative_bandit(num_pulls=num_pulls).references()
    assert references.optimal_total == pytest.approx(best_return(tuple(range(10)), num_pulls))
    assert sum(references.optimal_episodes) == pytest.approx(references.optimal_total)
    assert references.memoryless_total == pytest.approx(num_pulls * 1.4)
    assert references.oracle_total == 5 * num_pulls


# One arm after the other: with the target in place i = 1 … 5, i - 1 ones and 6 - i fives; else 5.
SEARCH = sum(i - 1 + 5 * (6 - i) for i in range(1, 6)) / 10 + 0.5 * 5


@pytest.mark.parametrize(
    ("agent", "num_pulls", "expected"),
    [("bayes-optimal", 5, 20.55), ("bayes-optimal", 1, 1.4), ("search", 5, SEARCH)],
)
def test_agents_earn_what_they_must(agent, num_pulls, expected):
    mean, _ = earned(informative_bandit(num_pulls=num_pulls), agent, 10)  # all ten tasks, once
    assert mean == pytest.approx(expected)


def test_the_context_is_the_target():
    tasks = informative_bandit()
    described = jax.vmap(tasks.describe)(tasks.all_tasks())
    np.testing.assert_array_equal(described, np.eye(10))


def test_bad_arguments_are_refused():
    with pytest.raises(ConfigurationError, match=r"num_pulls must be .* at least 1, got 0"):
        informative_bandit(num_pulls=0)
