"""Half-cheetahs (MuJoCo) with a hidden velocity or direction."""

from metarl_jax.experiment.experiment import Experiment, FamilyAt
from metarl_jax.experiment.settings import Budget, EvaluationSettings, Settings
from metarl_jax.learning.settings import PPO, Adam, Discounting
from metarl_jax.memory.settings import GRU
from metarl_jax.policy.settings import Adaptive

# Many steps of Adam from small batches: PPO takes 16 from 64 tasks, A2C one a segment, of 32 tasks.
_A2C = {
    "budget.num_tasks": 32,
    "algorithm.bptt_segments": 4,
    "budget.total_steps": 16_000_000,
    "policy.initial_log_std": -0.5,
}

_SETTINGS = Settings(
    policy=Adaptive(head_sizes=(64,), normalize_observations=True),
    memory=GRU(hidden_size=64),
    algorithm=PPO(gae_lambda=(0.9,), entropy_coefficient=(0.0,)),
    optimizer=Adam(learning_rate=(1e-3, 1e-4)),
    discounting=Discounting(discount=(0.97,)),
    budget=Budget(num_tasks=64, total_steps=12_000_000),
    evaluation=EvaluationSettings(
        num_evaluations=10, evaluation_tasks=64, final_evaluation_tasks=256
    ),
)

cheetah_vel = Experiment(
    name="cheetah_vel",
    summary="half-cheetah, hidden target velocity 0 to 3 m/s",
    family=FamilyAt("metarl_envs.cheetah:cheetah_vel"),
    # -48 in episode 2 after 2.6 M steps instead of 5.1 M: twice the updates, and less noise.
    settings=_SETTINGS.change(
        {
            "budget.num_tasks": 32,
            "budget.total_steps": 8_000_000,
            "policy.initial_log_std": -1.0,
        }
    ),
    variants={"a2c": _A2C},
)

cheetah_vel_both_ways = Experiment(
    name="cheetah_vel_both_ways",
    summary="half-cheetah, hidden target velocity -3 to 3 m/s: forwards and backwards",
    family=FamilyAt("metarl_envs.cheetah:cheetah_vel"),
    arguments={"minimum_velocity": -3.0},
    settings=_SETTINGS,
    variants={"a2c": _A2C},
)

cheetah_dir = Experiment(
    name="cheetah_dir",
    summary="half-cheetah, hidden direction",
    family=FamilyAt("metarl_envs.cheetah:cheetah_dir"),
    settings=_SETTINGS,
    variants={"a2c": _A2C},
)
