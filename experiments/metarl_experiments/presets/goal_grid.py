"""Grids with a hidden goal: 3×3, and the 5×5 of VariBAD (Zintgraf et al. 2020, section 5.1)."""

from metarl_jax.experiment.experiment import Experiment, FamilyAt
from metarl_jax.experiment.settings import Budget, EvaluationSettings, Settings
from metarl_jax.learning.settings import A2C, Adam, Discounting
from metarl_jax.memory.settings import GRU

# Sooner sure, these memories settled on a search that visits a cell twice.
_SLOWLY = {"algorithm.entropy_coefficient": (0.08, 0.04, 0.0)}

goal_grid_3 = Experiment(
    name="goal_grid_3",
    kind="grids and mazes",
    summary="3×3, hidden goal: search, then go straight",
    meta_episode=(4, 6),
    minutes=0.25,
    family=FamilyAt("metarl_envs.goal_grid:goal_grid"),
    arguments={"size": 3, "episode_length": 6, "num_episodes": 4},
    settings=Settings(
        memory=GRU(hidden_size=64),
        algorithm=A2C(entropy_coefficient=(0.03, 0.0)),
        optimizer=Adam(learning_rate=(3e-3, 3e-4)),
        budget=Budget(num_tasks=256, total_steps=10_000_000),
        evaluation=EvaluationSettings(final_evaluation_tasks=20_000),
    ),
    variants={
        "ppo": {
            "optimizer.learning_rate": (2e-3, 2e-4),
            "algorithm.entropy_coefficient": (0.02, 0.0),
        },
        "linear-recurrence": {"optimizer.learning_rate": (2e-3, 2e-4)} | _SLOWLY,
        "context-set": {
            "memory.aggregation": "gaussians",
            "policy.head_sizes": (64,),
            "optimizer.learning_rate": (2e-3, 2e-4),
        }
        | _SLOWLY,
        "snail": _SLOWLY,
        "transformer": {"optimizer.learning_rate": (1e-3, 1e-4)} | _SLOWLY,
    },
)

# Many ways through the grid find the goal equally soon. The best of them leave their last seven
# cells on one shortest path, for episode 2; a policy that is certain too soon has settled on
# another. With a weight of 4 on the value error it hardly learned.
goal_grid_5 = Experiment(
    name="goal_grid_5",
    kind="grids and mazes",
    summary="5×5, hidden goal (VariBAD's)",
    meta_episode=(4, 15),
    minutes=1.1,
    family=FamilyAt("metarl_envs.goal_grid:goal_grid"),
    arguments={"size": 5, "episode_length": 15, "num_episodes": 4, "excluded_distance": 1},
    settings=Settings(
        memory=GRU(hidden_size=64),
        algorithm=A2C(value_coefficient=(0.1,), entropy_coefficient=(0.08, 0.04, 0.0)),
        optimizer=Adam(learning_rate=(2e-3, 2e-4)),
        discounting=Discounting(discount=(0.97,)),
        budget=Budget(num_tasks=128, total_steps=20_000_000),
    ),
    variants={
        "ppo": {
            "budget.num_tasks": 256,
            "algorithm.epochs": 2,
            "algorithm.entropy_coefficient": (0.15, 0.08, 0.0),
        }
    },
)
