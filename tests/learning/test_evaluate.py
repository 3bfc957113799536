"""The evaluator behind every table: known tasks as a control, no mean above what is possible."""

import dataclasses

import jax
import numpy as np
import pytest

from metarl_envs.bandit import bandit
from metarl_jax.evaluation.evaluate import (
    evaluate,
    make_evaluator,
    make_task_evaluator,
    meta_test_tasks,
)
from metarl_jax.evaluation.scores import with_control_variate
from metarl_jax.memory import gru
from metarl_jax.policy.policy import adaptive_policy, contextual_policy
from metarl_jax.tasks.distribution import References
from metarl_jax.types import ConfigurationError

TASKS = bandit(num_arms=3, num_pulls=6)
THOMPSON = TASKS.references().agents["thompson"]()
UNTRAINED = adaptive_policy(TASKS, gru(4))


def key(seed: int = 0) -> jax.Array:
    return jax.random.key(seed)


def test_known_tasks_are_a_control_of_what_is_evaluated_once() -> None:
    result = evaluate(TASKS, THOMPSON, (), key(), 200)
    tasks_key, actors_key = jax.random.split(key())
    meta_test = meta_test_tasks(TASKS, tasks_key, 200)
    plain = make_task_evaluator(TASKS, THOMPSON)((), meta_test, actors_key)
    expected = with_control_variate(plain, TASKS.references(), meta_test)
    np.testing.assert_array_equal(result.episode_returns, plain.episode_returns)
    assert result.total_return_mean == expected.total_return_mean != plain.total_return_mean
    assert result.task_set_hash == plain.task_set_hash


def test_of_other_episodes_splits_and_histories_no_known_task_is_a_control() -> None:
    assert evaluate(TASKS, THOMPSON, (), key(), 200).control is not None
    assert evaluate(TASKS, THOMPSON, (), key(), 200, num_episodes=7).control is None
    params = UNTRAINED.init(key())
    assert evaluate(TASKS, UNTRAINED, params, key(), 200, ablation="history").control is None
    split = dataclasses.replace(TASKS, splits={"more": TASKS.sample})
    assert evaluate(split, THOMPSON, (), key(), 200, split="more").control is None


def test_every_policy_meets_the_same_tasks_and_its_own_luck() -> None:
    gittins = TASKS.references().agents["gittins"]()
    first, second = (make_evaluator(TASKS, p, key(), 64) for p in (THOMPSON, gittins))
    one, again, other = (first((), key(seed)) for seed in (1, 1, 2))
    assert one.task_set_hash == other.task_set_hash
    assert one.task_set_hash == second(gittins.init(key()), key(1)).task_set_hash
    np.testing.assert_array_equal(one.episode_returns, again.episode_returns)
    assert np.any(one.episode_returns != other.episode_returns)


def test_a_mean_above_what_is_possible_is_refused_where_that_is_known() -> None:
    little = References(optimal_total=2.0, oracle_total=100.0, memoryless_total=1.0)
    tasks = dataclasses.replace(TASKS, references=lambda: little)
    params = UNTRAINED.init(key())
    with pytest.raises(ConfigurationError, match=r"leaks.* at most 2\.0000"):
        evaluate(tasks, UNTRAINED, params, key(), 200)
    with pytest.raises(ConfigurationError, match=r"leaks.* at most 1\.0000"):
        evaluate(tasks, UNTRAINED, params, key(), 200, ablation="memory")
    assert evaluate(tasks, UNTRAINED, params, key(), 200, num_episodes=7).num_tasks == 200
    told = contextual_policy(tasks, gru(4))
    assert evaluate(tasks, told, told.init(key()), key(), 200).num_tasks == 200
