"""An open grid with a hidden goal cell: search once, then walk straight there.

Reference:
    Zintgraf, Shiarlis, Igl, Schulze, Gal, Hofmann, Whiteson (2020), "VariBAD: A Very Good Method
    for Bayes-Adaptive Deep RL via Meta-Learning", section 5.1 (its grid: size 5, episodes of 15
    steps, 4 of them, excluded_distance 1).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from metarl_envs import grids, mazes
from metarl_envs.grids import GridState
from metarl_envs.references.hidden_goal import HiddenGoal, search_references
from metarl_jax.checks import check_whole_number
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.scene import Scene
from metarl_jax.types import Array, ConfigurationError, Key

GOAL_REWARD = 1.0
STEP_REWARD = -0.1
NUM_ACTIONS = 5


class GoalGridTask(struct.PyTreeNode):
    """What is hidden: where the goal is."""

    goal: Array  # [] int32, number of its cell


class GoalGrid(environment.Environment[Any, Any]):
    """Four moves and staying put; +1 for each step that ends on the goal, else -0.1.

    The edge stops a move. The agent starts in the lower left corner and sees its cell, one-hot.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def reset_env(self, key: Key, task: GoalGridTask) -> tuple[Array, GridState]:
        """Returns (observation [size²] float32, state in the corner); draws nothing."""
        del key, task
        corner = GridState(x=jnp.zeros((), jnp.int32), y=jnp.zeros((), jnp.int32))
        return self._observe(corner), corner

    def step_env(
        self, key: Key, state: GridState, action: Array, task: GoalGridTask
    ) -> tuple[Array, GridState, Array, Array, dict[str, Array]]:
        """Moves, then pays for the cell moved to."""
        del key
        columns, rows = grids.displacement(action)
        state = GridState(
            x=jnp.clip(state.x + columns, 0, self.size - 1),
            y=jnp.clip(state.y + rows, 0, self.size - 1),
        )
        found = grids.cell_number(state, self.size) == task.goal
        reward = jnp.where(found, jnp.float32(GOAL_REWARD), jnp.float32(STEP_REWARD))
        return self._observe(state), state, reward, jnp.zeros((), bool), {}

    def action_space(self, task: GoalGridTask) -> spaces.Discrete:
        """Up, right, down, left, stay."""
        del task
        return spaces.Discrete(NUM_ACTIONS)

    def observation_space(self, task: GoalGridTask) -> spaces.Box:
        """The agent's cell, one-hot."""
        del task
        return spaces.Box(0.0, 1.0, (self.size**2,), jnp.float32)

    def _observe(self, state: GridState) -> Array:
        return grids.one_hot_cell(grids.cell_number(state, self.size), self.size)


def goal_grid(
    *, size: int = 3, episode_length: int = 6, num_episodes: int = 4, excluded_distance: int = 0
) -> TaskDistribution:
    """An open grid with a hidden goal cell; +1 for each step that ends on it, else -0.1.

    Each episode starts in the lower left corner, and the goal stays where it is. Moves: up, right,
    down, left, stay.

    Args:
        size: cells along each side.
        episode_length: steps in an episode.
        num_episodes: episodes in a meta-episode.
        excluded_distance: no goal lies this near the start, in king's moves: 0 excludes the start
            alone, 1 its three neighbours too.

    Returns:
        The task distribution, with the goal uniform over the cells that are left.

    Raises:
        ConfigurationError: a count below its least, or no cell left for a goal.
    """
    check_whole_number("goal_grid", "size", size, at_least=2)
    check_whole_number("goal_grid", "episode_length", episode_length, at_least=1)
    check_whole_number("goal_grid", "num_episodes", num_episodes, at_least=1)
    check_whole_number("goal_grid", "excluded_distance", excluded_distance, at_least=0)
    if excluded_distance > size - 2:
        raise ConfigurationError(
            f"goal_grid: excluded_distance must be at most size - 2 = {size - 2}, so that a cell "
            f"is left for the goal, got {excluded_distance}; lower it or make the grid larger."
        )
    goals = _goal_cells(size, excluded_distance)
    problem = _problem(size, episode_length, num_episodes, excluded_distance)

    def sample(key: Key) -> GoalGridTask:
        return GoalGridTask(jax.random.choice(key, jnp.asarray(goals)))

    def scene(task: GoalGridTask, states: GridState) -> Scene:
        marks = (
            grids.cell_rectangle(0, size, "start"),
            grids.cell_rectangle(int(task.goal), size, "goal"),
        )
        return Scene(
            bounds=(0.0, 0.0, float(size), float(size)),
            shapes=grids.floor_rectangles(size) + marks,
            path=grids.path_through(states),
            task=f"goal in {grids.name_of_cell(int(task.goal), size)}",
            moves=grids.MOVES,
        )

    return TaskDistribution(
        name="goal_grid",
        environment=GoalGrid(size),
        sample=sample,
        describe=lambda task: grids.one_hot_cell(task.goal, size),
        episode_length=episode_length,
        num_episodes=num_episodes,
        ends_early=False,
        all_tasks=lambda: GoalGridTask(jnp.asarray(goals)),
        references=functools.cache(lambda: search_references(problem, lambda task: task.goal)),
        scene=scene,
    )


def _goal_cells(size: int, excluded_distance: int) -> np.ndarray:
    """[G] int32 numbers of the cells a goal may lie in, ascending."""
    y, x = np.divmod(np.arange(size * size, dtype=np.int32), size)
    return np.flatnonzero(np.maximum(x, y) > excluded_distance).astype(np.int32)


def _problem(
    size: int, episode_length: int, num_episodes: int, excluded_distance: int
) -> HiddenGoal:
    cells = np.arange(size * size)
    return HiddenGoal(
        moves=np.column_stack([mazes.moves(~mazes.inner_walls(size)), cells]),
        start=0,
        candidates=_goal_cells(size, excluded_distance),
        episode_length=episode_length,
        num_episodes=num_episodes,
        on_goal=GOAL_REWARD,
        off_goal=STEP_REWARD,
        ends=False,
    )
