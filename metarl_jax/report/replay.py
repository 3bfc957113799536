"""A replay: meta-episodes in a few meta-test tasks as plain data, for a page to move."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metarl_jax.report.behaviour import Recording, scenes_of
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.scene import Limbs, Scene, Shape

RANKS = {"best": 0.0, "upper quarter": 0.25, "median": 0.5, "lower quarter": 0.75, "worst": 1.0}
"""Which of the recorded tasks are shown: where they stand among all, by their return."""
DEAREST = ("median", "best", "worst", "upper quarter", "lower quarter")
"""The order in which they are given up where the page would become too large, from the last."""
MOST_BYTES = 2_500_000
DIGITS = 5
"""Significant digits of the largest number of an array; the others have as many decimals."""


def replay_data(
    tasks: TaskDistribution, recording: Recording, *, most_bytes: int = MOST_BYTES
) -> dict[str, Any]:
    """Some recorded meta-episodes, ranked by their total return.

    Args:
        tasks: p(M), with a `scene`.
        recording: of N tasks.
        most_bytes: of the JSON; tasks that do not fit are left out.

    Returns:
        `tasks`, a list from the best to the worst, and `recorded`, N. A task has a `rank`, what it
        is in words (`task`), its `total` return, its `episodes`, and its `stages`: what does not
        move, each written once; an episode names its stage by number.

    Raises:
        ConfigurationError: the family draws no scenes.
    """
    order = np.argsort(-recording.returns.sum(axis=1), kind="stable")
    chosen, left = {}, most_bytes
    for rank in DEAREST:
        task = int(order[round(RANKS[rank] * (len(order) - 1))])
        if any(task == other for other, _ in chosen.values()):
            continue  # fewer tasks than ranks
        data = _task_data(rank, scenes_of(tasks, recording, task), recording, task)
        size = len(json.dumps(data))
        if size <= left:
            chosen[rank], left = (task, data), left - size
    return {
        "recorded": len(order),
        "tasks": [chosen[rank][1] for rank in RANKS if rank in chosen],
    }


def _task_data(
    rank: str, scenes: Sequence[Scene], recording: Recording, task: int
) -> dict[str, Any]:
    stages: list[dict[str, Any]] = []
    episodes = []
    for number, scene in enumerate(scenes):
        stage = _stage_data(scene)
        if stage not in stages:
            stages.append(stage)
        steps = recording.episode[:, task] == number
        episodes.append(
            _episode_data(scene, recording.rewards[steps, task], recording.actions[steps, task])
            | {"stage": stages.index(stage)}
        )
    return {
        "rank": rank,
        "task": scenes[0].task,
        "total": float(recording.returns[task].sum()),
        "stages": stages,
        "episodes": episodes,
    }


def _stage_data(scene: Scene) -> dict[str, Any]:
    """What is the same in all of an episode's steps."""
    stage = {
        "bounds": scene.bounds and list(map(float, scene.bounds)),
        "shapes": list(map(_shape_data, scene.shapes)),
        "scale": scene.scale_bar and dataclasses.asdict(scene.scale_bar),
        "sight": scene.sight,
        "moves": None if scene.moves is None else rounded(scene.moves),
        "widths": None if scene.limbs is None else rounded(scene.limbs.widths),
        "choices": [{"name": c.name, "worth": rounded(np.array(c.worth))} for c in scene.choices],
        "unit": scene.unit,
    }
    return {name: value for name, value in stage.items() if value}


def _shape_data(shape: Shape) -> list[Any]:
    """Its kind, its role and its numbers, in their order."""
    values = dataclasses.asdict(shape)
    role = values.pop("role")
    return [type(shape).__name__.lower(), role, *rounded(np.array(list(values.values())))]


def _episode_data(scene: Scene, rewards: np.ndarray, actions: np.ndarray) -> dict[str, Any]:
    """What changes from step to step; of the actions those alone that are whole numbers."""
    episode: dict[str, Any] = {"rewards": rounded(rewards)}
    if np.issubdtype(actions.dtype, np.integer):
        episode["actions"] = actions.tolist()
    if scene.path is not None:
        episode["path"] = rounded(scene.path)
    if scene.limbs is not None:
        episode["limbs"] = _limbs_data(scene.limbs)
    if scene.markers:
        episode["markers"] = _rounded_each(scene.markers)
    if scene.series:
        episode["series"] = _rounded_each(scene.series)
    return episode


def _limbs_data(limbs: Limbs) -> list[list[float]]:
    """[h + 1, 4 K]: x, y of one end and of the other, rod after rod."""
    return rounded(limbs.ends.reshape(len(limbs.ends), -1))


def _rounded_each(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {name: rounded(array) for name, array in arrays.items()}


def rounded(array: np.ndarray) -> Any:
    """Nested lists of numbers with as many decimals as the largest deserves; null for no number.

    Args:
        array: of any shape.
    """
    array = np.asarray(array, np.float64)
    finite = np.isfinite(array)
    largest = np.max(np.abs(array), where=finite, initial=0.0)
    decimals = DIGITS - 1 - int(np.floor(np.log10(largest))) if largest > 0 else 0
    values = np.round(np.where(finite, array, 0.0), min(decimals, 12)) + 0.0  # no -0.0
    if finite.all():
        return values.tolist()
    with_gaps = values.astype(object)
    with_gaps[~finite] = None
    return with_gaps.tolist()
