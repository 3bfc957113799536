"""The settings that a task family starts from where nobody has chosen any."""

from metarl_jax.experiment.settings import Budget, EvaluationSettings, Settings
from metarl_jax.learning.settings import PPO, Adam, Discounting
from metarl_jax.memory.settings import GRU
from metarl_jax.policy.encoder import is_grid
from metarl_jax.policy.settings import Adaptive
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.spaces import Box, Space, bounds_of, leaves_of
from metarl_jax.types import ConfigurationError

MOST_TILES = 100
"""Whole numbers of a grid that can be larger than this are pixels."""
DISCRETE = Settings()
CONTINUOUS = Settings(
    policy=Adaptive(head_sizes=(64,), normalize_observations=True),
    memory=GRU(hidden_size=64),
    algorithm=PPO(gae_lambda=(0.9,), entropy_coefficient=(0.0,)),
    optimizer=Adam(learning_rate=(1e-3, 1e-4)),
    discounting=Discounting(discount=(0.97,)),
    budget=Budget(num_tasks=64),
    evaluation=EvaluationSettings(
        num_evaluations=10, evaluation_tasks=64, final_evaluation_tasks=256
    ),
)
"""Many gradient steps from small batches, and observations of unknown scale normalised."""


def settings_for(tasks: TaskDistribution) -> Settings:
    """`DISCRETE` or `CONTINUOUS`, as the actions of a task family are, with a fitting encoder.

    Args:
        tasks: p(M), of which one task's action space is read.
    """
    try:
        spec = tasks.specification
    except ConfigurationError:  # it is said, in words, when the family is checked
        return DISCRETE
    continuous = any(isinstance(leaf, Box) for _, leaf in leaves_of(spec.action))
    settings = CONTINUOUS if continuous else DISCRETE
    return settings.choose("encoder", _encoder_for(spec.observation))


def _encoder_for(observation: Space) -> str:
    """`cnn` where an observation holds pixels, `grid` where it holds a grid of whole numbers."""
    grids = [leaf for _, leaf in leaves_of(observation) if is_grid(leaf)]
    if any(bounds_of(leaf)[1].max() > MOST_TILES for leaf in grids):
        return "cnn"
    return "grid" if grids else "flat"
