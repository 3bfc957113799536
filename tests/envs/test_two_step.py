"""The two-step task: chances by counting, the optimum against looking at everything."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs.two_step import TwoStepState, TwoStepTask, two_step
from metarl_jax import measure, task_keys
from metarl_jax.types import ConfigurationError
from support.classical_play import earned, played
from support.expectimax import best_return

COMMON, REWARD, CHANGE = 0.8, 0.9, 0.025
NUM_STEPS = 20_000
ERROR = 4 * 0.5 / np.sqrt(NUM_STEPS)


def trials() -> list[list[tuple[np.ndarray, float]]]:
    """What may follow each action, in the hidden states (swapped, paying) = 00, 01, 10, 11."""
    outcomes = []
    for action in (0, 1):
        possible = []
        for reached in (0, 1):
            for reward in (0.0, 1.0):
                likelihood = []
                for swapped in (0, 1):
                    for paying in (0, 1):
                        common = reached == (1 - action if swapped else action)
                        chance = REWARD if reached == paying else 1 - REWARD
                        likelihood.append(
                            (COMMON if common else 1 - COMMON) * (chance if reward else 1 - chance)
                        )
                possible.append((np.array(likelihood), reward))
        outcomes.append(possible)
    return outcomes


def moves(swap: float) -> np.ndarray:
    turn = lambda chance: np.array([[1 - chance, chance], [chance, 1 - chance]])
    return np.kron(turn(swap), turn(CHANGE))


@pytest.mark.parametrize("num_trials", [1, 2, 4])
@pytest.mark.parametrize("reversing", [False, True])
def test_exact_values_are_those_of_every_policy(reversing, num_trials):
    references = two_step(reversing_transitions=reversing, num_trials=num_trials).references()
    transition = moves(CHANGE if reversing else 0.0)
    prior = np.full(4, 0.25) if reversing else np.array([0.5, 0.5, 0.0, 0.0])
    tried = best_return(prior, trials(), transition, num_trials)
    assert references.optimal_total == pytest.approx(tried, abs=1e-7)
    told = best_return(np.eye(4)[0], trials(), transition, num_trials)
    assert references.oracle_total == pytest.approx(told, abs=1e-7)


def stepped(stage: int, paying: int, swapped: int, action: int, **arguments):
    """Many steps from one state."""
    environment = two_step(**arguments).environment
    state = TwoStepState(*(jnp.int32(x) for x in (stage, paying, swapped)))
    task = TwoStepTask(jnp.int32(0), jnp.int32(0))
    step = jax.vmap(lambda key: environment.step_env(key, state, jnp.int32(action), task))
    keys = task_keys(jax.random.key(action), NUM_STEPS)
    return jax.tree.map(np.asarray, jax.jit(step)(keys))


@pytest.mark.parametrize(
    ("action", "swapped", "commonly"), [(0, 0, 1), (1, 0, 2), (0, 1, 2), (1, 1, 1)]
)
def test_a_choice_leads_to_its_state_commonly(action, swapped, commonly):
    observation, state, reward, terminated, _ = stepped(0, 0, swapped, action)
    assert abs(np.mean(state.stage == commonly) - COMMON) < ERROR
    assert set(np.unique(state.stage)) == {1, 2}
    np.testing.assert_array_equal(np.argmax(observation, axis=1), state.stage)
    assert not np.any(reward) and not np.any(terminated)
    assert np.all(state.paying == 0) and np.all(state.swapped == swapped)


@pytest.mark.parametrize("paying", [0, 1])
def test_the_paying_state_pays_and_then_may_change(paying):
    _, state, reward, _, _ = stepped(2, paying, 0, 0, reversing_transitions=True)
    assert abs(np.mean(reward) - (REWARD if paying == 1 else 1 - REWARD)) < ERROR
    assert np.all(state.stage == 0)
    changed, swapped = state.paying != paying, state.swapped == 1
    error = 4 * np.sqrt(CHANGE / NUM_STEPS)
    assert abs(changed.mean() - CHANGE) < error and abs(swapped.mean() - CHANGE) < error
    for first, second in ((changed, swapped), (changed, reward), (swapped, reward)):
        assert abs(np.corrcoef(first, second)[0, 1]) < 4.5 / np.sqrt(NUM_STEPS)


def test_transitions_stay_where_they_do_not_reverse():
    _, state, _, _, _ = stepped(1, 0, 0, 1)
    assert np.all(state.swapped == 0)
    assert not np.any(two_step().all_tasks().swapped)
    assert len(two_step(reversing_transitions=True).all_tasks().swapped) == 4


@pytest.mark.parametrize("reversing", [False, True])
def test_the_best_player_earns_the_optimum_and_others_less(reversing):
    tasks = two_step(reversing_transitions=reversing, num_trials=40)
    references = tasks.references()
    mean, error = earned(tasks, "bayes-optimal", 4_000)
    assert abs(mean - references.optimal_total) < 4 * error
    assert 20 < mean < references.oracle_total


def test_who_knows_the_transitions_earns_more_than_who_learns_by_reward_alone():
    tasks = two_step(num_trials=40)
    planned, error = earned(tasks, "model-based", 4_000)
    habit, _ = earned(tasks, "model-free", 4_000)
    assert habit + 4 * error < planned < tasks.references().optimal_total + 4 * error


def test_learned_values_choose_as_a_plain_loop_does():
    tasks = two_step(num_trials=30)
    for name, of_states in (("model-based", True), ("model-free", False)):
        rollout = played(tasks, name, 16)
        for task in range(16):
            values = np.full(2, 0.5)
            for trial in range(30):
                action = rollout.action[2 * trial, task]
                assert values[action] > values.max() - 1e-6
                reached = rollout.outcome.next_state.stage[2 * trial, task] - 1
                reward = rollout.outcome.reward[2 * trial + 1, task]
                learned = reached if of_states else action
                values[learned] += 0.5 * (reward - values[learned])


def test_stays_are_counted_by_what_led_to_them():
    """Five trials of one task, counted by hand; from the third on the transitions are swapped."""
    nothing = -1  # second steps, and what is not read of a first one
    kept = {
        "action": np.array([0, 1, 0, 0, 1, 0, 1, 1, 1, 0]),
        "reached": np.array([0, nothing, 1, nothing, 1, nothing, 0, nothing, 0, nothing]),
        "swapped": np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1]),
        "rewarded": np.array([0, 1, 0, 1, 0, 0, 0, 1, 0, 1], bool),
    }
    # Choices 0 0 1 1 1. The first, common and paid, is repeated; the second, rare and paid, is not;
    # the third, rare and unpaid, is; the fourth, common and paid, is; nothing follows the fifth.
    (stays,) = two_step(num_trials=5).measures
    values = stays.summarize(None, {name: x[:, None] for name, x in kept.items()})
    assert values == {
        "stay_after_common_reward": 1.0,
        "stay_after_common_no_reward": 0.0,
        "stay_after_rare_reward": 0.0,
        "stay_after_rare_no_reward": 1.0,
    }


def test_only_who_knows_the_transitions_leaves_after_a_rare_reward():
    tasks = two_step(num_trials=50)
    stays = {}
    for name in ("model-based", "model-free"):
        agent = tasks.references().agents[name]()
        stays[name] = measure(tasks, agent, (), jax.random.key(0))
    known, habit = stays["model-based"], stays["model-free"]
    assert habit["stay_after_rare_reward"] == habit["stay_after_common_reward"] == 1.0
    assert known["stay_after_common_reward"] == 1.0
    assert known["stay_after_rare_reward"] < known["stay_after_rare_no_reward"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"common_chance": 0.4}, r"common_chance must be a number from 0\.5 to 1\.0, got 0\.4"),
        ({"reward_chance": 1.1}, r"reward_chance must be a number from 0\.5 to 1\.0"),
        ({"change_chance": -0.1}, r"change_chance must be a number from 0\.0 to 0\.5"),
        ({"num_trials": 0}, r"num_trials must be a whole number of at least 1"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        two_step(**arguments)
