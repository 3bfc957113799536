"""Harlow's task: a trial step by step, the optimum by its one look."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs.harlow import AHEAD, LEFT, RIGHT, HarlowState, HarlowTask, harlow
from metarl_jax import task_keys
from metarl_jax.types import ConfigurationError
from support.classical_play import earned, played

TASKS = harlow(object_size=2)
TASK = HarlowTask(jnp.array([0.5, -0.5]), jnp.array([0.1, 0.9]))
CROSS = [1.0, 0.0, 0.0, 0.0, 0.0]
ON_LEFT = [0.0, 0.5, -0.5, 0.1, 0.9]
ON_RIGHT = [0.0, 0.1, 0.9, 0.5, -0.5]


def stepped(shown: bool, side: int, action: int, num_steps: int = 1):
    state = HarlowState(jnp.asarray(shown), jnp.int32(side))
    step = jax.vmap(lambda key: TASKS.environment.step_env(key, state, jnp.int32(action), TASK))
    keys = task_keys(jax.random.key(0), num_steps)
    return jax.tree.map(np.asarray, jax.jit(step)(keys))


def test_a_trial_begins_with_the_cross():
    observation, state = TASKS.environment.reset_env(jax.random.key(0), TASK)
    assert observation.tolist() == CROSS
    assert not state.objects_shown


@pytest.mark.parametrize("action", [LEFT, RIGHT])
def test_looking_elsewhere_does_nothing(action):
    observation, state, reward, terminated, _ = stepped(False, LEFT, action)
    assert observation.tolist() == [CROSS]
    assert (reward.tolist(), terminated.tolist()) == ([0.0], [False])
    assert not state.objects_shown.any()


def test_the_cross_brings_the_objects_on_either_side():
    observation, state, reward, terminated, _ = stepped(False, LEFT, AHEAD, 4_000)
    assert np.all(reward == np.float32(0.2)) and not terminated.any() and state.objects_shown.all()
    right = state.paying_side == RIGHT
    assert abs(right.mean() - 0.5) < 4 * 0.5 / np.sqrt(4_000)
    np.testing.assert_allclose(observation[right], np.tile(ON_RIGHT, (right.sum(), 1)))
    np.testing.assert_allclose(observation[~right], np.tile(ON_LEFT, ((~right).sum(), 1)))


@pytest.mark.parametrize(
    ("side", "action", "expected", "ends"),
    [
        (LEFT, LEFT, 1.0, True),
        (LEFT, RIGHT, -1.0, True),
        (RIGHT, LEFT, -1.0, True),
        (RIGHT, RIGHT, 1.0, True),
        (RIGHT, AHEAD, 0.0, False),
    ],
)
def test_a_choice_pays_or_costs_and_ends_the_trial(side, action, expected, ends):
    observation, state, reward, terminated, _ = stepped(True, side, action)
    assert (reward.tolist(), terminated.tolist()) == ([expected], [ends])
    assert state.paying_side.tolist() == [side]
    np.testing.assert_allclose(observation[0], ON_RIGHT if side == RIGHT else ON_LEFT)


def test_objects_are_drawn_anew_for_every_task():
    drawn = jax.jit(jax.vmap(TASKS.sample))(task_keys(jax.random.key(0), 4_000))
    objects = np.concatenate([drawn.paying, drawn.other], axis=1)
    assert np.abs(objects).max() <= 1
    assert np.abs(objects.mean(axis=0)).max() < 4.5 * np.sqrt(1 / 3) / np.sqrt(4_000)
    assert np.abs(np.corrcoef(objects.T) - np.eye(4)).max() < 4.5 / np.sqrt(4_000)


def test_exact_values():
    """A first choice is a guess, of 1 or -1; those after it are sure; a cross is 0.2 each time."""
    references = harlow().references()
    assert references.optimal_total == pytest.approx(0.2 * 6 + 5)
    assert references.optimal_episodes == pytest.approx((0.2, 1.2, 1.2, 1.2, 1.2, 1.2))
    assert references.memoryless_total == pytest.approx(0.2 * 6)
    assert references.oracle_total == pytest.approx(1.2 * 6)


def test_the_best_player_guesses_once_and_then_knows():
    tasks = harlow()
    rollout = played(tasks, "bayes-optimal", 64)
    returns = np.array(
        [
            [rollout.outcome.reward[rollout.outcome.episode[:, b] == e, b].sum() for b in range(64)]
            for e in range(6)
        ]
    )
    assert np.all(np.isclose(returns[0], 1.2) | np.isclose(returns[0], -0.8))
    assert 10 < np.isclose(returns[0], 1.2).sum() < 54
    np.testing.assert_allclose(returns[1:], 1.2, rtol=1e-6)
    mean, error = earned(tasks, "bayes-optimal", 2_000)
    assert abs(mean - tasks.references().optimal_total) < 4 * error


@pytest.mark.parametrize("arguments", [{"object_size": 0}, {"num_trials": 0}, {"trial_length": 1}])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ConfigurationError, match=r"must be a whole number of at least"):
        harlow(**arguments)
