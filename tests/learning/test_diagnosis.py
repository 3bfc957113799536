"""Why updates are skipped: the tasks and the leaf that are not finite are told, rightly."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.learning.algorithms import a2c, a2c_objective
from metarl_jax.learning.diagnosis import explain
from metarl_jax.learning.losses import Loss
from metarl_jax.learning.population import population
from metarl_jax.learning.schedules import hyperparameters
from metarl_jax.learning.train_state import UpdateConfig
from metarl_jax.rollout import task_keys
from metarl_jax.trees import leaves_by_path
from support.comparisons import assert_same
from support.probes import Counter, counter, small_policy
from support.updates_seen import ALGORITHMS

NUM_TASKS = 16
BAD = 3.0
"""The identity of the tasks where something is not finite: one in eight."""


class Poisoned(Counter):
    """A counter that pays, or shows, `poison` in the tasks of one identity, at its second step."""

    def __init__(self, *, reward: float = 0.0, observation: float = 0.0) -> None:
        super().__init__(ends_early=False)
        self.reward, self.observation = reward, observation

    def step_env(self, key: Any, state: Any, action: Any, task: Any) -> Any:
        observation, state, reward, *rest = super().step_env(key, state, action, task)
        bad = (task.identity == BAD) & (state.step == 2)
        observation = jnp.where(bad, observation + self.observation, observation)
        return observation, state, jnp.where(bad, reward + self.reward, reward), *rest


def poisoned(name: str = "a2c", devices: int = 1, **poison: float) -> Any:
    tasks = dataclasses.replace(counter(num_episodes=2), environment=Poisoned(**poison))
    config = UpdateConfig(num_tasks=NUM_TASKS, num_devices=devices)
    return ALGORITHMS[name](tasks, small_policy(tasks), hyperparameters(), config)


def bad_tasks(state: Any) -> list[int]:
    """Those of the next update, sampled once more from its key."""
    keys = task_keys(jax.random.split(jax.random.clone(state.key), 4)[1], NUM_TASKS)
    return np.flatnonzero(np.asarray(jax.vmap(counter().sample)(keys).identity) == BAD).tolist()


def begun(algorithm: Any, seed: int = 1) -> tuple[Any, str]:
    """A first state whose next update has bad tasks, and how they are listed."""
    state = algorithm.init(jax.random.key(seed))
    bad = bad_tasks(state)
    assert 0 < len(bad) <= 5
    return state, f"{len(bad)} ({', '.join(map(str, bad))}) of {NUM_TASKS} tasks"


def assert_skipped(algorithm: Any, state: Any) -> Any:
    """The update changes nothing of the learner, and is counted; the state after it."""
    after, metrics = jax.jit(algorithm.update)(state)
    assert metrics["skipped_in_a_row"] == 1
    assert_same(after.learner, state.learner)
    return after


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_rewards_of_some_tasks(name: str, poison: float) -> None:
    algorithm = poisoned(name, reward=poison)
    state, listed = begun(algorithm)
    told = explain(algorithm, state)
    assert told.startswith(f"not finite in the next update: rewards of {listed}; ")
    assert "observations" not in told
    assert "the learner after it, " in told
    assert_skipped(algorithm, state)


def test_observations_of_some_tasks_and_not_what_they_lead_to() -> None:
    algorithm = poisoned(observation=np.nan)
    state, listed = begun(algorithm)
    told = explain(algorithm, state)
    assert told.startswith(f"not finite in the next update: observations of {listed}; the learner")
    assert not {"rewards", "values", "log-probabilities"} & set(told.split())
    assert_skipped(algorithm, state)


def test_values_of_a_policy_whose_weights_are_not_finite() -> None:
    algorithm = poisoned()
    state = algorithm.init(jax.random.key(0))
    broken = jax.tree.map(lambda x: x * jnp.nan, state.learner.params.weights)
    params = state.learner.params.replace(weights=broken)
    state = state.replace(learner=state.learner.replace(params=params))
    told = explain(algorithm, state)
    assert f"values of {NUM_TASKS} (0, 1, 2, 3, 4, …) of {NUM_TASKS} tasks" in told
    assert f"log-probabilities of {NUM_TASKS} (" in told


@pytest.mark.skipif(jax.local_device_count() < 2, reason="one device")
def test_tasks_are_counted_over_all_devices() -> None:
    one, two = (poisoned(devices=n, reward=np.nan) for n in (1, 2))
    assert explain(two, begun(two)[0]) == explain(one, begun(one)[0])


def with_term(term: Any) -> Any:
    """A2C on sound tasks with one more term in its loss."""
    tasks = counter(num_episodes=2)
    extra = Loss(lambda params, outputs, rollout, targets: (term(outputs), {}))
    config = UpdateConfig(num_tasks=NUM_TASKS)
    objective = lambda h: a2c_objective(h) + extra
    return a2c(tasks, small_policy(tasks), hyperparameters(), config, objective=objective)


@pytest.mark.parametrize(
    "term",
    [
        lambda outputs: outputs.value * jnp.nan,
        lambda outputs: jnp.sqrt(0.0 * outputs.value),  # 0, and its gradient is not
    ],
    ids=["loss", "gradient alone"],
)
def test_a_loss_names_a_leaf_and_no_task(term: Any) -> None:
    algorithm = with_term(term)
    state = algorithm.init(jax.random.key(0))
    told = explain(algorithm, state)
    assert "tasks" not in told
    leaf = told.rpartition("such as ")[2]
    assert leaf.startswith("params.weights")
    assert leaf in leaves_by_path(assert_skipped(algorithm, state).learner)


def test_what_is_finite_is_not_told() -> None:
    algorithm = poisoned()
    assert explain(algorithm, algorithm.init(jax.random.key(0))) == ""


def test_of_several_agents_the_one_that_diverged() -> None:
    """Agent 1, which has skipped; agent 0's next update has other bad tasks."""
    one = poisoned(reward=np.nan)
    agents = population(one)
    states = agents.init(jax.vmap(jax.random.key)(np.array([0, 1], np.uint32)))
    states = states.replace(skipped_in_a_row=jnp.array([0, 10], jnp.int32))
    assert explain(agents, states) == explain(one, begun(one, seed=1)[0])
