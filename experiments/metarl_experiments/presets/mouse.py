"""The mouse and its cheese: the worked example of meta-learning to explore, in four sizes."""

import dataclasses

from metarl_envs.mouse import mouse
from metarl_jax.experiment import Experiment, Settings

_SETTINGS = Settings(
    num_tasks=128,
    total_steps=20_000_000,
    learning_rate=(2e-3, 2e-4),
    discount=(0.97,),
    value_coefficient=(0.1,),
    entropy_coefficient=(0.08, 0.04, 0.0),
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
    settings=dataclasses.replace(_SETTINGS, hidden_size=64, num_tasks=256, total_steps=3_000_000),
)

mouse_cheese = Experiment(
    name="mouse_cheese",
    summary="7×7, fixed walls, the cheese on any free cell",
    family=mouse,
    arguments={"walls": "blocks", "cheese": "anywhere"},
    settings=_SETTINGS,
)

mouse_walls = Experiment(
    name="mouse_walls",
    summary="7×7, a fresh random maze, the cheese at a known place",
    family=mouse,
    arguments={"walls": "random", "cheese": "fixed"},
    settings=_SETTINGS,
)

mouse_both = Experiment(
    name="mouse_both",
    summary="7×7, a fresh random maze and the cheese anywhere",
    family=mouse,
    arguments={"walls": "random", "cheese": "anywhere"},
    settings=_SETTINGS,
)
