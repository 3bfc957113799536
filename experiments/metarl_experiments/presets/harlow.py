"""Harlow's task (after Wang et al. 2018), six trials."""

from metarl_jax.experiment.experiment import Experiment, FamilyAt
from metarl_jax.experiment.settings import Budget, Settings
from metarl_jax.learning.settings import A2C, Adam, Discounting
from metarl_jax.memory.settings import GRU

# To hold an object against another is a product of what was read before and what is read now;
# for all that, a GRU came to 6.12 of 6.2 in 5 M steps.
harlow = Experiment(
    name="harlow",
    kind="psychology",
    summary="Harlow's task: of two new objects one pays",
    meta_episode=(6, 4),
    family=FamilyAt("metarl_envs.harlow:harlow"),
    settings=Settings(
        memory=GRU(hidden_size=64),
        algorithm=A2C(entropy_coefficient=(0.05, 0.0)),
        optimizer=Adam(learning_rate=(2e-3, 1e-4)),
        discounting=Discounting(discount=(0.97,)),
        budget=Budget(num_tasks=128, total_steps=10_000_000),
    ),
    variants={"ppo": {"optimizer.learning_rate": (1e-3, 1e-4)}},
)
