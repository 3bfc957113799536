"""Random tabular MDPs of RL² (Duan et al. 2016, Table 2): n episodes of ten steps."""

from typing import Any

from metarl_jax.experiment.experiment import Experiment, FamilyAt
from metarl_jax.experiment.settings import Settings
from metarl_jax.memory.settings import ContextSet

# A product of Gaussians can hold what a Bayesian would of each mean reward, and a generated network
# look it up by the state: in 50 M steps that came to 155 of 10 episodes, a GRU in 100 M to 144.
# Without much entropy it is too soon sure of the first action that paid.
_SETTINGS: dict[str, Any] = {
    "memory": ContextSet(aggregation="gaussians"),
    "policy.head": "hypernetwork",
    "budget.num_tasks": 64,
    "budget.total_steps": 75_000_000,
    "optimizer.learning_rate": (2e-3, 1e-3, 5e-5),
    "discounting.discount": (0.5, 0.9, 1.0),
    "algorithm.gae_lambda": (0.3, 0.6, 0.9),
    "algorithm.entropy_coefficient": (0.2, 0.05, 0.0),
    "evaluation.final_evaluation_tasks": 20_000,
}


_MINUTES = {10: 10.0}


def _preset(episodes: int) -> Experiment:
    return Experiment(
        name=f"tabular_mdp_{episodes}",
        kind="tabular MDPs",
        summary="10 states, 5 actions, dynamics unknown",
        meta_episode=(episodes, 10),
        minutes=_MINUTES.get(episodes),
        family=FamilyAt("metarl_envs.tabular_mdp:tabular_mdp"),
        arguments={"num_episodes": episodes},
        settings=Settings().change(_SETTINGS),
        variants={"ppo": {"optimizer.learning_rate": (1e-3, 1e-4)}},
    )


tabular_mdp_10 = _preset(10)
tabular_mdp_25 = _preset(25)
tabular_mdp_50 = _preset(50)
tabular_mdp_75 = _preset(75)
tabular_mdp_100 = _preset(100)
