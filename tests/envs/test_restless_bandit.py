"""Restless arms: exact values against looking at everything, changes and payments by counting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs.references.passive import hidden_chain_worth
from metarl_envs.restless_bandit import RestlessState, RestlessTask, restless_bandit
from metarl_jax import task_keys
from metarl_jax.types import ConfigurationError
from support.classical_play import earned, played
from support.expectimax import arms, best_return

BETTER, LOW, HIGH = 0.8, 0.02, 0.2


def hidden() -> tuple[np.ndarray, np.ndarray]:
    """Moves of (volatility, better arm), and how often each arm pays, state by state."""
    moves = np.zeros((4, 4))
    for i, volatility in enumerate((LOW, HIGH)):
        for before in (0, 1):
            for after in (0, 1):
                stays = before == after
                moves[2 * i + before, 2 * i + after] = 1 - volatility if stays else volatility
    pays = np.array([[BETTER, 1 - BETTER], [1 - BETTER, BETTER]] * 2)
    return moves, pays


@pytest.mark.parametrize("num_pulls", [1, 2, 6])
def test_the_optimum_is_that_of_every_policy(num_pulls):
    moves, pays = hidden()
    tried = best_return(np.full(4, 0.25), arms(pays), moves, num_pulls)
    exact = restless_bandit(num_pulls=num_pulls).references().optimal_total
    assert tried - 1e-4 < exact < tried + 1e-9


@pytest.mark.parametrize("num_pulls", [1, 6])
def test_the_task_told_is_how_it_begins(num_pulls):
    moves, pays = hidden()
    tried = np.mean([best_return(row, arms(pays), moves, num_pulls) for row in np.eye(4)])
    assert restless_bandit(num_pulls=num_pulls).references().oracle_total == pytest.approx(tried)


def test_finer_cells_raise_the_worth_and_by_less_each_time():
    moves, pays = hidden()
    totals = [
        hidden_chain_worth(np.full(4, 0.25), moves, pays, pays, 30, resolution).sum()
        for resolution in (10, 40, 160)
    ]
    assert 0 < totals[2] - totals[1] < (totals[1] - totals[0]) / 4


def test_the_best_player_earns_the_optimum():
    tasks = restless_bandit(num_pulls=25)
    mean, error = earned(tasks, "bayes-optimal", 8_000)
    references = tasks.references()
    assert abs(mean - references.optimal_total) < 4 * error
    assert mean < references.oracle_total
    # Who takes the arms to stay as they are earns less, and more than by chance.
    stubborn, error = earned(tasks, "greedy", 8_000)
    assert 12.5 + 4 * error < stubborn < mean - 4 * error


def test_the_best_players_belief_is_bayes_rule():
    moves, pays = hidden()
    rollout = played(restless_bandit(num_pulls=20), "bayes-optimal", 16)
    for actions, rewards in zip(rollout.action.T, rollout.outcome.reward.T, strict=True):
        joint = np.full(4, 0.25)
        for action, reward in zip(actions, rewards, strict=True):
            worth = joint @ pays
            assert worth[action] > worth.max() - 1e-6
            joint = (joint * (pays[:, action] if reward else 1 - pays[:, action])) @ moves


def test_arms_pay_and_change_places_as_often_as_they_should():
    num_steps = 20_000
    environment = restless_bandit().environment
    task = RestlessTask(jnp.float32(0.2), jnp.int32(0))
    for action, chance in ((0, 0.2), (1, 0.8)):
        keys = task_keys(jax.random.key(action), num_steps)
        step = jax.vmap(
            lambda key, action=action: environment.step_env(
                key, RestlessState(jnp.int32(1)), jnp.int32(action), task
            )
        )
        observation, state, reward, terminated, _ = jax.jit(step)(keys)
        assert not np.any(observation) and not np.any(terminated)
        error = np.sqrt(0.16 / num_steps)
        assert abs(np.mean(reward) - chance) < 4 * error
        assert abs(np.mean(state.better) - 0.8) < 4 * error
        # That they change does not depend on whether it paid.
        assert abs(np.corrcoef(reward, state.better)[0, 1]) < 4 / np.sqrt(num_steps)


def test_half_of_the_tasks_are_volatile_and_splits_are_of_one_kind():
    tasks = restless_bandit()
    for sample, low, high in (
        (tasks.sample, 0.5, 0.5),
        (tasks.splits["low"], 1.0, 0.0),
        (tasks.splits["high"], 0.0, 1.0),
    ):
        drawn = jax.jit(jax.vmap(sample))(task_keys(jax.random.key(1), 2_000))
        volatility = np.asarray(drawn.volatility)
        assert abs(np.mean(volatility == np.float32(LOW)) - low) < 4 * 0.5 / np.sqrt(2_000)
        assert abs(np.mean(volatility == np.float32(HIGH)) - high) < 4 * 0.5 / np.sqrt(2_000)
        assert abs(np.mean(drawn.better) - 0.5) < 4 * 0.5 / np.sqrt(2_000)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"better_chance": 0.4}, r"better_chance must be a number from 0\.5 to 1\.0, got 0\.4"),
        ({"high_volatility": 0.6}, r"high_volatility must be a number from 0\.0 to 0\.5"),
        ({"low_volatility": 0.2}, r"low_volatility must be less than high_volatility, got 0\.2"),
        ({"num_pulls": 0}, r"num_pulls must be a whole number of at least 1"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        restless_bandit(**arguments)
