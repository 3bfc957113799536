"""Mazes on a grid: walls between cells, every cell reachable; made on the device or on the host.

`walls` is [2, S, S] bool for a grid of S × S cells: walls[0, y, x] stands on the right of cell
(x, y), walls[1, y, x] above it. The right edge and the upper edge of the grid are walls always; the
left and the lower edge are the same ones, seen from behind: cell -1 is cell S-1.

A maze is the minimum spanning tree of the grid under a random order of its inner walls (Kruskal
1956: the tree depends on the order alone) with the walls on the tree taken out, and a share of the
others too, so that there are ways round.
"""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np

from metarl_envs.grids import DOWN, LEFT, UP
from metarl_jax.tasks.scene import Rectangle
from metarl_jax.types import Array, Key

WALL_THICKNESS = 0.12
"""How thick a wall is drawn, in cells."""


def inner_walls(size: int) -> np.ndarray:
    """[2, S, S] bool: what may be a wall or not; the rest is the grid's edge."""
    inner = np.ones((2, size, size), bool)
    inner[0, :, -1] = False
    inner[1, -1, :] = False
    return inner


def walled(walls: Array, x: Array, y: Array, move: Array) -> Array:
    """Whether a wall stops a move from cell (x, y).

    Args:
        walls: [2, S, S] bool.
        x: [] int32, the cell's column.
        y: [] int32, its row.
        move: [] int32, UP, RIGHT, DOWN or LEFT.

    Returns:
        [] bool.
    """
    upright = ((move == UP) | (move == DOWN)).astype(jnp.int32)
    # From the first column, left is column -1, the last one: its right side is the grid's edge.
    below, beside = (move == DOWN).astype(jnp.int32), (move == LEFT).astype(jnp.int32)
    return walls[upright, y - below, x - beside]


def random_walls(key: Key, size: int, extra_openings: float) -> Array:
    """A fresh maze, made on the device.

    Args:
        key: a typed key.
        size: S, cells along each side.
        extra_openings: probability that an inner wall off the spanning tree is taken out too.

    Returns:
        [2, S, S] bool.
    """
    order_key, extra_key = jax.random.split(key)
    inner = inner_walls(size)
    number = np.arange(inner.size, dtype=np.uint32)
    number_mask = np.uint32(2 ** int(inner.size).bit_length() - 1)
    # Random bits with the wall's number in the lowest ones: no two alike, and no sort needed. Drawn
    # flat: jax takes several times as long over as many bits in an array of rank 3.
    order = (jax.random.bits(order_key, number.shape, jnp.uint32) >> 1 & ~number_mask) | number
    extra = jax.random.bernoulli(extra_key, extra_openings, number.shape)
    tree = spanning_tree(order.astype(jnp.int32).reshape(inner.shape))
    return ~(tree | (extra.reshape(inner.shape) & inner))


def spanning_tree(order: Array) -> Array:
    """The minimum spanning tree of a grid, by Prim's algorithm in a fixed number of dense steps.

    From cell (0, 0) on, the first wall in `order` between a cell in the tree and one outside it
    is opened, S² - 1 times. No gather, no scatter, no sort: each step is a few operations on whole
    arrays, which `vmap` widens.

    Args:
        order: [2, S, S] int32, all different; its entries on the grid's edge do not count.

    Returns:
        [2, S, S] bool, True where the tree takes a wall out; S² - 1 of them, all inner ones.
    """
    size = order.shape[1]
    never = jnp.iinfo(jnp.int32).max
    order = jnp.where(inner_walls(size), order, never).reshape(2, size * size)

    def join_next(_: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        joined, tree = carry  # [S²] bool, [2, S²] bool
        frontier = jnp.stack([joined ^ jnp.roll(joined, -1), joined ^ jnp.roll(joined, -size)])
        rank = jnp.where(frontier, order, never)
        opened = rank == jnp.min(rank)
        beyond = jnp.roll(opened[0], 1) | jnp.roll(opened[1], size)
        return joined | opened[0] | opened[1] | beyond, tree | opened

    joined = jnp.zeros((size * size,), bool).at[0].set(True)
    tree = jnp.zeros(order.shape, bool)
    tree = jax.lax.fori_loop(0, size * size - 1, join_next, (joined, tree))[1]
    return tree.reshape(2, size, size)


def fixed_walls(seed: int, size: int, extra_openings: float) -> np.ndarray:
    """A maze of the same law as `random_walls`, made on the host: the same for a seed, for ever.

    numpy's RandomState is frozen, where jax's bits depend on its version and its flags.

    Args:
        seed: from 0 to 2³² - 1.
        size: S, cells along each side.
        extra_openings: probability that an inner wall off the spanning tree is taken out too.

    Returns:
        [2, S, S] bool.
    """
    random = np.random.RandomState(seed)
    inner = inner_walls(size)
    opened = inner & (random.random_sample(inner.shape) < extra_openings)
    group = np.arange(size * size)  # cells joined by the tree so far share a number
    for wall in random.permutation(np.flatnonzero(inner)):
        side, cell = divmod(int(wall), size * size)
        near, beyond = group[cell], group[cell + (1, size)[side]]
        if near != beyond:
            opened.flat[wall] = True
            group[group == beyond] = near
    return ~opened


def block_walls(plan: str) -> np.ndarray:
    """A plan in letters as walls: every `#` is a cell closed on all four sides.

    Args:
        plan: S lines of S letters, the top row first, with spaces between the letters or without.
            That all are S is not checked.

    Returns:
        [2, S, S] bool.
    """
    rows = [line.replace(" ", "") for line in plan.split("\n") if line.strip()]
    solid = np.array([list(row) for row in reversed(rows)]) == "#"
    beside, above = solid | np.roll(solid, -1, axis=1), solid | np.roll(solid, -1, axis=0)
    return np.stack([beside, above]) | ~inner_walls(len(rows))


def moves(walls: np.ndarray) -> np.ndarray:
    """[S², 4] int64: the cell that each of the moves up, right, down, left leads to from each."""
    size = walls.shape[1]
    cell = np.arange(size * size)
    y, x = np.divmod(cell, size)
    right, above = walls
    barred = np.stack([above[y, x], right[y, x], above[y - 1, x], right[y, x - 1]], axis=1)
    return np.where(barred, cell[:, None], cell[:, None] + np.array([size, 1, -size, -1]))


def shortest_path_lengths(walls: np.ndarray, start: tuple[int, int]) -> np.ndarray:
    """Steps from `start` to every cell, by breadth-first search.

    Args:
        walls: [2, S, S] bool.
        start: (x, y).

    Returns:
        [S²] int64 by number of the cell; -1 where no way leads.
    """
    size = walls.shape[1]
    right, above = walls.tolist()
    lengths = {start: 0}
    queue = deque([start])
    while queue:
        x, y = queue.popleft()
        ways = (
            (right[y][x], (x + 1, y)),
            (right[y][x - 1], (x - 1, y)),
            (above[y][x], (x, y + 1)),
            (above[y - 1][x], (x, y - 1)),
        )
        for barred, cell in ways:
            if not barred and cell not in lengths:
                lengths[cell] = lengths[x, y] + 1
                queue.append(cell)
    return np.array([lengths.get((x, y), -1) for y in range(size) for x in range(size)])


def wall_rectangles(walls: np.ndarray) -> tuple[Rectangle, ...]:
    """The walls as thin rectangles, the four edges of the grid included; closed cells filled."""
    size = walls.shape[1]
    closed = walls[0] & walls[1] & np.roll(walls[0], 1, axis=1) & np.roll(walls[1], 1, axis=0)
    blocks = (Rectangle(float(x), float(y), 1.0, 1.0, "wall") for y, x in np.argwhere(closed))
    beside = [(x + 1, y) for y, x in np.argwhere(walls[0])] + [(0, y) for y in range(size)]
    above = [(x, y + 1) for y, x in np.argwhere(walls[1])] + [(x, 0) for x in range(size)]
    thick, long = WALL_THICKNESS, 1 + WALL_THICKNESS
    thin = (
        Rectangle(float(x) - thick / 2, float(y) - thick / 2, width, height, "wall")
        for places, width, height in ((beside, thick, long), (above, long, thick))
        for x, y in places
    )
    return (*blocks, *thin)
