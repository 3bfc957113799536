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

from metarl_jax.algorithms import a2c, ppo, reinforce
from metarl_jax.evaluation import Evaluation, evaluate
from metarl_jax.learner import Algorithm, TrainState, UpdateConfig
from metarl_jax.memory import gru
from metarl_jax.policy import Architecture, Policy, recurrent_policy
from metarl_jax.returns import DiscountMode
from metarl_jax.schedules import hyperparameters
from metarl_jax.tasks import TaskDistribution
from probes import doors

ARCHITECTURE = Architecture(embedding_size=16)
NUM_TEST_TASKS = 1000
ALGORITHMS: dict[str, Callable[..., Algorithm]] = {
    "a2c": a2c,
    "ppo": partial(ppo, epochs=2, minibatches=2),
    "reinforce": reinforce,
}


def recurrent(tasks: TaskDistribution) -> Policy:
    return recurrent_policy(tasks, gru(16), ARCHITECTURE)


def train(
    make: Callable[..., Algorithm],
    tasks: TaskDistribution,
    policy: Policy,
    num_updates: int,
    mode: DiscountMode = "meta",
    **settings: Any,
) -> TrainState:
    h = hyperparameters(
        learning_rate=[1e-2, 1e-3], discount=1.0, entropy_coefficient=[0.03, 0.0], **settings
    )
    config = UpdateConfig(num_tasks=64, num_updates=num_updates, discount_mode=mode)
    algorithm = make(tasks, policy, h, config)

    @jax.jit
    def run(state: TrainState) -> TrainState:
        return jax.lax.scan(
            lambda state, _: (algorithm.update(state)[0], None), state, None, num_updates
        )[0]

    state = run(algorithm.init(jax.random.key(0)))
    assert int(state.skipped) == 0
    return state


def test(tasks: TaskDistribution, policy: Policy, state: TrainState, **options: Any) -> Evaluation:
    params = state.learner.params
    return evaluate(tasks, policy, params, jax.random.key(1), NUM_TEST_TASKS, **options)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_optimum_of_doors_is_learned(name: str) -> None:
    """0 + 1 + 1 + 1; with the memory ablated, no better than without one."""
    tasks = doors()
    policy = recurrent(tasks)
    state = train(ALGORITHMS[name], tasks, policy, 200)
    result = test(tasks, policy, state)
    assert result.total_return_mean > 0.95 * 3.0
    assert np.all(result.episode_return_mean[1:] > 0.95)
    ablated = test(tasks, policy, state, ablate_memory=True)
    assert ablated.total_return_mean < 4 * 0.3 + 2 * ablated.total_return_ci95
