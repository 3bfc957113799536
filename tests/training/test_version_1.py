"""Folders of version 0.1: their flat settings are read as the tree they mean, or refused."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from metarl_experiments.runs import create_run
from metarl_jax.experiment.run_config import RunConfig, load_config
from metarl_jax.experiment.settings import Budget, EvaluationSettings, Settings
from metarl_jax.learning.settings import A2C, PPO, Adam, Discounting
from metarl_jax.memory.settings import GRU, SNAIL
from metarl_jax.policy.settings import Adaptive, Contextual, Memoryless
from metarl_jax.types import ConfigurationError

FLAT: dict[str, Any] = {
    "policy": "recurrent",
    "memory": "gru",
    "hidden_size": 64,
    "num_layers": None,
    "window": None,
    "num_heads": 4,
    "gated_residuals": False,
    "episode_positions": False,
    "aggregation": "mean",
    "embedding_size": 64,
    "head": "plain",
    "head_sizes": [],
    "initial_log_std": -0.5,
    "precision": "f32",
    "algorithm": "a2c",
    "num_tasks": 256,
    "task_chunk": None,
    "total_steps": 10_000_000,
    "meta_episode_steps": None,
    "discount_mode": "meta",
    "normalize_observations": False,
    "learning_rate": [3e-3, 3e-4],
    "discount": [0.99],
    "boundary_discount": [0.99],
    "gae_lambda": [0.95],
    "entropy_coefficient": [0.03, 0.0],
    "value_coefficient": [0.5],
    "max_gradient_norm": [0.5],
    "clip_ratio": [0.2],
    "windows": 1,
    "epochs": 4,
    "minibatches": 4,
    "seed": 7,
    "num_seeds": 1,
    "num_evaluations": 20,
    "evaluation_tasks": 256,
    "final_evaluation_tasks": 20_000,
}
"""What version 0.1 wrote of goal_grid_3."""
TREE = Settings(
    memory=GRU(hidden_size=64),
    algorithm=A2C(entropy_coefficient=(0.03, 0.0)),
    optimizer=Adam(learning_rate=(3e-3, 3e-4)),
    budget=Budget(seed=7),
    evaluation=EvaluationSettings(final_evaluation_tasks=20_000),
)


def folder_of(folder: Path, **changes: Any) -> Path:
    config = {"experiment": "goal_grid_3", "family": {"size": 3}, "sweep": {}}
    (folder / "config.json").write_text(json.dumps(config | {"settings": FLAT | changes}))
    return folder


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"policy": "contextual", "head_sizes": [32]}, {"policy": Contextual(head_sizes=(32,))}),
        ({"policy": "memoryless"}, {"policy": Memoryless(), "memory": None}),
        ({"windows": 4}, {"algorithm": A2C(entropy_coefficient=(0.03, 0.0), bptt_segments=4)}),
        (
            {"algorithm": "ppo", "epochs": 2},
            {"algorithm": PPO(entropy_coefficient=(0.03, 0.0), epochs=2)},
        ),
        (
            {"memory": "snail", "window": 9, "num_layers": 1},
            {"memory": SNAIL(hidden_size=64, context_length=9, num_layers=1)},
        ),
        (
            {"discount_mode": "dual", "boundary_discount": [0.5]},
            {"discounting": Discounting(discount_mode="dual", boundary_discount=(0.5,))},
        ),
        (
            {"initial_log_std": -1.0, "normalize_observations": True},
            {"policy": Adaptive(initial_log_std=-1.0, normalize_observations=True)},
        ),
    ],
)
def test_flat_settings_are_the_tree_they_mean(
    changes: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    config = load_config(folder_of(tmp_path, **changes))
    assert config.settings == dataclasses.replace(TREE, **expected)
    assert (config.experiment, config.family) == ("goal_grid_3", {"size": 3})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"memory": "elephant"}, "memory must be one of gru, .*, got 'elephant'"),
        ({"hidden_size": "many"}, "hidden_size must be a whole number, got 'many'"),
        ({"learning_rate": [2.0]}, "learning_rate must be"),
    ],
)
def test_what_was_edited_is_refused_by_name(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        load_config(folder_of(tmp_path, **changes))


def test_a_newer_format_is_refused_by_its_number(tmp_path: Path) -> None:
    config = {"format": 3, "experiment": "goal_grid_3", "family": {}, "settings": {}, "sweep": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigurationError, match="of format 2, got 3; .* install that one"):
        load_config(tmp_path)


def test_settings_that_came_later_have_the_values_of_before(tmp_path: Path) -> None:
    """A configuration of format 2 from before there were encoders and losses of one's own."""
    create_run(tmp_path / "run", RunConfig("bandit_10_5", {}, Settings()), [])
    place = tmp_path / "run" / "config.json"
    raw = json.loads(place.read_text())
    for name in ("encoder", "objective", "own_hyperparameters"):
        del raw["settings"][name]
    del raw["settings"]["algorithm"]["critic_sees_task"]
    del raw["settings"]["budget"]["schedule_steps"]
    del raw["settings"]["optimizer"]["name"]
    place.write_text(json.dumps(raw))
    assert load_config(tmp_path / "run").settings == Settings()
