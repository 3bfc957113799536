"""Eleven arms of which one informs (Wang et al. 2016, section 3.1), 5 pulls."""

from metarl_envs.informative_bandit import informative_bandit
from metarl_jax.experiment import Experiment, Settings

# The pull that informs pays only if what it tells is used: entropy for long, undiscounted credit.
bandit_eleven = Experiment(
    name="bandit_eleven",
    summary="11 arms, one of which tells which pays most, 5 pulls",
    family=informative_bandit,
    settings=Settings(
        num_tasks=1024,
        total_steps=20_000_000,
        learning_rate=(3e-3, 1e-4),
        discount=(1.0,),
        value_coefficient=(0.1,),
        entropy_coefficient=(0.1, 0.05, 0.0),
    ),
    variants={"ppo": {"learning_rate": (1e-3, 1e-4)}},
)
