"""Ten arms of which one is known (Norman and Clune 2023), 100 pulls."""

from metarl_jax.experiment.experiment import Experiment, FamilyAt
from metarl_jax.experiment.settings import Budget, Settings
from metarl_jax.learning.settings import A2C, Adam, Discounting

# Settled on the known arm, a policy earns 50 and sees nothing better: much entropy, for long, and
# credit that is long enough from the start for a first look to pay. A GRU of 64 units came to 74 in
# 6 M steps, and was still learning.
bandit_deceptive = Experiment(
    name="bandit_deceptive",
    kind="bandits",
    summary="10 arms, one known to be above average",
    meta_episode=(100, 1),
    family=FamilyAt("metarl_envs.deceptive_bandit:deceptive_bandit"),
    settings=Settings(
        algorithm=A2C(gae_lambda=(0.5, 0.95), entropy_coefficient=(0.2, 0.05, 0.0)),
        optimizer=Adam(learning_rate=(2e-3, 1e-4)),
        discounting=Discounting(discount=(0.95, 1.0)),
        budget=Budget(num_tasks=64, total_steps=60_000_000),
    ),
    variants={"ppo": {"optimizer.learning_rate": (1e-3, 1e-4)}},
)
