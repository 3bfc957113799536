"""The Bernoulli bandit: its law, and its references against a dynamic programme written here."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs.bandit import BanditState, BanditTask, bandit
from metarl_jax.types import ConfigurationError


def optimal_total(num_arms: int, num_pulls: int) -> float:
    """Bayes-optimal total reward, by recursion over the arms' (successes, failures)."""

    @cache
    def value(arms: tuple[tuple[int, int], ...], pulls: int) -> float:
        if pulls == 0:
            return 0.0
        best = 0.0
        for index, (successes, failures) in enumerate(arms):
            others = arms[:index] + arms[index + 1 :]
            mean = (successes + 1) / (successes + failures + 2)
            win = value(tuple(sorted((*others, (successes + 1, failures)))), pulls - 1)
            loss = value(tuple(sorted((*others, (successes, failures + 1)))), pulls - 1)
            best = max(best, mean * (1 + win) + (1 - mean) * loss)
        return best

    return value(((0, 0),) * num_arms, num_pulls)


@pytest.mark.parametrize(
    ("num_arms", "num_pulls"),
    [(2, 1), (7, 1), (2, 2), (4, 2), (2, 3), (2, 5), (5, 5), (6, 5), (2, 10), (3, 10), (2, 20)],
)
def test_optimal_totals_are_those_of_the_dynamic_programme(num_arms: int, num_pulls: int) -> None:
    reference = bandit(num_arms=num_arms, num_pulls=num_pulls).references().optimal_total
    assert reference == pytest.approx(optimal_total(num_arms, num_pulls), abs=1e-9)


def test_more_arms_than_pulls_are_worth_no_more() -> None:
    totals = {
        num_arms: bandit(num_arms=num_arms, num_pulls=10).references().optimal_total
        for num_arms in (5, 10, 50)
    }
    assert totals[5] < totals[10] == totals[50]


def test_an_optimum_of_too_many_beliefs_is_left_out() -> None:
    assert bandit(num_arms=5, num_pulls=100).references().optimal_total is None


@pytest.mark.parametrize(("num_arms", "num_pulls"), [(2, 1), (2, 50), (3, 10), (50, 10)])
def test_optimum_lies_between_forgetting_and_being_told(num_arms: int, num_pulls: int) -> None:
    references = bandit(num_arms=num_arms, num_pulls=num_pulls).references()
    assert references.memoryless_total is not None
    assert references.optimal_total is not None
    assert references.oracle_total is not None
    assert references.memoryless_total <= references.optimal_total <= references.oracle_total


def test_arms_pay_as_often_as_their_probabilities_say() -> None:
    tasks = bandit(num_arms=4)
    probabilities = jnp.array([0.0, 0.2, 0.75, 1.0], jnp.float32)
    num_pulls = 20_000
    keys = jax.random.split(jax.random.key(0), num_pulls)

    def pull(key: jax.Array, action: jax.Array) -> jax.Array:
        return tasks.environment.step_env(key, BanditState(), action, BanditTask(probabilities))[2]

    pull_each_arm = jax.vmap(jax.vmap(pull, (None, 0)), (0, None))
    rewards = np.asarray(jax.jit(pull_each_arm)(keys, jnp.arange(4)))
    assert set(np.unique(rewards)) == {0.0, 1.0}
    means = rewards.mean(axis=0)
    assert means[0] == 0.0
    assert means[3] == 1.0
    standard_errors = np.sqrt([0.2 * 0.8 / num_pulls, 0.75 * 0.25 / num_pulls])
    assert np.all(np.abs(means[1:3] - [0.2, 0.75]) < 4 * standard_errors)


def test_probabilities_are_independent_uniforms() -> None:
    num_tasks = 20_000
    keys = jax.random.split(jax.random.key(1), num_tasks)
    tasks = bandit(num_arms=5)
    probabilities = np.asarray(jax.jit(jax.vmap(tasks.sample))(keys).probabilities)
    quantiles = np.linspace(0.05, 0.95, 19)
    below = (probabilities[:, :, None] < quantiles).mean(axis=0)  # [arms, quantiles]
    assert np.abs(below - quantiles).max() < 4 * 0.5 / np.sqrt(num_tasks)
    correlations = np.corrcoef(probabilities.T) - np.eye(5)
    assert np.abs(correlations).max() < 4.5 / np.sqrt(num_tasks)
    best_arm = probabilities.max(axis=1)
    known_mean = (tasks.references().oracle_total or 0.0) / tasks.num_episodes
    assert abs(best_arm.mean() - known_mean) < 4 * best_arm.std() / np.sqrt(num_tasks)


def test_a_random_policy_earns_half_a_pull() -> None:
    tasks = bandit(num_arms=5, num_pulls=10)
    num_tasks = 5_000

    def total(key: jax.Array) -> jax.Array:
        task_key, reset_key, steps_key = jax.random.split(key, 3)
        task = tasks.sample(task_key)

        def pull(state: BanditState, time: jax.Array) -> tuple[BanditState, jax.Array]:
            action_key, step_key = jax.random.split(jax.random.fold_in(steps_key, time))
            action = jax.random.randint(action_key, (), 0, 5)
            _, state, reward, terminated, _ = tasks.environment.step_env(
                step_key, state, action, task
            )
            return state, jnp.where(terminated, jnp.nan, reward)

        _, state = tasks.environment.reset_env(reset_key, task)
        return jax.lax.scan(pull, state, jnp.arange(tasks.num_episodes))[1].sum()

    totals = np.asarray(jax.jit(jax.vmap(total))(jax.random.split(jax.random.key(2), num_tasks)))
    standard_error = totals.std() / np.sqrt(num_tasks)
    assert abs(totals.mean() - (tasks.references().memoryless_total or 0.0)) < 4 * standard_error


def test_the_observation_tells_nothing() -> None:
    tasks = bandit(num_arms=3)
    observation, state = tasks.environment.reset_env(
        jax.random.key(0), tasks.sample(jax.random.key(1))
    )
    assert observation.shape == (1,)
    for arm in range(3):
        observation, _, _, terminated, info = tasks.environment.step_env(
            jax.random.key(arm), state, jnp.int32(arm), tasks.sample(jax.random.key(1))
        )
        assert observation.tolist() == [0.0]
        assert not terminated
        assert info == {}
    assert jax.tree.leaves(state) == []


def test_a_pull_is_an_episode() -> None:
    tasks = bandit(num_arms=3, num_pulls=7)
    assert (tasks.episode_length, tasks.num_episodes, tasks.ends_early) == (1, 7, False)


def test_the_contextual_policy_is_told_the_probabilities() -> None:
    tasks = bandit(num_arms=3)
    task = tasks.sample(jax.random.key(0))
    np.testing.assert_array_equal(tasks.describe(task), task.probabilities)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_arms": 1}, r"num_arms must be a whole number of at least 2, got 1; choose"),
        ({"num_arms": 2.0}, r"num_arms .* got 2\.0"),
        ({"num_pulls": 0}, r"num_pulls must be a whole number of at least 1, got 0"),
        ({"num_pulls": -3}, r"num_pulls .* got -3"),
        ({"num_pulls": True}, r"num_pulls .* got True"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        bandit(**arguments)


def test_the_scene_tells_what_each_arm_is_worth() -> None:
    scene = bandit(num_arms=3).scene
    assert scene is not None
    drawn = scene(BanditTask(jnp.array([0.25, 0.75, 0.5], jnp.float32)), BanditState())
    assert [(choice.name, choice.worth) for choice in drawn.choices] == [
        ("arm 1", 0.25),
        ("arm 2", 0.75),
        ("arm 3", 0.5),
    ]
    assert drawn.task == "arm 2 of 3 is the best and pays 75% of its pulls"
    assert not drawn.is_still  # what was pulled is no state: only a replay can show it
