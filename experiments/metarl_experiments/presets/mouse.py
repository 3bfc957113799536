"""The mouse and its cheese: the worked example of meta-learning to explore, in four sizes."""

from metarl_jax.experiment.experiment import Experiment, FamilyAt
from metarl_jax.experiment.settings import Budget, Settings
from metarl_jax.learning.settings import A2C, Adam, Discounting
from metarl_jax.memory.settings import GRU

_SETTINGS = Settings(
    memory=GRU(hidden_size=64),
    algorithm=A2C(value_coefficient=(0.1,)),
    optimizer=Adam(learning_rate=(2e-3, 2e-4)),
    discounting=Discounting(discount=(0.97,)),
    budget=Budget(num_tasks=64),
)

mouse_lecture = Experiment(
    name="mouse_lecture",
    kind="grids and mazes",
    summary="3×3, two-step episodes: spread the search",
    meta_episode=(6, 2),
    minutes=0.13,
    family=FamilyAt("metarl_envs.mouse:mouse"),
    arguments={
        "size": 3,
        "walls": "none",
        "cheese": "near",
        "episode_length": 2,
        "num_episodes": 6,
        "step_cost": 0.0,
    },
    settings=_SETTINGS.change(
        {
            "budget.num_tasks": 256,
            "budget.total_steps": 3_000_000,
            "algorithm.entropy_coefficient": (0.08, 0.04, 0.0),
        }
    ),
)

# Of 49 numbers that are 0 but for one, each is small; normalised, they are told apart sooner.
_LARGE = _SETTINGS.change(
    {
        "policy.normalize_observations": True,
    }
)

# With an entropy coefficient from 0.05 the mouse kept to the first way it had found: 81% shortest.
mouse_cheese = Experiment(
    name="mouse_cheese",
    kind="grids and mazes",
    summary="7×7, fixed walls, cheese on any free cell",
    meta_episode=(3, 28),
    minutes=0.98,
    family=FamilyAt("metarl_envs.mouse:mouse"),
    arguments={"walls": "blocks", "cheese": "anywhere"},
    settings=_LARGE.change(
        {
            "budget.total_steps": 30_000_000,
            "algorithm.entropy_coefficient": (0.15, 0.08, 0.0),
        }
    ),
)

# With 64 units and 70 M steps: 62% of episode 1's steps in episode 3.
_MAZE = _LARGE.change(
    {
        "memory.hidden_size": 128,
        "budget.total_steps": 64_000_000,
        "policy.head_sizes": (64,),
        "algorithm.entropy_coefficient": (0.03, 0.01, 0.0),
    }
)

mouse_walls = Experiment(
    name="mouse_walls",
    kind="grids and mazes",
    summary="7×7, random walls, cheese at a known place",
    meta_episode=(3, 28),
    family=FamilyAt("metarl_envs.mouse:mouse"),
    arguments={"walls": "random", "cheese": "fixed"},
    settings=_MAZE,
)

# The mouse sees the walls around it. Where it did not (--family.no-sees-walls), it still took 77%
# of episode 1's steps in episode 3 after 60 M steps of training.
mouse_both = Experiment(
    name="mouse_both",
    kind="grids and mazes",
    summary="7×7, random walls in sight, hidden cheese",
    meta_episode=(3, 28),
    minutes=9.3,
    family=FamilyAt("metarl_envs.mouse:mouse"),
    arguments={"walls": "random", "cheese": "anywhere", "sees_walls": True},
    settings=_MAZE,
)
