"""Everything trains under jax's other settings of numbers and keys, in float32 as ever.

Abstract evaluation finds each dtype that is left to a default, and compiles nothing.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from metarl_experiments.runs import make_tasks
from metarl_jax import (
    Architecture,
    TaskDistribution,
    UpdateConfig,
    a2c,
    adaptive_policy,
    check_task_distribution,
    context_set,
    contextual_policy,
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
    **{f"set of {kind}": lambda kind=kind: context_set(4, kind) for kind in CONTEXT_SETS},
}
CONFIG = UpdateConfig(num_tasks=4, normalize_observations=True)


@contextlib.contextmanager
def settings(**changes: Any) -> Iterator[None]:
    """These settings of jax's, for as long as the block runs."""
    before = {name: jax.config.values[name] for name in changes}
    for name, value in changes.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


STRICT_AND_WIDE = {
    "jax_enable_x64": True,
    "jax_numpy_dtype_promotion": "strict",
    "jax_default_prng_impl": "unsafe_rbg",
}
ALONE = [{name: value} for name, value in STRICT_AND_WIDE.items()]
