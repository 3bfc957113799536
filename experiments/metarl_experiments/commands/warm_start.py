"""`metarl train NAME --init-from RUN`: the weights that a run begins with."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metarl_experiments.runs import INIT_FROM_UPDATE
from metarl_jax.experiment.build import Setup
from metarl_jax.experiment.policy_file import load_params, load_policy_record
from metarl_jax.experiment.run_config import RunConfig
from metarl_jax.files import read_object, reason
from metarl_jax.learning.train_state import (
    TrainState,
    initial_shapes,
    shared_params,
    with_params,
)
from metarl_jax.tasks.interface import load_interface
from metarl_jax.types import ConfigurationError


class WarmStart(NamedTuple):
    """Weights to begin with.

    Attributes:
        prepare: puts them into a first train state.
        update: of the checkpoint they come from; None without one.
    """

    prepare: Callable[[TrainState], TrainState]
    update: int | None


def warm_start(config: RunConfig, setup: Setup, update: int | None = None) -> WarmStart:
    """Reads the weights of another run.

    Args:
        config: of the run that begins; without `init_from` the state stays as it is.
        setup: of the run that begins.
        update: of the checkpoint to read; None for the newest good one.

    Raises:
        ConfigurationError: the other folder holds no run of one agent with a checkpoint, or the
            policies differ in their sizes.
    """
    if not config.init_from:
        return WarmStart(lambda state: state, None)
    folder = Path(config.init_from)
    try:
        return _read_weights(folder, setup, update)
    except OSError as error:
        raise ConfigurationError(
            f"expected --init-from a run that can be read, got {folder}: {reason(error)}; give "
            "yourself the right to read it."
        ) from error


def _read_weights(folder: Path, setup: Setup, update: int | None) -> WarmStart:
    record, specification = load_policy_record(folder), load_interface(folder).specification
    if record.agents > 1:
        raise ConfigurationError(
            f"expected --init-from a run of one agent, got {folder}, which holds {record.agents}; "
            "give the folder of a run of `metarl train`."
        )
    policy = record.build(specification, folder)
    restored = load_params(folder, record, policy, specification, update)
    params = restored.state
    if setup.is_population:
        several = len(setup.agents)
        params = jax.tree.map(lambda x: jnp.broadcast_to(x, (several, *x.shape)), params)
    shapes = initial_shapes(setup.algorithm, setup.key, setup.plan.num_updates)
    shared_params(shapes.learner.params, params)  # refused before the run has a folder
    return WarmStart(lambda state: with_params(state, params), restored.step)


def begin_again(
    folder: Path, config: RunConfig, setup: Setup
) -> Callable[[TrainState], TrainState]:
    """`WarmStart.prepare` of a run that was stopped before its first checkpoint, read when called.

    Args:
        folder: the run's; its run.json names the update that it began with.
        config: the run's.
        setup: the run's.
    """

    def prepare(state: TrainState) -> TrainState:
        update = read_object(folder / "run.json").get(INIT_FROM_UPDATE)
        return warm_start(config, setup, update if isinstance(update, int) else None).prepare(state)

    return prepare
