"""What the families on a grid share: cells, moves, what is seen, how a cell is drawn.

Column x counts from the left, row y from the bottom; a cell is also known by its number,
y·size + x. A grid has `size` columns and as many rows.
"""

import jax.numpy as jnp
import numpy as np
from flax import struct

from metarl_jax.tasks.scene import Rectangle
from metarl_jax.types import Array

UP, RIGHT, DOWN, LEFT, STAY = range(5)
MOVES = np.array([[0, 1], [1, 0], [0, -1], [-1, 0], [0, 0]])
"""[5, 2]: columns and rows by which UP, RIGHT, DOWN, LEFT and STAY move the agent."""
CELL_MARGIN = 0.03
"""What a drawn cell leaves free on each side, in cells, so that the grid shows."""


class GridState(struct.PyTreeNode):
    """Where the agent stands."""

    x: Array  # [] int32, column from the left
    y: Array  # [] int32, row from the bottom


def displacement(action: Array) -> tuple[Array, Array]:
    """Columns and rows, int32, by which an action would move the agent."""
    columns = (action == RIGHT).astype(jnp.int32) - (action == LEFT).astype(jnp.int32)
    rows = (action == UP).astype(jnp.int32) - (action == DOWN).astype(jnp.int32)
    return columns, rows


def cell_number(state: GridState, size: int) -> Array:
    """The number of the agent's cell, y·size + x."""
    return state.y * size + state.x


def one_hot_cell(cell: Array, size: int) -> Array:
    """[size²] float32, 1 at the cell of that number.

    Told as one of size² rather than as two coordinates: what is best differs from cell to cell,
    and a linear layer can give each cell an answer of its own without first learning to tell them
    apart.
    """
    return (jnp.arange(size * size, dtype=jnp.int32) == cell).astype(jnp.float32)


def floor_rectangles(size: int) -> tuple[Rectangle, ...]:
    """The cells of the floor."""
    return tuple(cell_rectangle(cell, size, "floor") for cell in range(size * size))


def cell_rectangle(cell: int, size: int, role: str) -> Rectangle:
    """One cell of the plane whose unit is a cell's side."""
    y, x = divmod(int(cell), size)
    side = 1 - 2 * CELL_MARGIN
    return Rectangle(x + CELL_MARGIN, y + CELL_MARGIN, side, side, role)


def name_of_cell(cell: int, size: int) -> str:
    """A cell for a person, who counts columns from the left and rows from the bottom from 1 on."""
    y, x = divmod(cell, size)
    return f"column {x + 1}, row {y + 1}"


def path_through(states: GridState) -> np.ndarray:
    """[h + 1, 2] centres of the cells that h + 1 stacked states stand in."""
    return np.stack([np.asarray(states.x), np.asarray(states.y)], axis=-1) + 0.5
