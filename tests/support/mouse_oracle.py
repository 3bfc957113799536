"""The mouse's families as the tests take them, and its moves by a plain rule."""

from functools import cache
from itertools import product
from typing import Any

import jax
import numpy as np

from metarl_envs.grids import DOWN, LEFT, RIGHT, UP
from metarl_envs.mouse import MouseTask, mouse
from metarl_jax.tasks.distribution import TaskDistribution

MOVES = {UP: (0, 1), RIGHT: (1, 0), DOWN: (0, -1), LEFT: (-1, 0)}
LECTURE: dict[str, Any] = {
    "size": 3,
    "walls": "none",
    "cheese": "near",
    "episode_length": 2,
    "num_episodes": 6,
    "step_cost": 0.0,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "lecture": LECTURE,
    "cheese": {"walls": "blocks"},
    "maze": {"walls": "fixed"},
    "walls": {"cheese": "fixed"},
    "both": {},
    "both_seen": {"sees_walls": True},
    "corner": {"size": 4, "start": "corner", "cheese": "fixed", "sees_walls": True},
}


@cache
def family(name: str) -> tuple[TaskDistribution, MouseTask]:
    """A distribution and 10,000 independent tasks of it, stacked, as numpy arrays."""
    tasks = mouse(**FAMILIES[name])
    keys = jax.random.split(jax.random.key(0), 10_000)
    return tasks, jax.tree.map(np.asarray, jax.jit(jax.vmap(tasks.sample))(keys))


def first_tasks(name: str, count: int) -> MouseTask:
    """The first so many of a family's tasks."""
    return jax.tree.map(lambda leaf: leaf[:count], family(name)[1])


def barred_ways(walls: np.ndarray) -> set[frozenset[tuple[int, int]]]:
    """The pairs of neighbouring cells with a wall between them."""
    size = walls.shape[1]
    barred = set()
    for x, y in product(range(size), range(size)):
        if x + 1 < size and walls[0, y, x]:
            barred.add(frozenset({(x, y), (x + 1, y)}))
        if y + 1 < size and walls[1, y, x]:
            barred.add(frozenset({(x, y), (x, y + 1)}))
    return barred


def moved(
    size: int, barred: set[frozenset[tuple[int, int]]], cell: tuple[int, int], action: int
) -> tuple[int, int]:
    """Where a move leads, by a plain rule."""
    x, y = cell[0] + MOVES[action][0], cell[1] + MOVES[action][1]
    inside = 0 <= x < size and 0 <= y < size
    return (x, y) if inside and frozenset({cell, (x, y)}) not in barred else cell
