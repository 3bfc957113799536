"""What a process makes of a run's checkpoint: its digest, and the gradient of the update after it.

    python -m system_checks.next_gradient RUN STEP OUT.npz --devices 2

Two machines, two numbers of processes or of devices that disagree on a gradient do so here by name.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metarl_experiments.process.distributed import join
from metarl_experiments.process.early_flags import read_early_flags
from metarl_experiments.process.runtime import configure_jax

if TYPE_CHECKING:
    from metarl_jax.experiment.build import Setup

STATE = "sha256 of the state"
ADAM_FIRST_MOMENT_SHARE = 0.1
"""Of a gradient, in Adam's first moment after the first update."""
NO_CLIPPING = 1e9


def main(arguments: Sequence[str]) -> int:
    """Writes the digest and the gradient, by the path of each weight, relative to RUN's own."""
    flags = read_early_flags(arguments)
    configure_jax(flags.devices)
    join(flags.distributed)
    run, step, out = Path(arguments[0]), int(arguments[1]), Path(arguments[2])
    digest, gradient = next_gradient(run, step, flags.devices)
    seen: dict[str, Any] = {STATE: np.array(digest), **gradient}
    np.savez(out, **seen)
    return 0


def next_gradient(run: Path, step: int, devices: int | None) -> tuple[str, dict[str, np.ndarray]]:
    """The digest of a checkpoint's train state, and the gradient of the update after it.

    Args:
        run: the run's folder.
        step: the checkpoint's update.
        devices: of each process, over which the tasks are split; None: all.

    Returns:
        SHA-256, and the gradient with respect to (weights, loss_params) before any clipping.
    """
    import jax
    import jax.numpy as jnp

    from metarl_jax.parallel.sharding import local_replica
    from metarl_jax.trees import digest, leaves_by_path

    setup, state = saved_state(run, step, devices)

    def updated(state: Any) -> Any:
        # Adam begun anew, and nothing clipped: its first moment is the gradient then.
        fresh = jax.tree.map(jnp.zeros_like, state.learner.optimizer_state)
        h = state.hyperparameters
        unclipped = h.replace(max_gradient_norm=jnp.full_like(h["max_gradient_norm"], NO_CLIPPING))
        learner = state.learner.replace(optimizer_state=fresh)
        return setup.algorithm.update(state.replace(learner=learner, hyperparameters=unclipped))

    with jax.default_matmul_precision("highest"):
        after, _ = jax.jit(updated)(state)
    moments = leaves_by_path(local_replica(after.learner.optimizer_state))
    gradient = {
        path.partition(".mu")[2]: np.asarray(leaf) / ADAM_FIRST_MOMENT_SHARE
        for path, leaf in moments.items()
        if ".mu" in path
    }
    return digest(local_replica(state)), gradient


def saved_state(run: Path, step: int, devices: int | None = None) -> "tuple[Setup, Any]":
    """A run's setup, and the train state of one of its checkpoints.

    Args:
        run: the run's folder.
        step: the checkpoint's update.
        devices: of each process, over which the tasks are split; None: all.
    """
    from metarl_experiments.runs import load_tasks
    from metarl_jax.checkpoint.checkpoint import restore
    from metarl_jax.experiment.build import build_setup
    from metarl_jax.experiment.run_config import load_config
    from metarl_jax.learning.train_state import initial_shapes

    config = load_config(run)
    setup = build_setup(load_tasks(config)[1], config.settings, devices)
    template = initial_shapes(setup.algorithm, setup.key, setup.plan.num_updates)
    return setup, restore(run / "checkpoints", template, step).state


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
