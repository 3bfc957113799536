"""Everything trains under jax's other settings of numbers and keys, in float32 as ever.

Abstract evaluation finds each dtype that is left to a default, and compiles nothing.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from metarl_experiments.runs import make_tasks
from metarl_jax import (
    Algorithm,
    Architecture,
    TaskDistribution,
    UpdateConfig,
    a2c,
    adaptive_policy,
    check_task_distribution,
    context_set,
    contextual_policy,
    evaluate,
    gru,
    hyperparameters,
    linear_recurrence,
    lstm,
    memoryless_policy,
    ppo,
    reinforce,
    snail,
    stacked,
    transformer,
)
from metarl_jax.checkpoint import CheckpointError, restore, save
from metarl_jax.experiment.build import build_setup
from metarl_jax.experiment.registry import load_experiment
from metarl_jax.learning.train_state import initial_shapes
from metarl_jax.memory import Memory
from metarl_jax.trees import structure
from support.probes import counter, revealed_target

PRESETS = (
    *("bandit_10_5", "bandit_deceptive", "bandit_dependent_easy", "bandit_eleven"),
    *("bandit_restless", "two_step", "two_step_reversing", "tabular_mdp_10", "harlow"),
    *("goal_grid_3", "mouse_lecture", "mouse_walls", "mouse_cheese", "mouse_both"),
    *("cheetah_vel", "cheetah_dir"),
)
"""One of each kind: the others differ in sizes alone."""
MEMORIES: dict[str, Callable[[], Memory]] = {
    "gru": lambda: gru(4),
    "lstm": lambda: lstm(4),
    "stacked": lambda: stacked(gru(4), 2),
    "linear recurrence": lambda: linear_recurrence(4, 1),
    "snail": lambda: snail(6, 4, num_layers=1),
    "transformer": lambda: transformer(6, 8, num_layers=1, num_heads=2),
    "transformer, gated, with positions": lambda: transformer(
        6, 8, num_layers=1, num_heads=2, gated=True, episode_positions=True
    ),
    "set": lambda: context_set(4),
    "set with attention": lambda: context_set(4, "attention"),
    "set of Gaussians": lambda: context_set(4, "gaussians"),
}
CONFIG = UpdateConfig(num_tasks=4, normalize_observations=True, num_devices=2)


@contextlib.contextmanager
def under(x64: bool = False, promotion: str = "standard", keys: str = "threefry2x32") -> Any:
    """These settings of jax's, for as long as the block runs."""
    with (
        jax.enable_x64(x64),
        jax.numpy_dtype_promotion(promotion),  # type: ignore[arg-type]
        jax.default_prng_impl(keys),
    ):
        yield


ALL_AT_ONCE: dict[str, Any] = {"x64": True, "promotion": "strict", "keys": "unsafe_rbg"}
EACH: dict[str, dict[str, Any]] = {
    "x64": {"x64": True},
    "strict promotion": {"promotion": "strict"},
    "rbg": {"keys": "rbg"},
    "unsafe_rbg": {"keys": "unsafe_rbg"},
}


def forms(algorithm: Algorithm) -> dict[str, str]:
    """Those of a train state, which an update must keep; a key's is left out."""
    state = initial_shapes(algorithm, jax.eval_shape(lambda: jax.random.key(0)), 3)
    after, metrics = jax.eval_shape(algorithm.update, state)
    assert structure(after) == structure(state)
    assert {str(metric.dtype) for metric in metrics.values()} == {"float32"}
    return {path: form for path, form in structure(state).items() if path != "key"}


def assert_the_same(make: Callable[[], Algorithm]) -> None:
    expected = forms(make())
    with under(**ALL_AT_ONCE):
        assert forms(make()) == expected


@pytest.mark.parametrize("name", MEMORIES)
def test_every_memory_trains(name: str) -> None:
    tasks = counter(ends_early=True)
    make = lambda: a2c(tasks, adaptive_policy(tasks, MEMORIES[name]()), hyperparameters(), CONFIG)
    assert_the_same(make)


HYPER = Architecture(4, head="hypernetwork", head_sizes=(4,))
OTHERS: dict[str, Callable[[TaskDistribution], Algorithm]] = {
    "contextual": lambda tasks: a2c(
        tasks, contextual_policy(tasks, gru(4)), hyperparameters(), CONFIG
    ),
    "hypernetwork, in segments": lambda tasks: a2c(
        tasks, adaptive_policy(tasks, lstm(4), HYPER), hyperparameters(), CONFIG, bptt_segments=2
    ),
    "memoryless reinforce": lambda tasks: reinforce(
        tasks, memoryless_policy(tasks), hyperparameters(), CONFIG
    ),
    "ppo": lambda tasks: ppo(
        tasks, adaptive_policy(tasks, gru(4)), hyperparameters(), CONFIG, epochs=2, minibatches=2
    ),
    "a2c that unrolls": lambda tasks: a2c(
        tasks, adaptive_policy(tasks, gru(4)), hyperparameters(), CONFIG, single_pass=False
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_policy_and_algorithm_trains(name: str) -> None:
    """With continuous actions."""
    assert_the_same(lambda: OTHERS[name](revealed_target(episode_length=2)))


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_trains(preset: str) -> None:
    experiment = load_experiment(preset)

    def make() -> Algorithm:
        return build_setup(make_tasks(experiment, experiment.arguments), experiment.settings, 1)[2]

    assert_the_same(make)


@pytest.mark.parametrize("setting", EACH)
def test_an_update_is_finite_and_can_be_evaluated(setting: str) -> None:
    with under(**EACH[setting]):
        tasks = counter()
        check_task_distribution(tasks)
        policy = adaptive_policy(tasks, gru(4))
        algorithm = a2c(tasks, policy, hyperparameters(), UpdateConfig(num_tasks=2))
        state, metrics = jax.jit(algorithm.update)(algorithm.init(jax.random.key(0), 3))
        assert int(state.update) == 1 and int(state.skipped) == 0
        assert all(bool(jnp.isfinite(metric)) for metric in metrics.values())
        returns = evaluate(tasks, policy, state.learner.params, jax.random.key(1), num_tasks=2)
        assert returns.episode_returns.dtype == jnp.float32


def test_a_checkpoint_of_other_keys_says_so(tmp_path: Path) -> None:
    make = lambda: {"key": jax.random.key(0), "weights": jnp.zeros(3, jnp.float32)}
    with under(keys="rbg"):
        save(tmp_path, 1, make(), {})
    told = r"under JAX_DEFAULT_PRNG_IMPL=rbg: at \['key'\] expected key<fry>\[2\], got .*; set"
    with pytest.raises(CheckpointError, match=told):
        restore(tmp_path, make())
    with (
        under(keys="unsafe_rbg"),
        pytest.raises(CheckpointError, match="JAX_DEFAULT_PRNG_IMPL=rbg"),
    ):
        restore(tmp_path, make())
    with under(keys="rbg"):
        assert restore(tmp_path, make()).step == 1


def test_a_checkpoint_of_other_widths_says_so(tmp_path: Path) -> None:
    """Of numbers of the user's own: all of ours are float32 and int32, whatever the setting."""
    make = lambda: {"mine": jnp.zeros(3, float)}
    with under(x64=True):
        save(tmp_path, 1, make(), {})
    with pytest.raises(CheckpointError, match="under JAX_ENABLE_X64=1: .*float64.*; set"):
        restore(tmp_path, make())
    save(tmp_path, 2, make(), {})
    with under(x64=True), pytest.raises(CheckpointError, match="under JAX_ENABLE_X64=0: "):
        restore(tmp_path, make())
