"""One device or two: the same tasks, the same gradient, the same state on each."""

import functools
import math
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.checkpoint.checkpoint import restore, save
from metarl_jax.evaluation.evaluate import make_task_evaluator, meta_test_tasks
from metarl_jax.learning.algorithms import ppo
from metarl_jax.learning.schedules import hyperparameters
from metarl_jax.learning.train_state import Algorithm, TrainState, UpdateConfig
from metarl_jax.parallel.sharding import AXIS, REPLICATED, SPLIT, DataParallel
from metarl_jax.training.chunks import compile_chunk
from metarl_jax.types import ConfigurationError
from support.comparisons import assert_same, relative_error
from support.probes import counter, small_policy
from support.random_inputs import random_state
from support.updates_seen import ALGORITHMS, applied_gradient

TASKS = counter(ends_early=True, num_episodes=2)
UNCLIPPED = hyperparameters(max_gradient_norm=1e9)

pytestmark = pytest.mark.skipif(jax.local_device_count() < 2, reason="one device")


def algorithm(name: str, num_devices: int) -> Algorithm:
    config = UpdateConfig(num_tasks=8, normalize_observations=True, num_devices=num_devices)
    return ALGORITHMS[name](TASKS, small_policy(TASKS), UNCLIPPED, config)


def first_state(name: str, num_devices: int) -> TrainState:
    state = random_state(algorithm(name, num_devices), UNCLIPPED)
    return DataParallel(num_devices).replicate(state)


@functools.cache
def compiled(name: str, num_devices: int) -> Any:
    """The program of an update: it is run, and its text is read."""
    update = jax.jit(algorithm(name, num_devices).update)
    with jax.default_matmul_precision("highest"):
        return update.lower(first_state(name, num_devices)).compile()


def update(name: str, num_devices: int, state: TrainState) -> tuple[TrainState, Any]:
    return compiled(name, num_devices)(DataParallel(num_devices).replicate(state))


@functools.cache
def updated(name: str, num_devices: int) -> tuple[TrainState, Any]:
    return update(name, num_devices, first_state(name, num_devices))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_two_devices_take_the_step_of_one(name: str) -> None:
    """Adam would hide a gradient wrong by a factor: its first moment is looked at.

    Also the statistics (whose sums cross devices), every metric, and the minibatches of PPO.
    """
    (one, metrics), (two, of_two) = updated(name, 1), updated(name, 2)
    assert relative_error(applied_gradient(two), applied_gradient(one)) < 1e-6
    assert relative_error(two.learner, one.learner) < 1e-5
    assert of_two.keys() == metrics.keys()
    for key, value in metrics.items():
        np.testing.assert_allclose(of_two[key], value, rtol=1e-5, atol=1e-7, err_msg=key)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_state_is_the_same_on_every_device(name: str) -> None:
    """Reading an array reads its first shard and would hide that they differ."""
    leaves = jax.tree.leaves(updated(name, 2)[0].replace(key=()))
    assert leaves
    for leaf in leaves:
        assert leaf.sharding.is_fully_replicated
        first, second = (np.asarray(shard.data) for shard in leaf.addressable_shards)
        np.testing.assert_array_equal(first, second)


def test_a_run_goes_on_with_another_number_of_devices(tmp_path: Path) -> None:
    """What two devices saved is restored bit for bit where either number goes on."""
    saved, _ = updated("a2c", 2)
    save(tmp_path, 1, saved, {})
    after = []
    for n in (1, 2):
        template = jax.eval_shape(algorithm("a2c", n).init, jax.random.key(0))
        restored = restore(tmp_path, template).state
        assert_same(restored, saved)
        assert len(restored.update.sharding.device_set) == n
        after.append(update("a2c", n, restored)[0])
    assert relative_error(after[1].learner, after[0].learner) < 1e-5


def test_each_device_has_tasks_of_its_own() -> None:
    """The halves of a batch differ, or two devices would be one twice."""
    devices = DataParallel(2)
    firsts = devices.shard_map(lambda: jnp.asarray(devices.first_task(8))[None], (), SPLIT)
    np.testing.assert_array_equal(jax.jit(firsts)(), [0, 4])
    total = devices.shard_map(lambda x: devices.psum(x), SPLIT, REPLICATED)
    assert int(jax.jit(total)(jnp.array([1, 10]))[0]) == 11
    assert devices.mesh.axis_names == (AXIS,)


ARRAY = re.compile(r"(f32|s32|u32|pred)\[([0-9,]*)\]")


def collectives(name: str, num_devices: int, kind: str) -> list[int]:
    """The bytes of each collective of a kind in the compiled update of a device."""
    results = re.findall(rf"= (.*?) {kind}(?:-start)?\(", compiled(name, num_devices).as_text())
    return [
        sum(4 * math.prod(map(int, filter(None, shape.split(",")))) for _, shape in arrays)
        for arrays in map(ARRAY.findall, results)
    ]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_gradient_step_is_all_reduced_once_and_the_metrics_with_it_or_once(name: str) -> None:
    """Read from the compiled program: what the plan of docs/scaling.md counts on.

    What is in a loop's body stands here once, as it does in a gradient step.
    """
    state = algorithm(name, 2).init(jax.random.key(0))
    trained = (state.learner.params.weights, state.learner.loss_params)
    gradient = sum(leaf.nbytes for leaf in jax.tree.leaves(trained))
    reduced, gathered = (collectives(name, 2, kind) for kind in ("all-reduce", "all-gather"))
    assert len(reduced) <= 2
    assert gradient <= sum(reduced) <= gradient + 100
    assert len(gathered) == 1
    for kind in ("all-to-all", "collective-permute", "reduce-scatter"):
        assert collectives(name, 2, kind) == []


def test_a_chunk_runs_again_on_what_it_gave() -> None:
    """One program: its outputs lie as its inputs did."""
    made = algorithm("a2c", 2)
    state = made.init(jax.random.key(0))
    chunk = compile_chunk(made, 2, state)
    for _ in range(2):
        state, metrics = chunk(state)
    assert int(state.update) == 4
    assert all(np.isfinite(metrics["return"]))


@pytest.mark.parametrize("num_tasks", [8, 13])
def test_an_evaluation_is_that_of_one_device(num_tasks: int) -> None:
    """Also of tasks that two devices cannot share."""
    tasks = counter(ends_early=True)
    policy = small_policy(tasks)
    state = algorithm("a2c", 2).init(jax.random.key(0))
    meta_test = jax.tree.map(
        lambda x: x[:num_tasks], meta_test_tasks(tasks, jax.random.key(1), num_tasks)
    )
    one, two = (
        make_task_evaluator(tasks, policy, num_devices=n)(
            state.learner.params, meta_test, jax.random.key(2)
        )
        for n in (1, 2)
    )
    assert two.num_tasks == num_tasks
    assert_same(two.episode_returns, one.episode_returns)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"num_devices": 3}, "divide into 3 devices, got 8 tasks; 9 tasks would"),
        ({"num_devices": 0}, "number of devices must be at least 1, got 0"),
        ({"num_devices": 8}, "at most the 2 devices that jax has here, got 8"),
    ],
)
def test_devices_that_cannot_be_are_refused(asked: dict[str, int], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        algorithm("a2c", **asked)


def test_minibatches_are_of_each_device() -> None:
    config = UpdateConfig(num_tasks=12, num_devices=2)
    told = "divide into 4 minibatches on each of 2 devices, got 12 tasks; 16 tasks would"
    with pytest.raises(ConfigurationError, match=told):
        ppo(TASKS, small_policy(TASKS), UNCLIPPED, config, minibatches=4)
