"""Evaluation: returns per episode, the same however they are cut into chunks."""

import dataclasses
import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.evaluation.evaluate import evaluate, make_task_evaluator, meta_test_tasks
from metarl_jax.evaluation.evaluation import Evaluation, task_set_hash
from metarl_jax.evaluation.statistics import confidence_half_width
from metarl_jax.policy.policy import Policy
from metarl_jax.types import ConfigurationError
from support.comparisons import assert_same
from support.probes import CounterTask, counter, doors, scripted_policy, small_policy, tiny_bandit
from support.random_inputs import random_params

evaluate_module = importlib.import_module("metarl_jax.evaluation.evaluate")  # not the function

KEY_SEED = 7


def key() -> jax.Array:
    return jax.random.key(KEY_SEED)


def test_returns_per_episode_are_those_of_the_script() -> None:
    """Action 1 ends an episode. Task i pays i + s/8 at an episode's step s."""
    tasks = counter(ends_early=True, num_episodes=2)
    script = np.zeros((8, 6), np.int32)
    script[5] = [0, 1, 1, 0, 0, 0]  # episodes of two steps and of one
    result = make_task_evaluator(tasks, scripted_policy(script))((), tasks.all_tasks(), key())
    expected = np.array([[3 * i + 6 / 8] * 2 for i in range(8)])
    expected[5] = [2 * 5 + 3 / 8, 5 + 1 / 8]
    np.testing.assert_array_equal(result.episode_returns, expected.astype(np.float32))
    assert result.num_tasks == 8


class Counting:
    """A policy that counts how often it is traced."""

    def __init__(self, policy: Policy) -> None:
        self.traces = 0
        self.policy = policy._replace(step=self._step)
        self._inner = policy.step

    def _step(self, *arguments: Any) -> Any:
        self.traces += 1
        return self._inner(*arguments)


def test_chunks_change_neither_results_nor_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where they do not divide the tasks; whatever the number of tasks and calls."""
    tasks = tiny_bandit(num_pulls=6)
    counting = Counting(small_policy(tasks))
    params = random_params(counting.policy)
    meta_test = meta_test_tasks(tasks, jax.random.key(0), 8)
    whole = make_task_evaluator(tasks, counting.policy)(params, meta_test, key())
    monkeypatch.setattr(evaluate_module, "CHUNK", 3)
    evaluator = make_task_evaluator(tasks, counting.policy)
    cut = evaluator(params, meta_test, key())
    np.testing.assert_array_equal(cut.episode_returns, whole.episode_returns)
    assert cut.task_set_hash == whole.task_set_hash
    assert len(np.unique(whole.episode_returns.sum(1))) > 2
    traces = counting.traces
    for num_tasks in (3, 7):
        fewer = jax.tree.map(lambda x, n=num_tasks: x[:n], meta_test)
        part = evaluator(params, fewer, key())
        np.testing.assert_array_equal(part.episode_returns, whole.episode_returns[:num_tasks])
    assert counting.traces == traces, "another number of tasks compiled another program"


def test_greedy_takes_the_most_probable_action_and_needs_no_luck() -> None:
    tasks = doors(num_episodes=6)
    policy = small_policy(tasks)
    params = random_params(policy)
    meta_test = meta_test_tasks(tasks, jax.random.key(0), 64)
    greedy = make_task_evaluator(tasks, policy, greedy=True)
    sampled = make_task_evaluator(tasks, policy)
    first, second = (greedy(params, meta_test, jax.random.key(seed)) for seed in (1, 2))
    np.testing.assert_array_equal(first.episode_returns, second.episode_returns)
    assert np.ptp(first.episode_returns[0::2], axis=0).max() == 0  # two tasks, in turn
    first, second = (sampled(params, meta_test, jax.random.key(seed)) for seed in (1, 2))
    assert np.any(first.episode_returns != second.episode_returns)
    assert np.ptp(first.episode_returns[0::2], axis=0).max() > 0


def test_more_episodes_than_in_training() -> None:
    tasks = counter(num_episodes=2)
    policy = scripted_policy(np.zeros((8, 1)))
    result = make_task_evaluator(tasks, policy, num_episodes=5)((), tasks.all_tasks(), key())
    assert result.episode_returns.shape == (8, 5)
    np.testing.assert_array_equal(result.episode_returns[:, 4], result.episode_returns[:, 0])


# The tasks.


def test_a_finite_family_is_evaluated_on_all_its_tasks_equally_often() -> None:
    meta_test = meta_test_tasks(counter(), jax.random.key(0), 17)
    values, counts = np.unique(meta_test.identity, return_counts=True)
    np.testing.assert_array_equal(values, np.arange(8))
    assert counts.tolist() == [3] * 8


def test_tasks_are_independent_draws_by_their_index_alone() -> None:
    tasks = tiny_bandit()
    few, many = (meta_test_tasks(tasks, jax.random.key(0), n).probability for n in (4, 64))
    np.testing.assert_array_equal(many[:4], few)
    assert len(np.unique(many)) == 128
    other = meta_test_tasks(tasks, jax.random.key(1), 4).probability
    assert np.all(other != few)


def test_splits_are_drawn_by_name_and_unknown_ones_refused() -> None:
    shifted = lambda key: CounterTask(jax.random.uniform(key, (), minval=100, maxval=101))
    tasks = dataclasses.replace(counter(), splits={"far": shifted})
    drawn = np.asarray(meta_test_tasks(tasks, jax.random.key(0), 5, "far").identity)
    assert drawn.shape == (5,) and np.all(drawn >= 100)
    with pytest.raises(ConfigurationError, match=r"has \(far\), got 'near'"):
        meta_test_tasks(tasks, jax.random.key(0), 5, "near")
    with pytest.raises(ConfigurationError, match=r"has \(none\), got 'far'"):
        meta_test_tasks(counter(), jax.random.key(0), 5, "far")


@pytest.mark.parametrize("num_tasks", [0, -1])
def test_no_tasks_are_refused(num_tasks: int) -> None:
    with pytest.raises(ConfigurationError, match=f"at least 1, got {num_tasks}"):
        meta_test_tasks(tiny_bandit(), jax.random.key(0), num_tasks)


def test_the_hash_is_of_every_leaf_its_dtype_and_its_shape() -> None:
    tasks = meta_test_tasks(tiny_bandit(), jax.random.key(0), 4)
    before = task_set_hash(tasks)
    assert len(before) == 64 and before == task_set_hash(jax.tree.map(np.asarray, tasks))
    seen = {before}
    for name in ("low", "high", "probability"):
        leaf = np.array(getattr(tasks, name))
        leaf[3, 1] = np.nextafter(leaf[3, 1], 2, dtype=np.float32)
        seen.add(task_set_hash(tasks.replace(**{name: leaf})))
    seen.add(task_set_hash(tasks.replace(low=np.zeros((4, 2), np.int32))))
    seen.add(task_set_hash(tasks.replace(low=np.zeros((2, 4), np.float32))))
    seen.add(task_set_hash(jax.tree.map(lambda x: x[::-1], tasks)))
    assert len(seen) == 7


# The figures.


def test_means_and_intervals() -> None:
    returns = np.random.default_rng(0).normal(2.0, 3.0, (50, 4)).astype(np.float32)
    result = Evaluation(returns, "")
    exact = returns.astype(np.float64)
    np.testing.assert_allclose(result.episode_return_mean, exact.mean(0), rtol=1e-12)
    half = 1.96 * exact.std(0, ddof=1) / 50**0.5
    np.testing.assert_allclose(result.episode_return_ci95, half, rtol=1e-12)
    np.testing.assert_allclose(result.total_return_mean, exact.sum(1).mean(), rtol=1e-6)
    total = 1.96 * exact.sum(1).std(ddof=1) / 50**0.5
    np.testing.assert_allclose(result.total_return_ci95, total, rtol=1e-6)


def test_one_task_has_no_interval() -> None:
    assert np.isnan(confidence_half_width(np.ones((1, 3)))).tolist() == [True] * 3


def test_evaluate_draws_tasks_and_actions_from_its_key() -> None:
    tasks = tiny_bandit(num_pulls=6)
    policy = small_policy(tasks)
    params = random_params(policy)
    first, again, other = (
        evaluate(tasks, policy, params, jax.random.key(seed), 32) for seed in (0, 0, 1)
    )
    assert_same(jnp.asarray(again.episode_returns), jnp.asarray(first.episode_returns))
    assert again.task_set_hash == first.task_set_hash != other.task_set_hash
