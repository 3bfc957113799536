"""`metarl train NAME --init-from RUN`: the weights that a run begins with."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from metarl_jax.experiment.build import Setup
from metarl_jax.experiment.policy_file import load_params, load_policy_record
from metarl_jax.experiment.run_config import RunConfig
from metarl_jax.learning.train_state import (
    TrainState,
    initial_shapes,
    shared_params,
    with_params,
)
from metarl_jax.tasks.interface import load_interface
from metarl_jax.types import ConfigurationError


def warm_start(config: RunConfig, setup: Setup) -> Callable[[TrainState], TrainState]:
    """What the first train state becomes: the same with the weights of another run.

    Args:
        config: of the run that begins; without `init_from` the state stays as it is.
        setup: of the run that begins.

    Raises:
        ConfigurationError: the other folder holds no run of one agent with a checkpoint, or the
            policies differ in their sizes.
    """
    if not config.init_from:
        return lambda state: state
    folder = Path(config.init_from)
    record, specification = load_policy_record(folder), load_interface(folder).specification
    if record.agents > 1:
        raise ConfigurationError(
            f"expected --init-from a run of one agent, got {folder}, which holds {record.agents}; "
            "give the folder of a run of `metarl train`."
        )
    policy = record.build(specification, folder)
    params = load_params(folder, record, policy, specification).state
    if setup.is_population:
        several = len(setup.agents)
        params = jax.tree.map(lambda x: jnp.broadcast_to(x, (several, *x.shape)), params)
    shapes = initial_shapes(setup.algorithm, setup.key, setup.plan.num_updates)
    shared_params(shapes.learner.params, params)  # refused before the run has a folder
    return lambda state: with_params(state, params)
