"""A mouse in a grid looks for a cheese: the task is where the cheese lies and where walls stand.

With short episodes and no walls an episode does not last to search the grid, and the search has to
be spread over episodes; in a maze seen by nobody before, the ways have to be learnt too.

Where walls="blocks" leaves the floor free (#: closed; start S), at size 7 alone: 32 cells besides
the start, 28 of which can be visited in 28 steps, and the rest on one shortest way after:

    . . . . . . .
    . # # # # # .
    . . . . . . .
    # # . # . # #
    . . . # . . .
    . # # # # # .
    . . . S . . .

The walls of walls="fixed" at size 7 (start S, the cheese of cheese="fixed" C):

    +--+--+--+--+--+--+--+
    |         C    |     |
    +--+  +  +  +--+  +--+
    |  |  |  |  |        |
    +  +  +  +  +  +  +--+
    |  |  |  |        |  |
    +  +--+  +--+--+  +  +
    |     |              |
    +  +  +  +  +  +--+  +
    |           |  |     |
    +  +  +  +--+  +  +  +
    |  |  |           |  |
    +  +--+  +  +  +  +  +
    |        |S |  |     |
    +--+--+--+--+--+--+--+
"""

import dataclasses
import functools
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from metarl_envs import grids, mazes
from metarl_envs.grids import GridState
from metarl_envs.mouse_search import search_measure
from metarl_envs.references.hidden_goal import HiddenGoal, search_references
from metarl_jax.checks import check_choice, check_number, check_whole_number
from metarl_jax.tasks.distribution import References, TaskDistribution
from metarl_jax.tasks.scene import Circle, Scene
from metarl_jax.types import Array, ConfigurationError, Key

Walls = Literal["none", "blocks", "fixed", "random"]
Cheese = Literal["near", "anywhere", "fixed"]
Start = Literal["bottom_middle", "corner"]

BLOCKS = """
. . . . . . .
. # # # # # .
. . . . . . .
# # . # . # #
. . . # . . .
. # # # # # .
. . . . . . .
"""
CHEESE_REWARD = 1.0
CHEESE_RADIUS = 0.34
"""How large the cheese is drawn, in cells."""
NUM_ACTIONS = 4


class MouseTask(struct.PyTreeNode):
    """What is hidden: where the cheese is and how one gets there."""

    cheese: Array  # [] int32, number of its cell
    walls: Array  # [2, S, S] bool, as in `mazes`


class Mouse(environment.Environment[Any, Any]):
    """Four moves; what is walled off, or outside, cannot be entered, and the mouse stays.

    Every step costs `step_cost`, the one that reaches the cheese too; that one pays 1 besides and
    ends the episode: cheese in d steps returns 1 - d·step_cost. The mouse sees its cell, one-hot,
    and with `sees_walls` whether up, right, down and left of it are barred.
    """

    def __init__(
        self, size: int, start: tuple[int, int], step_cost: float, sees_walls: bool
    ) -> None:
        self.size = size
        self.start = start
        self.step_cost = step_cost
        self.sees_walls = sees_walls

    def reset_env(self, key: Key, task: MouseTask) -> tuple[Array, GridState]:
        """Returns (observation [S²] or [S² + 4] float32, state at the start); draws nothing."""
        del key
        x, y = self.start
        state = GridState(x=jnp.full((), x, jnp.int32), y=jnp.full((), y, jnp.int32))
        return self._observe(state, task), state

    def step_env(
        self, key: Key, state: GridState, action: Array, task: MouseTask
    ) -> tuple[Array, GridState, Array, Array, dict[str, Array]]:
        """Moves where the way is free; terminates on the cheese."""
        del key
        columns, rows = grids.displacement(action)
        stays = mazes.walled(task.walls, state.x, state.y, action)
        state = GridState(
            x=jnp.where(stays, state.x, state.x + columns),
            y=jnp.where(stays, state.y, state.y + rows),
        )
        found = grids.cell_number(state, self.size) == task.cheese
        reward = jnp.where(
            found, jnp.float32(CHEESE_REWARD - self.step_cost), jnp.float32(-self.step_cost)
        )
        return self._observe(state, task), state, reward, found, {}

    def action_space(self, task: MouseTask) -> spaces.Discrete:
        """Up, right, down, left."""
        del task
        return spaces.Discrete(NUM_ACTIONS)

    def observation_space(self, task: MouseTask) -> spaces.Box:
        """The mouse's cell, one-hot, and with `sees_walls` the four walls around it."""
        del task
        size = self.size**2 + (NUM_ACTIONS if self.sees_walls else 0)
        return spaces.Box(0.0, 1.0, (size,), jnp.float32)

    def _observe(self, state: GridState, task: MouseTask) -> Array:
        cell = grids.one_hot_cell(grids.cell_number(state, self.size), self.size)
        if not self.sees_walls:
            return cell
        moves = jnp.arange(NUM_ACTIONS, dtype=jnp.int32)
        around = jax.vmap(mazes.walled, in_axes=(None, None, None, 0))(
            task.walls, state.x, state.y, moves
        )
        return jnp.concatenate([cell, around.astype(jnp.float32)])


def mouse(
    *,
    size: int = 7,
    walls: Walls = "random",
    cheese: Cheese = "anywhere",
    start: Start = "bottom_middle",
    episode_length: int = 28,
    num_episodes: int = 3,
    step_cost: float = 0.01,
    sees_walls: bool = False,
    extra_openings: float = 0.2,
    maze_seed: int = 0,
) -> TaskDistribution:
    """A mouse in a grid that finds a hidden cheese, and finds it sooner the next time.

    Four moves: up, right, down, left; bumping does not move it. Reaching the cheese pays 1 and ends
    the episode; every step, that one too, costs `step_cost`.

    Args:
        size: cells along each side.
        walls: none; blocks, the plan drawn in this module; fixed, the same maze always (that of
            `maze_seed`); or random, a fresh maze in each task.
        cheese: near, on any cell that an episode is long enough to reach; anywhere, on any free
            cell but the start; or fixed, on the cell opposite the start, across the centre.
        start: where each episode starts: the middle of the bottom row, or the lower left corner.
        episode_length: steps in an episode.
        num_episodes: episodes in a meta-episode.
        step_cost: what a step costs.
        sees_walls: whether the mouse sees the four walls around it besides its cell.
        extra_openings: share of a maze's openings outside its spanning tree that are open too.
        maze_seed: which maze the fixed walls are.

    Returns:
        The task distribution, uniform over the cheese's cells. It describes to the contextual
        policy what differs between tasks: the cheese, one-hot, and the walls.

    Raises:
        ConfigurationError: an argument out of its range, cheese near within random walls, or blocks
            in a grid of another size than 7.
    """
    check_whole_number("mouse", "size", size, at_least=2)
    check_whole_number("mouse", "episode_length", episode_length, at_least=1)
    check_whole_number("mouse", "num_episodes", num_episodes, at_least=1)
    check_number("mouse", "step_cost", step_cost, at_least=0.0, at_most=1.0)
    check_number("mouse", "extra_openings", extra_openings, at_least=0.0, at_most=1.0)
    check_whole_number("mouse", "maze_seed", maze_seed, at_least=0, at_most=2**32 - 1)
    check_choice("mouse", "walls", walls, get_args(Walls))
    check_choice("mouse", "cheese", cheese, get_args(Cheese))
    check_choice("mouse", "start", start, get_args(Start))
    start_cell = (size // 2, 0) if start == "bottom_middle" else (0, 0)
    same_walls = _same_walls(walls, size, maze_seed, extra_openings)
    cheeses = _cheese_cells(cheese, size, start_cell, same_walls, episode_length)
    layout = _Layout(size, start_cell, cheeses, same_walls, extra_openings)
    return TaskDistribution(
        name="mouse",
        environment=Mouse(size, start_cell, step_cost, sees_walls),
        sample=layout.sample,
        describe=layout.describe,
        episode_length=episode_length,
        num_episodes=num_episodes,
        ends_early=True,
        all_tasks=None if same_walls is None else layout.all_tasks,
        references=functools.cache(
            lambda: _references(layout, episode_length, num_episodes, step_cost)
        ),
        scene=layout.scene,
        measures=(search_measure(size, start_cell, num_episodes),),
    )


@dataclasses.dataclass(frozen=True)
class _Layout:
    """What the tasks of one distribution have in common.

    Attributes:
        size: S, cells along each side.
        start: (x, y) of the cell each episode starts in.
        cheeses: [N] int32, numbers of the cells the cheese may lie in.
        same_walls: [2, S, S] bool, the walls of every task; None where each task has its own.
        extra_openings: the share of extra openings in a task's own walls.
    """

    size: int
    start: tuple[int, int]
    cheeses: np.ndarray
    same_walls: np.ndarray | None
    extra_openings: float

    def sample(self, key: Key) -> MouseTask:
        """p(M): the cheese uniform over its cells, and a maze where each task has its own."""
        cheese_key, walls_key = jax.random.split(key)
        if self.same_walls is None:
            walls = mazes.random_walls(walls_key, self.size, self.extra_openings)
        else:
            walls = jnp.asarray(self.same_walls)
        cheese = jax.random.choice(cheese_key, jnp.asarray(self.cheeses))
        return MouseTask(cheese=cheese, walls=walls)

    def all_tasks(self) -> MouseTask:
        """Every task, stacked, where the walls are the same in all."""
        assert self.same_walls is not None
        walls = np.stack([self.same_walls] * len(self.cheeses))
        return MouseTask(cheese=jnp.asarray(self.cheeses), walls=jnp.asarray(walls))

    def describe(self, task: MouseTask) -> Array:
        """[C] float32: what differs between tasks of the cheese, one-hot, and the inner walls."""
        parts = [jnp.zeros((0,), jnp.float32)]
        if len(self.cheeses) > 1:
            parts.append(grids.one_hot_cell(task.cheese, self.size))
        if self.same_walls is None:
            inner = np.flatnonzero(mazes.inner_walls(self.size))
            parts.append(task.walls.ravel()[inner].astype(jnp.float32))
        return jnp.concatenate(parts)

    def scene(self, task: MouseTask, states: GridState) -> Scene:
        """The floor, the start, the cheese, the walls, and the way the mouse took."""
        margin = mazes.WALL_THICKNESS / 2
        x, y = self.start
        floor = grids.floor_rectangles(self.size)
        start = grids.cell_rectangle(y * self.size + x, self.size, "start")
        row, column = divmod(int(task.cheese), self.size)
        cheese = Circle(column + 0.5, row + 0.5, CHEESE_RADIUS, "goal")
        return Scene(
            bounds=(-margin, -margin, self.size + margin, self.size + margin),
            shapes=(*floor, start, cheese, *mazes.wall_rectangles(np.asarray(task.walls))),
            path=grids.path_through(states),
            task=f"cheese in {grids.name_of_cell(int(task.cheese), self.size)}",
            moves=grids.MOVES[:NUM_ACTIONS],
        )


def _same_walls(
    walls: Walls, size: int, maze_seed: int, extra_openings: float
) -> np.ndarray | None:
    """[2, S, S] bool, the walls of every task; None where each task has its own."""
    if walls == "random":
        return None
    if walls == "none":
        return ~mazes.inner_walls(size)
    if walls == "fixed":
        return mazes.fixed_walls(maze_seed, size, extra_openings)
    blocks = mazes.block_walls(BLOCKS)
    if size != blocks.shape[1]:
        raise ConfigurationError(
            f'mouse: walls="blocks" is a plan of size {blocks.shape[1]}, got size {size}; leave '
            'the size out, or take walls="fixed".'
        )
    return blocks


def _cheese_cells(
    cheese: Cheese,
    size: int,
    start: tuple[int, int],
    same_walls: np.ndarray | None,
    episode_length: int,
) -> np.ndarray:
    """[N] int32 numbers of the cells the cheese may lie in, ascending."""
    start_number = start[1] * size + start[0]
    if cheese == "fixed":
        return np.array([size**2 - 1 - start_number], np.int32)
    if same_walls is None and cheese == "near":
        raise ConfigurationError(
            'mouse: cheese="near" needs walls="none", "blocks" or "fixed", got "random", where '
            'each task has other cells near; take cheese="anywhere" or other walls.'
        )
    if same_walls is None:
        return np.delete(np.arange(size**2, dtype=np.int32), start_number)
    steps = mazes.shortest_path_lengths(same_walls, start)
    farthest = episode_length if cheese == "near" else steps.max()
    return np.flatnonzero((steps > 0) & (steps <= farthest)).astype(np.int32)


def _references(
    layout: _Layout, episode_length: int, num_episodes: int, step_cost: float
) -> References:
    """Exact values where the walls are the same in all tasks; none where they are hidden too."""
    if layout.same_walls is None:
        return References()
    x, y = layout.start
    problem = HiddenGoal(
        moves=mazes.moves(layout.same_walls),
        start=y * layout.size + x,
        candidates=layout.cheeses,
        episode_length=episode_length,
        num_episodes=num_episodes,
        on_goal=CHEESE_REWARD - step_cost,
        off_goal=-step_cost,
        ends=True,
    )
    return search_references(problem, lambda task: task.cheese)
