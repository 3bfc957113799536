"""The first lines of a run: what is trained, on what, and for how long."""

from typing import Any

import jax
import numpy as np

from metarl_jax.experiment.build import Setup, longest_meta_episode, shorter_context
from metarl_jax.experiment.run_config import RunConfig


def run_header(config: RunConfig, setup: Setup) -> dict[str, str]:
    """What a run is about, a name and a text in each line.

    Args:
        config: of the run.
        setup: of the run.
    """
    settings, tasks = config.settings, setup.tasks
    shapes: Any = jax.eval_shape(setup.policy.init, jax.random.key(0))
    weights = sum(int(np.prod(x.shape)) for x in jax.tree.leaves(shapes.weights))
    size = getattr(settings.memory, "hidden_size", "")
    memory = f", {settings.memory_name} {size}".rstrip() if settings.memory_name else ""
    episodes = (
        settings.budget.meta_episode_steps or f"{tasks.num_episodes} × {tasks.episode_length}"
    )
    device = jax.devices()[0]
    agents = {"agents": _agents(config, setup)} if setup.is_population else {}
    looks_back = shorter_context(setup.policy, longest_meta_episode(tasks, settings))
    return {
        "task family": config.experiment,
        **agents,
        "policy": f"{settings.policy.name}{memory}, {weights:,} parameters",
        **({"context": looks_back} if looks_back else {}),
        "algorithm": settings.algorithm.name,
        "training": f"{setup.plan.num_updates:,} updates of {settings.budget.num_tasks} tasks × "
        f"{episodes} = {setup.algorithm.steps_per_update:,} steps",
        **processes(),
        "device": f"{setup.num_devices} × {device.device_kind} ({device.platform}), "
        f"{settings.policy.precision}",
    }


def processes() -> dict[str, str]:
    """Which of several processes this is; nothing of one alone."""
    if jax.process_count() == 1:
        return {}
    own, every = jax.local_device_count(), jax.device_count()
    counted = f"{jax.process_index()} of {jax.process_count()}"
    return {"process": f"{counted}, {own} devices here and {every} in all"}


def _agents(config: RunConfig, setup: Setup) -> str:
    seeds = f"{config.settings.budget.num_seeds} seeds" * (config.settings.budget.num_seeds > 1)
    swept = [f"{len(values)} values of {name}" for name, values in config.sweep.items()]
    return f"{len(setup.agents)} in one program: {' × '.join([*swept, *filter(None, [seeds])])}"
