"""A batch taken in parts: the same step, in less memory."""

from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

from metarl_jax.learning.schedules import hyperparameters
from metarl_jax.learning.train_state import Algorithm, TrainState, UpdateConfig
from metarl_jax.parallel.sharding import DataParallel
from metarl_jax.types import ConfigurationError
from support.command_line import assert_well_put
from support.comparisons import relative_error
from support.probes import counter, small_policy
from support.random_inputs import random_state
from support.updates_seen import ALGORITHMS, applied_gradient

TASKS = counter(ends_early=True, num_episodes=2)
UNCLIPPED = hyperparameters(max_gradient_norm=1e9)
NUM_TASKS = 24


def algorithm(name: str, task_chunk: int | None, num_devices: int = 1) -> Algorithm:
    config = UpdateConfig(
        num_tasks=NUM_TASKS,
        normalize_observations=True,
        num_devices=num_devices,
        task_chunk=task_chunk,
    )
    return ALGORITHMS[name](TASKS, small_policy(TASKS), UNCLIPPED, config)


@cache
def compiled(name: str, task_chunk: int | None, num_devices: int = 1) -> tuple[TrainState, Any]:
    """A first state and the program of its update, for whatever is asked of them."""
    made = algorithm(name, task_chunk, num_devices)
    state = DataParallel(num_devices).replicate(random_state(made, UNCLIPPED))
    with jax.default_matmul_precision("highest"):
        return state, jax.jit(made.update).lower(state).compile()


@cache
def updated(name: str, task_chunk: int | None, num_devices: int = 1) -> tuple[TrainState, Any]:
    state, update = compiled(name, task_chunk, num_devices)
    return update(state)


@pytest.mark.parametrize(
    ("task_chunk", "num_devices"),
    [
        (3, 1),
        (1, 1),
        pytest.param(4, 2, marks=pytest.mark.skipif(jax.local_device_count() < 2, reason="one")),
    ],
)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_parts_make_the_step_of_the_whole(name: str, task_chunk: int, num_devices: int) -> None:
    """The raw gradient (Adam's first moment), the statistics, and every metric."""
    (whole, metrics), (parts, of_parts) = (
        updated(name, None),
        updated(name, task_chunk, num_devices),
    )
    assert relative_error(applied_gradient(parts), applied_gradient(whole)) < 1e-6
    assert relative_error(parts.learner, whole.learner) < 1e-5
    assert of_parts.keys() == metrics.keys()
    for key, value in metrics.items():
        np.testing.assert_allclose(of_parts[key], value, rtol=1e-5, atol=1e-7, err_msg=key)


@pytest.mark.parametrize("name", ["a2c", "ppo"])
def test_parts_need_less_memory(name: str) -> None:
    def temporary_bytes(task_chunk: int | None) -> int:
        analysis = compiled(name, task_chunk)[1].memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert temporary_bytes(3) < 0.7 * temporary_bytes(None)


@pytest.mark.parametrize(
    ("num_tasks", "task_chunk", "num_parts"),
    [(24, None, 1), (24, 24, 1), (24, 100, 1), (24, 12, 2), (24, 11, 3), (24, 5, 6), (7, 2, 7)],
)
def test_parts_are_equal_and_no_larger_than_asked(
    num_tasks: int, task_chunk: int | None, num_parts: int
) -> None:
    assert UpdateConfig(task_chunk=task_chunk).num_parts(num_tasks) == num_parts


def test_a_chunk_near_which_the_tasks_do_not_divide_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="got 128; 1021 or 1 would") as refusal:
        UpdateConfig(task_chunk=128).num_parts(1021)
    assert_well_put(str(refusal.value))


def test_a_chunk_of_no_tasks_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="task_chunk must be at least 1, got 0"):
        UpdateConfig(task_chunk=0)
