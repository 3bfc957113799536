"""How a mouse searches: steps to the cheese, shortest ways, and searches that repeat another."""

import functools
from typing import Any

import numpy as np

from metarl_envs import mazes
from metarl_envs.grids import cell_number
from metarl_jax.tasks.measures import Measure, Values
from metarl_jax.types import Array, PyTree, StepOutcome, Task


def search_measure(size: int, start: tuple[int, int], num_episodes: int) -> Measure:
    """Measures the search in every episode.

    Args:
        size: S, cells along each side.
        start: (x, y) of the cell each episode starts in.
        num_episodes: E.
    """

    def keep(task: Task, action: Array, outcome: StepOutcome) -> PyTree:
        del task, action
        return {
            "episode": outcome.episode,
            "valid": outcome.valid,
            "found": outcome.terminated,
            "cell": cell_number(outcome.next_state, size),
        }

    return Measure(keep, functools.partial(_summarize, size, start, num_episodes))


def shortest_path_lengths(start: tuple[int, int], tasks: Any) -> np.ndarray:
    """[N] int64: steps on a shortest way from the start to the cheese of N stacked tasks."""
    pairs = zip(np.asarray(tasks.cheese), np.asarray(tasks.walls), strict=True)
    return np.array([mazes.shortest_path_lengths(walls, start)[cheese] for cheese, walls in pairs])


def _summarize(
    size: int, start: tuple[int, int], num_episodes: int, task: Task, kept: Any
) -> Values:
    """Steps to the cheese (H where it was not found), and whether they were a shortest way."""
    inside = [kept["valid"] & (kept["episode"] == e) for e in range(num_episodes)]
    steps = np.stack([rows.sum(axis=0) for rows in inside])  # [E, B]
    found = np.stack([(kept["found"] & rows).any(axis=0) for rows in inside])
    shortest = shortest_path_lengths(start, task)
    values = {
        "success_rate": found.mean(axis=1).tolist(),
        "mean_steps_to_cheese": steps.mean(axis=1).tolist(),
        "shortest_path_rate": (found & (steps == shortest)).mean(axis=1).tolist(),
    }
    if num_episodes > 1:
        known_empty = {start[1] * size + start[0]}
        repeats = [
            set(kept["cell"][inside[1][:, b], b])
            <= known_empty | set(kept["cell"][inside[0][:, b], b])
            for b in np.flatnonzero(~found[0]).tolist()
        ]
        values["fruitless_repeat_rate"] = float(np.mean(repeats)) if repeats else 0.0
    return values
