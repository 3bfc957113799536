"""Learning: returns, losses, schedules, the gradient step and the algorithms."""

from metarl_jax.learning.algorithms import (
    a2c,
    a2c_objective,
    ppo,
    ppo_objective,
    reinforce,
    reinforce_objective,
)
from metarl_jax.learning.losses import (
    Loss,
    Shapes,
    as_loss,
    clipped_policy_gradient,
    entropy_bonus,
    policy_gradient,
    value_error,
)
from metarl_jax.learning.optimizers import Optimizer, adam, adamw, muon, rmsprop, sgd
from metarl_jax.learning.population import population
from metarl_jax.learning.returns import discounts, generalized_advantages
from metarl_jax.learning.schedules import Hyperparameters, hyperparameters
from metarl_jax.learning.settings import (
    A2C,
    PPO,
    SGD,
    Adam,
    AdamW,
    Discounting,
    Muon,
    Reinforce,
    RMSProp,
)
from metarl_jax.learning.train_state import Algorithm, LearnerState, TrainState, UpdateConfig

__all__ = [
    "A2C",
    "PPO",
    "SGD",
    "Adam",
    "AdamW",
    "Algorithm",
    "Discounting",
    "Hyperparameters",
    "LearnerState",
    "Loss",
    "Muon",
    "Optimizer",
    "RMSProp",
    "Reinforce",
    "Shapes",
    "TrainState",
    "UpdateConfig",
    "a2c",
    "a2c_objective",
    "adam",
    "adamw",
    "as_loss",
    "clipped_policy_gradient",
    "discounts",
    "entropy_bonus",
    "generalized_advantages",
    "hyperparameters",
    "muon",
    "policy_gradient",
    "population",
    "ppo",
    "ppo_objective",
    "reinforce",
    "reinforce_objective",
    "rmsprop",
    "sgd",
    "value_error",
]
