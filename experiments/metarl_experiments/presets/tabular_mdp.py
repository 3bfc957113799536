"""Tabular MDPs of RL² (Duan et al. 2016, Table 2): n episodes of ten steps."""

from typing import Any

from metarl_envs.tabular_mdp import tabular_mdp
from metarl_jax.experiment import Experiment, Settings

_SETTINGS: dict[str, Any] = {
    "num_tasks": 128,
    "learning_rate": (2e-3, 1e-4),
    "discount": (0.9, 1.0),
    "gae_lambda": (0.3, 0.95),
    "entropy_coefficient": (0.03, 0.0),
    "hidden_size": 256,
    "final_evaluation_tasks": 5_000,
}


def _preset(episodes: int, **settings: Any) -> Experiment:
    return Experiment(
        name=f"tabular_mdp_{episodes}",
        summary=f"10 states, 5 actions, {episodes} episodes of 10 steps",
        family=tabular_mdp,
        arguments={"num_episodes": episodes},
        settings=Settings(**_SETTINGS | settings),
    )


tabular_mdp_10 = _preset(10, total_steps=100_000_000)
