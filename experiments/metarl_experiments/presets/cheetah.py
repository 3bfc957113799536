"""Half-cheetahs (MuJoCo) with a hidden velocity or direction."""

from metarl_jax.experiment.defaults import CONTINUOUS
from metarl_jax.experiment.experiment import Experiment, FamilyAt

# Many steps of Adam from small batches: PPO takes 16 from 64 tasks, A2C one a segment, of 32 tasks.
_A2C = {
    "budget.num_tasks": 32,
    "algorithm.bptt_segments": 4,
    "budget.total_steps": 16_000_000,
    "policy.initial_log_std": -0.5,
}

_SETTINGS = CONTINUOUS.change({"budget.total_steps": 12_000_000})

cheetah_vel = Experiment(
    name="cheetah_vel",
    kind="locomotion",
    summary="half-cheetah, hidden speed of 0 to 3 m/s",
    meta_episode=(2, 200),
    minutes=6.2,
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
    kind="locomotion",
    summary="half-cheetah, hidden speed of -3 to 3 m/s",
    meta_episode=(2, 200),
    family=FamilyAt("metarl_envs.cheetah:cheetah_vel"),
    arguments={"minimum_velocity": -3.0},
    settings=_SETTINGS,
    variants={"a2c": _A2C},
)

cheetah_dir = Experiment(
    name="cheetah_dir",
    kind="locomotion",
    summary="half-cheetah, hidden direction",
    meta_episode=(2, 200),
    family=FamilyAt("metarl_envs.cheetah:cheetah_dir"),
    settings=_SETTINGS,
    variants={"a2c": _A2C},
)
