"""Populations: agents that share nothing, trained by one compiled program.

They may differ in their keys (seeds) and in their hyper-parameters (a sweep), not in their
structure. Where no device shares an agent with another, nothing crosses between devices at all.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, Sharding

from metarl_jax.learning.schedules import Hyperparameters
from metarl_jax.learning.train_state import Algorithm, TrainState, initial_shapes
from metarl_jax.parallel.sharding import SPLIT, DataParallel
from metarl_jax.trees import take
from metarl_jax.types import Array, Key

ONE_DEVICE = DataParallel()


def population(
    algorithm: Algorithm,
    devices: DataParallel = ONE_DEVICE,
    hyperparameters: Hyperparameters | None = None,
) -> Algorithm:
    """An algorithm whose train state is that of S agents, with a leading axis [S].

    On a CPU a device takes its agents in turn: side by side they would share its cache and gain
    nothing. On an accelerator it takes them at once (`vmap`).

    Args:
        algorithm: of one agent. Its own tasks are on one device where `devices` are several.
        devices: the agents are split over these, evenly.
        hyperparameters: each agent's, knots [S, K]; by default the algorithm's.

    Returns:
        An algorithm with `init` from (keys [S], num_updates) and metrics of shape [S].
        `steps_per_update` and `find_nonfinite` are one agent's: the latter that of an agent that
        skipped the most updates in a row.
    """
    in_turn = partial(jax.lax.map, algorithm.update)
    update = in_turn if jax.default_backend() == "cpu" else jax.vmap(algorithm.update)

    def find_nonfinite(states: TrainState) -> dict[str, Array]:
        return algorithm.find_nonfinite(take(states, jnp.argmax(states.skipped_in_a_row)))

    def init(keys: Key, num_updates: int | None = None) -> TrainState:
        states = jax.lax.map(lambda key: algorithm.init(key, num_updates), keys)
        return (
            states if hyperparameters is None else states.replace(hyperparameters=hyperparameters)
        )

    return algorithm._replace(
        init=jax.jit(init, static_argnums=1, out_shardings=_places(algorithm, devices)),
        update=devices.shard_map(update, (SPLIT,), (SPLIT, SPLIT)),
        find_nonfinite=find_nonfinite,
    )


def _places(algorithm: Algorithm, devices: DataParallel) -> Sharding | None:
    """Where the agents lie: split over the devices, or each wherever it would lie alone."""
    if devices.count > 1:
        return NamedSharding(devices.mesh, SPLIT)
    one = initial_shapes(algorithm, jax.random.key(0), 1)
    return jax.tree.leaves(one)[0].sharding
