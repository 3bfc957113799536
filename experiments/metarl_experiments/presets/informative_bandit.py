"""Eleven arms of which one informs (Wang et al. 2016, section 3.1), 5 pulls."""

from metarl_jax.experiment.experiment import Experiment, FamilyAt
from metarl_jax.experiment.settings import Budget, Settings
from metarl_jax.learning.settings import A2C, Adam, Discounting
from metarl_jax.memory.settings import GRU

# The arm that informs pays least until what it tells can be used. With less entropy, or with few
# updates of many tasks, it was given up before, and the others searched one by one, which earns 11.
# A GRU came to 20.4 of 20.55 in 5 M steps.
bandit_eleven = Experiment(
    name="bandit_eleven",
    kind="bandits",
    summary="11 arms, one tells which pays most",
    meta_episode=(5, 1),
    family=FamilyAt("metarl_envs.informative_bandit:informative_bandit"),
    settings=Settings(
        memory=GRU(hidden_size=64),
        algorithm=A2C(gae_lambda=(0.3, 0.95), entropy_coefficient=(0.5, 0.5, 0.0)),
        optimizer=Adam(learning_rate=(3e-3, 1e-4)),
        discounting=Discounting(discount=(1.0,)),
        budget=Budget(num_tasks=128, total_steps=10_000_000),
    ),
    variants={"ppo": {"optimizer.learning_rate": (1e-3, 1e-4)}},
)
