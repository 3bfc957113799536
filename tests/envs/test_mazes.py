"""Mazes: every cell reachable, by breadth-first search; the law of their walls; no two alike."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs import mazes
from metarl_envs import mouse as mouse_module
from metarl_envs.mouse import MouseTask, mouse
from support.mouse_oracle import MOVES, barred_ways, family, moved


@pytest.fixture(scope="module")
def ten_thousand_walls() -> np.ndarray:
    """[10,000, 2, 7, 7] bool, the walls of independent tasks of the default family."""
    return np.asarray(family("both")[1].walls)


def reached_cells(walls: np.ndarray) -> np.ndarray:
    """[N, S²] bool: cells that moves in the environment lead to, by breadth-first search."""
    size = walls.shape[-1]
    environment = mouse(size=size).environment
    x, y = jnp.arange(size**2) % size, jnp.arange(size**2) // size
    _, state = environment.reset_env(
        jax.random.key(0), MouseTask(jnp.int32(0), jnp.asarray(walls[0]))
    )

    def step(walls: jax.Array, x: jax.Array, y: jax.Array, action: jax.Array) -> jax.Array:
        task = MouseTask(jnp.int32(0), walls)
        beyond = environment.step_env(jax.random.key(0), state.replace(x=x, y=y), action, task)[1]
        return beyond.y * size + beyond.x

    per_move = jax.vmap(step, (None, None, None, 0))
    per_cell = jax.vmap(per_move, (None, 0, 0, None))
    per_maze = jax.jit(jax.vmap(per_cell, (0, None, None, None)))
    beyond = np.asarray(per_maze(jnp.asarray(walls), x, y, jnp.arange(4)))  # [N, S², 4]
    reached = np.zeros(beyond.shape[:2], bool)
    reached[:, size // 2] = True
    frontier = reached.copy()
    while frontier.any():
        maze, cell = np.nonzero(frontier)
        seen = reached.copy()
        reached[np.repeat(maze, 4), beyond[maze, cell].ravel()] = True
        frontier = reached & ~seen
    return reached


def test_every_cell_of_ten_thousand_mazes_can_be_reached(ten_thousand_walls: np.ndarray) -> None:
    reached = reached_cells(ten_thousand_walls)
    assert reached.shape == (10_000, 49)
    assert reached.all()


def test_ten_thousand_mazes_are_all_different(ten_thousand_walls: np.ndarray) -> None:
    assert len({maze.tobytes() for maze in ten_thousand_walls}) == 10_000


def test_a_maze_opens_a_spanning_tree_and_a_fifth_of_the_rest(
    ten_thousand_walls: np.ndarray,
) -> None:
    inner = mazes.inner_walls(7)
    assert inner.sum() == 84
    assert ten_thousand_walls[:, ~inner].all(), "the edge of the grid is walled"
    extra = 84 - ten_thousand_walls[:, inner].sum(axis=1) - 48
    assert extra.min() >= 0
    standard_error = np.sqrt(36 * 0.2 * 0.8 / 10_000)
    assert abs(extra.mean() - 36 * 0.2) < 4 * standard_error
    assert extra.var() == pytest.approx(36 * 0.2 * 0.8, rel=0.1)


def test_no_wall_is_likelier_than_its_mirror_image(ten_thousand_walls: np.ndarray) -> None:
    right = ten_thousand_walls[:, 0, :, :-1].mean(axis=0)  # [y, x]
    above = ten_thousand_walls[:, 1, :-1].mean(axis=0).T  # turned so that both are [line, gap]
    images = np.stack([right, right[::-1], right[:, ::-1], right[::-1, ::-1], above])
    assert np.ptp(images, axis=0).max() < 6 * np.sqrt(0.25 / 10_000)


def minimum_spanning_tree(order: np.ndarray) -> np.ndarray:
    """[2, S, S] bool: Kruskal's tree, by sets of cells."""
    size = order.shape[-1]
    tree = np.zeros(order.shape, bool)
    groups = [{(x, y)} for y in range(size) for x in range(size)]
    for flat in np.argsort(order, axis=None):
        side, y, x = np.unravel_index(flat, order.shape)
        beyond = (x + 1, y) if side == 0 else (x, y + 1)
        if max(beyond) == size:
            continue
        one = next(group for group in groups if (x, y) in group)
        other = next(group for group in groups if beyond in group)
        if one is not other:
            tree[side, y, x] = True
            groups.remove(other)
            one |= other
    return tree


@pytest.mark.parametrize("size", [2, 3, 7])
def test_the_spanning_tree_is_the_minimum_one(size: int) -> None:
    random = np.random.default_rng(0)
    orders = np.stack([random.permutation(2 * size**2).reshape(2, size, size) for _ in range(30)])
    trees = jax.jit(jax.vmap(mazes.spanning_tree))(jnp.asarray(orders, jnp.int32))
    np.testing.assert_array_equal(trees, [minimum_spanning_tree(order) for order in orders])


@pytest.mark.parametrize("size", [2, 7])
def test_without_extra_openings_a_maze_is_a_tree(size: int) -> None:
    keys = jax.random.split(jax.random.key(0), 200)
    make = jax.jit(jax.vmap(lambda key: mazes.random_walls(key, size, 0.0)))
    fresh = np.asarray(make(keys))
    fixed = np.stack([mazes.fixed_walls(seed, size, 0.0) for seed in range(200)])
    for walls in (fresh, fixed):
        assert np.all((~walls).sum(axis=(1, 2, 3)) == size**2 - 1)
        assert reached_cells(walls).all()


def test_shortest_paths_are_those_of_a_search_by_levels(ten_thousand_walls: np.ndarray) -> None:
    for walls in ten_thousand_walls[:40]:
        barred = barred_ways(walls)
        level, lengths, steps = {(3, 0)}, {}, 0
        while level:
            lengths |= dict.fromkeys(level, steps)
            level = {moved(7, barred, cell, move) for cell in level for move in MOVES} - set(
                lengths
            )
            steps += 1
        expected = [lengths[x, y] for y in range(7) for x in range(7)]
        assert mazes.shortest_path_lengths(walls, (3, 0)).tolist() == expected


def test_unreachable_cells_have_no_path() -> None:
    walls = np.ones((2, 3, 3), bool)
    walls[0, 0, 0] = False
    assert mazes.shortest_path_lengths(walls, (0, 0)).tolist() == [0, 1] + [-1] * 7


def drawn(walls: np.ndarray, marks: dict[tuple[int, int], str]) -> list[str]:
    """A maze in letters, the top row first."""
    size = walls.shape[1]
    lines = []
    for y in reversed(range(size)):
        lines.append("+" + "".join(("--" if walls[1, y, x] else "  ") + "+" for x in range(size)))
        cells = (
            marks.get((x, y), " ") + " " + ("|" if walls[0, y, x] else " ") for x in range(size)
        )
        lines.append("|" + "".join(cells))
    return [*lines, "+" + "--+" * size]


def test_the_blocks_are_those_drawn_in_the_module() -> None:
    tasks = mouse(walls="blocks")
    assert tasks.all_tasks is not None
    walls = np.asarray(tasks.all_tasks().walls[0])
    free = mazes.shortest_path_lengths(walls, (3, 0)).reshape(7, 7) >= 0
    letters = [
        " ".join("S" if (x, y) == (3, 0) else ".#"[not free[y, x]] for x in range(7))
        for y in reversed(range(7))
    ]
    documented = [line.strip() for line in (mouse_module.__doc__ or "").splitlines()]
    assert documented[documented.index(letters[0]) :][:7] == letters


def test_blocks_can_be_searched_in_two_episodes_the_second_on_a_shortest_way() -> None:
    """What the module says of them, by trying every way of 28 steps that enters no cell twice."""
    tasks = mouse(walls="blocks")
    assert tasks.all_tasks is not None
    walls = np.asarray(tasks.all_tasks().walls[0])
    barred, lengths = barred_ways(walls), mazes.shortest_path_lengths(walls, (3, 0))
    beyond = {
        cell: [y * 7 + x for x, y in (moved(7, barred, (cell % 7, cell // 7), m) for m in MOVES)]
        for cell in np.flatnonzero(lengths >= 0).tolist()
    }

    def ways(way: tuple[int, ...], shortest: bool) -> Iterator[set[int]]:
        following = [c for c in beyond[way[-1]] if c not in way]
        if shortest:
            following = [c for c in following if lengths[c] == len(way)]
        if len(way) == 29 or not following:
            yield set(way)
        for cell in following if len(way) < 29 else []:
            yield from ways((*way, cell), shortest)

    seconds = list(ways((3,), shortest=True))
    firsts = [way for way in ways((3,), shortest=False) if len(way) == 29]
    assert max(len(first | second) - 1 for first in firsts for second in seconds) == 32


def test_the_fixed_maze_is_the_one_drawn_in_the_module() -> None:
    tasks = mouse(walls="fixed")
    assert tasks.all_tasks is not None
    walls = np.asarray(tasks.all_tasks().walls)
    assert np.all(walls == walls[0])
    picture = drawn(walls[0], {(3, 0): "S", (3, 6): "C"})
    documented = [line.strip() for line in (mouse_module.__doc__ or "").splitlines()]
    assert documented[-len(picture) :] == picture
    assert mazes.shortest_path_lengths(walls[0], (3, 0)).max() <= 28
