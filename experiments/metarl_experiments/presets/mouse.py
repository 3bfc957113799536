"""The mouse and its cheese: the worked example of meta-learning to explore, in four sizes."""

import dataclasses

from metarl_envs.mouse import mouse
from metarl_jax.experiment.experiment import Experiment
from metarl_jax.experiment.settings import Settings

_SETTINGS = Settings(
    hidden_size=64,
    num_tasks=64,
    learning_rate=(2e-3, 2e-4),
    discount=(0.97,),
    value_coefficient=(0.1,),
)

mouse_lecture = Experiment(
    name="mouse_lecture",
    summary="3×3, two steps an episode: the search must be spread over episodes",
    family=mouse,
    arguments={
        "size": 3,
        "walls": "none",
        "cheese": "near",
        "episode_length": 2,
        "num_episodes": 6,
        "step_cost": 0.0,
    },
    settings=dataclasses.replace(
        _SETTINGS,
        num_tasks=256,
        total_steps=3_000_000,
        entropy_coefficient=(0.08, 0.04, 0.0),
    ),
)

# Of 49 numbers that are 0 but for one, each is small; normalised, they are told apart sooner.
_LARGE = dataclasses.replace(_SETTINGS, normalize_observations=True)

# With an entropy coefficient from 0.05 the mouse kept to the first way it had found: 81% shortest.
mouse_cheese = Experiment(
    name="mouse_cheese",
    summary="7×7, fixed walls, the cheese on any free cell",
    family=mouse,
    arguments={"walls": "blocks", "cheese": "anywhere"},
    settings=dataclasses.replace(
        _LARGE, total_steps=30_000_000, entropy_coefficient=(0.15, 0.08, 0.0)
    ),
)

# With 64 units and 70 M steps: 62% of episode 1's steps in episode 3.
_MAZE = dataclasses.replace(
    _LARGE,
    hidden_size=128,
    total_steps=64_000_000,
    head_sizes=(64,),
    entropy_coefficient=(0.03, 0.01, 0.0),
)

mouse_walls = Experiment(
    name="mouse_walls",
    summary="7×7, a fresh random maze, the cheese at a known place",
    family=mouse,
    arguments={"walls": "random", "cheese": "fixed"},
    settings=_MAZE,
)

# The mouse sees the walls around it. Where it did not (--family.no-sees-walls), it still took 77%
# of episode 1's steps in episode 3 after 60 M steps of training.
mouse_both = Experiment(
    name="mouse_both",
    summary="7×7, a fresh random maze, seen from within, and the cheese anywhere",
    family=mouse,
    arguments={"walls": "random", "cheese": "anywhere", "sees_walls": True},
    settings=_MAZE,
)
