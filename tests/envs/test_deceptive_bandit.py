"""The deceptive bandit: its moments, the best of several normals, beliefs against plain sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from metarl_envs.agents.gaussian import Prior, Sums, posterior
from metarl_envs.bandit import BanditState
from metarl_envs.deceptive_bandit import DeceptiveTask, deceptive_bandit
from metarl_jax import task_keys
from metarl_jax.types import ConfigurationError
from support.classical_play import earned, played

TASKS = deceptive_bandit()


def test_the_first_arm_is_fixed_and_the_others_are_normal():
    drawn = jax.jit(jax.vmap(TASKS.sample))(task_keys(jax.random.key(0), 20_000))
    means = np.asarray(drawn.means)
    assert np.all(means[:, 0] == 0.5)
    assert np.abs(means[:, 1:].mean(axis=0)).max() < 4.5 / np.sqrt(20_000)
    assert np.abs(means[:, 1:].std(axis=0) - 1).max() < 4.5 / np.sqrt(2 * 20_000)
    assert np.abs(np.corrcoef(means[:, 1:].T) - np.eye(9)).max() < 4.5 / np.sqrt(20_000)
    best = means.max(axis=1)
    known = TASKS.references().oracle_total / 100
    assert abs(best.mean() - known) < 4 * best.std() / np.sqrt(20_000)


def test_the_best_of_two_arms_in_closed_form():
    # E max(c, X) = c Φ(c) + φ(c), of a standard normal X.
    expected = 0.5 * norm.cdf(0.5) + norm.pdf(0.5)
    references = deceptive_bandit(num_arms=2, num_pulls=1).references()
    assert references.oracle_total == pytest.approx(expected)
    assert references.memoryless_total == 0.5


def test_a_pull_pays_its_mean_with_a_variance_of_a_half():
    task = DeceptiveTask(jnp.array([0.5, -2.0, 3.0]))
    step = jax.vmap(lambda key, arm: TASKS.environment.step_env(key, BanditState(), arm, task)[2])
    arms = jnp.repeat(jnp.arange(3), 10_000)
    paid = np.asarray(jax.jit(step)(task_keys(jax.random.key(1), 30_000), arms)).reshape(3, -1)
    assert np.abs(paid.mean(axis=1) - [0.5, -2.0, 3.0]).max() < 4 * np.sqrt(0.5 / 10_000)
    assert np.abs(paid.var(axis=1) / 0.5 - 1).max() < 4 * np.sqrt(2 / 10_000)


def test_the_posterior_is_that_of_a_grid():
    mean, variance, noise, paid = 0.3, 2.0, 0.5, np.array([1.2, -0.4, 0.9])
    grid = np.linspace(-12, 12, 20_001)
    weights = norm.pdf(grid, mean, variance**0.5)
    for reward in paid:
        weights = weights * norm.pdf(reward, grid, noise**0.5)
    weights /= weights.sum()
    expected = weights @ grid
    deviation = np.sqrt(weights @ (grid - expected) ** 2)
    prior = Prior(jnp.array([0.5, mean]), jnp.array([0.0, variance]), noise)
    sums = Sums(jnp.array([4.0, 3.0]), jnp.array([9.0, paid.sum()]))
    means, deviations = posterior(prior, sums)
    np.testing.assert_allclose(means, [0.5, expected], rtol=1e-5)  # known is known
    np.testing.assert_allclose(deviations, [0.0, deviation], rtol=1e-5)


@pytest.mark.parametrize("name", ["greedy", "bayes-ucb"])
def test_the_arm_with_the_highest_score_is_pulled(name):
    rollout = played(deceptive_bandit(num_arms=4, num_pulls=30), name, 16)
    variances = np.array([0.0, 1.0, 1.0, 1.0])
    for arms, rewards in zip(rollout.action.T, rollout.outcome.reward.T, strict=True):
        pulls, sums = np.zeros(4), np.zeros(4)
        for time, (arm, reward) in enumerate(zip(arms, rewards, strict=True)):
            weight = 0.5 + pulls * variances
            scores = (np.array([0.25, 0, 0, 0]) + variances * sums) / weight
            if name == "bayes-ucb":
                width = np.sqrt(variances * 0.5 / weight)
                scores = scores + width * norm.ppf(1 - 1 / (2 + time))
            assert scores[arm] > scores.max() - 1e-4
            pulls[arm] += 1
            sums[arm] += reward


def test_greedy_stays_with_the_first_arm_and_those_who_look_earn_more():
    tasks = deceptive_bandit(num_pulls=30)
    assert not played(tasks, "greedy", 16).action.any()  # an arm that is known never disappoints
    mean, error = earned(tasks, "thompson", 1_000)
    assert 20.0 + 4 * error < mean < tasks.references().oracle_total


def test_a_sample_is_as_often_the_best_as_the_posterior_says():
    """A known arm of 0.5 is above a standard normal with the probability Φ(0.5)."""
    tasks = deceptive_bandit(num_arms=2, num_pulls=1)
    first = played(tasks, "thompson", 10_000).action[0] == 0
    assert abs(first.mean() - norm.cdf(0.5)) < 4 * 0.5 / np.sqrt(10_000)


@pytest.mark.parametrize("arguments", [{"num_arms": 1}, {"num_pulls": 0}])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ConfigurationError, match=r"must be a whole number of at least"):
        deceptive_bandit(**arguments)
