"""Probe tasks with a known optimum, learned in seconds by each algorithm.

`doors` (see probes): opening a door is worth nothing in its own episode and everything later. An
objective that ends with the episode never finds that worth while.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest

from metarl_jax.evaluation.evaluate import evaluate
from metarl_jax.evaluation.evaluation import Evaluation
from metarl_jax.learning.algorithms import a2c, ppo, reinforce
from metarl_jax.learning.returns import DiscountMode
from metarl_jax.learning.schedules import hyperparameters
from metarl_jax.learning.train_state import Algorithm, TrainState, UpdateConfig
from metarl_jax.memory import gru
from metarl_jax.policy.policy import Architecture, Policy, adaptive_policy, memoryless_policy
from metarl_jax.tasks.distribution import TaskDistribution
from support.probes import SAFE_DOOR, doors, revealed_target

ARCHITECTURE = Architecture(embedding_size=16)
NUM_UPDATES, NUM_TEST_TASKS = 150, 1000
ALGORITHMS: dict[str, Callable[..., Algorithm]] = {
    "a2c": a2c,
    "ppo": partial(ppo, epochs=2, minibatches=2),
    "reinforce": reinforce,
}


def adaptive(tasks: TaskDistribution) -> Policy:
    return adaptive_policy(tasks, gru(16), ARCHITECTURE)


def train(
    make: Callable[..., Algorithm],
    tasks: TaskDistribution,
    policy: Policy,
    mode: DiscountMode = "meta",
    **settings: Any,
) -> Callable[..., Evaluation]:
    """Trains with one set of hyper-parameters for all; returns an evaluation of the result."""
    given = {"discount": 1.0, "entropy_coefficient": [0.2, 0.0], "learning_rate": [1e-2, 1e-3]}
    config = UpdateConfig(num_tasks=64, discount_mode=mode)
    algorithm = make(tasks, policy, hyperparameters(**(given | settings)), config)

    @jax.jit
    def run(state: TrainState) -> TrainState:
        update = lambda state, _: (algorithm.update(state)[0], None)
        return jax.lax.scan(update, state, None, NUM_UPDATES)[0]

    state = run(algorithm.init(jax.random.key(0), NUM_UPDATES))
    assert int(state.skipped) == 0
    params = state.learner.params
    return lambda **options: evaluate(
        tasks, policy, params, jax.random.key(1), NUM_TEST_TASKS, **options
    )


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_optimum_of_doors_is_learned(name: str) -> None:
    """0 + 1 + 1 + 1; with the memory ablated, every episode opens a door by chance."""
    tasks = doors()
    evaluated = train(ALGORITHMS[name], tasks, adaptive(tasks))
    result = evaluated()
    assert tasks.references().optimal_total == 3.0
    assert result.total_return_mean > 0.95 * 3.0
    assert np.all(result.episode_return_mean[1:] > 0.95)
    ablated = evaluated(ablation="memory")
    np.testing.assert_allclose(
        ablated.episode_return_mean, 0.0, atol=2 * float(ablated.episode_return_ci95.max())
    )


def test_an_episodic_objective_never_opens_a_door() -> None:
    """The same learner, but credit ends with the episode: 0.2 for sure beats a door's 0."""
    tasks = doors()
    result = train(a2c, tasks, adaptive(tasks), "episodic")()
    assert result.total_return_mean < 1.6
    assert np.mean(result.episode_returns[:, 0] == np.float32(SAFE_DOOR)) > 0.75


def test_without_memory_the_safe_arm_is_learned() -> None:
    tasks = doors()
    result = train(a2c, tasks, memoryless_policy(tasks, ARCHITECTURE))()
    np.testing.assert_allclose(result.episode_return_mean, SAFE_DOOR, atol=0.05)


def test_continuous_actions_are_learned_from_the_final_observation() -> None:
    """-0.25, then 0: only the final observation of the first episode tells the target."""
    tasks = revealed_target()
    evaluated = train(
        ALGORITHMS["ppo"], tasks, adaptive(tasks), entropy_coefficient=0.0, learning_rate=1e-2
    )
    result = evaluated(greedy=True)
    np.testing.assert_allclose(result.episode_return_mean, [-0.25, 0.0, 0.0], atol=0.05)
    ablated = evaluated(greedy=True, ablation="memory")
    np.testing.assert_allclose(ablated.episode_return_mean, -0.25, atol=0.05)
