"""Many agents in one program are the agents of as many programs."""

from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.checkpoint.checkpoint import restore, save
from metarl_jax.learning.algorithms import a2c
from metarl_jax.learning.population import population
from metarl_jax.learning.schedules import Hyperparameters, hyperparameters
from metarl_jax.learning.train_state import Algorithm, TrainState, UpdateConfig
from metarl_jax.memory import transformer
from metarl_jax.parallel.sharding import DataParallel
from metarl_jax.training.chunks import compile_chunk, fetch
from metarl_jax.trees import take
from support.comparisons import relative_error
from support.probes import counter, small_policy
from support.updates_seen import applied_gradient

TASKS = counter(ends_early=True, num_episodes=2)
SEEDS = (3, 4, 5, 6)
RATES = (1e-4, 1e-3, 1e-2, 1e-1)

two_devices = pytest.mark.skipif(jax.local_device_count() < 2, reason="one device")
PLACES = [(1, 1), pytest.param(2, 1, marks=two_devices), pytest.param(1, 2, marks=two_devices)]


def one(rate: float = 1e-3, num_devices: int = 1) -> Algorithm:
    config = UpdateConfig(num_tasks=8, num_devices=num_devices)
    h = hyperparameters(learning_rate=rate, max_gradient_norm=1e9)
    return a2c(TASKS, small_policy(TASKS), h, config)


@cache
def alone(seed: int, rate: float = 1e-3) -> tuple[TrainState, Any]:
    algorithm = one(rate)
    with jax.default_matmul_precision("highest"):
        return jax.jit(algorithm.update)(algorithm.init(jax.random.key(seed)))


def train_together(algorithm: Algorithm, seeds: tuple[int, ...]) -> tuple[TrainState, Any]:
    state = algorithm.init(jax.vmap(jax.random.key)(jnp.array(seeds)))
    with jax.default_matmul_precision("highest"):
        states, metrics = jax.jit(algorithm.update)(state)
    return states.replace(key=()), metrics  # each slice of it would count as a use


@pytest.mark.parametrize(("agents_on", "tasks_on"), PLACES)
def test_each_seed_takes_the_step_it_takes_alone(agents_on: int, tasks_on: int) -> None:
    """The raw gradient (Adam's first moment), all else that was learned, and every metric."""
    states, metrics = train_together(
        population(one(1e-3, tasks_on), DataParallel(agents_on)), SEEDS
    )
    for i, seed in enumerate(SEEDS):
        state, expected = alone(seed)
        assert relative_error(applied_gradient(take(states, i)), applied_gradient(state)) < 1e-5
        assert relative_error(take(states, i).learner, state.learner) < 1e-5
        assert metrics.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(metrics[name][i], value, rtol=1e-5, atol=1e-6, err_msg=name)
    assert relative_error(applied_gradient(take(states, 0)), applied_gradient(alone(4)[0])) > 0.1


@pytest.mark.parametrize("agents_on", [1, pytest.param(2, marks=two_devices)])
def test_each_learning_rate_is_its_own(agents_on: int) -> None:
    """The same seed: the same gradient, and steps of four sizes."""
    base = one().init(jax.random.key(3)).hyperparameters
    swept: Hyperparameters = jax.tree.map(lambda x: jnp.stack([x] * len(RATES)), base)
    swept = swept.replace(learning_rate=jnp.array(RATES, jnp.float32)[:, None])
    states, _ = train_together(population(one(), DataParallel(agents_on), swept), (3,) * len(RATES))
    for i, rate in enumerate(RATES):
        assert relative_error(take(states, i).learner, alone(3, rate)[0].learner) < 1e-5


@pytest.mark.parametrize("agents_on", [1, pytest.param(2, marks=two_devices)])
def test_a_population_is_one_program(agents_on: int) -> None:
    """Its outputs lie as its inputs did; a row has each agent's numbers and their mean."""
    algorithm = population(one(), DataParallel(agents_on))
    state = algorithm.init(jax.vmap(jax.random.key)(jnp.array(SEEDS)))
    chunk = compile_chunk(algorithm, 2, state)
    for _ in range(2):
        state, metrics = chunk(state)
    np.testing.assert_array_equal(state.update, [4] * len(SEEDS))
    assert metrics["return"].shape == (2, len(SEEDS))
    if agents_on == 2:
        assert not state.update.sharding.is_fully_replicated


@pytest.mark.parametrize(("agents_on", "tasks_on"), PLACES)
def test_a_saved_population_goes_on_where_it_lay(
    agents_on: int, tasks_on: int, tmp_path: Path
) -> None:
    algorithm = population(one(1e-3, tasks_on), DataParallel(agents_on))
    keys = jax.vmap(jax.random.key)(jnp.array(SEEDS[:2]))
    state = algorithm.init(keys)
    save(tmp_path, 1, state, {}, keep=1)
    restored = restore(tmp_path, jax.eval_shape(algorithm.init, keys)).state
    expected = compile_chunk(algorithm, 1, state)(state)[1]
    metrics = compile_chunk(algorithm, 1, restored)(restored)[1]
    np.testing.assert_array_equal(metrics["return"], expected["return"])


def test_agents_with_a_window_are_those_alone() -> None:
    policy = small_policy(TASKS, transformer(3, 8, num_layers=1, num_heads=2))
    config = UpdateConfig(num_tasks=8)
    algorithm = a2c(TASKS, policy, hyperparameters(max_gradient_norm=1e9), config)
    states, _ = train_together(population(algorithm), SEEDS[:2])
    with jax.default_matmul_precision("highest"):
        state, _ = jax.jit(algorithm.update)(algorithm.init(jax.random.key(SEEDS[1])))
    assert relative_error(applied_gradient(take(states, 1)), applied_gradient(state)) < 1e-5


def test_a_row_of_a_population() -> None:
    """Means over agents; of updates skipped in a row the fewest, for one agent may fail alone."""
    from concurrent.futures import Future

    done: Future[Any] = Future()
    done.set_result(
        (
            None,
            {
                "return": jnp.array([[1.0, 3.0], [jnp.nan, 5.0]]),
                "skipped": jnp.array([[0.0, 0.0], [1.0, 0.0]]),
                "skipped_in_a_row": jnp.array([[0.0, 0.0], [1.0, 0.0]]),
            },
        )
    )
    row = fetch(done)
    assert row["return"] == pytest.approx((1.0 + 4.0) / 2)
    assert row["return_members"] == pytest.approx([1.0, 4.0])
    assert row["skipped"] == 1.0
    assert row["skipped_members"] == [1.0, 0.0]
    assert row["skipped_in_a_row"] == 0.0
    assert row["skipped_in_a_row_members"] == [1.0, 0.0]
