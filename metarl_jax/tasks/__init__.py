"""Tasks: p(M), environments, meta-episodes, scenes, measures and the conformance check."""

from metarl_jax.tasks.conformance import check_task_distribution
from metarl_jax.tasks.distribution import (
    Environment,
    References,
    TaskDistribution,
)
from metarl_jax.tasks.interface import (
    Interface,
    interface_of,
    load_interface,
    write_interface,
)
from metarl_jax.tasks.measures import Measure
from metarl_jax.tasks.meta_episode import MetaEpisode, MetaState
from metarl_jax.tasks.scene import Choice, Limbs, Rectangle, Scene
from metarl_jax.tasks.specification import Specification

__all__ = [
    "Choice",
    "Environment",
    "Interface",
    "Limbs",
    "Measure",
    "MetaEpisode",
    "MetaState",
    "Rectangle",
    "References",
    "Scene",
    "Specification",
    "TaskDistribution",
    "check_task_distribution",
    "interface_of",
    "load_interface",
    "write_interface",
]
