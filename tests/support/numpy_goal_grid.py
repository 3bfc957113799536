"""goal_grid in numpy alone, written from its description: an environment that knows no jax."""

import numpy as np

MOVES = np.array([[0, 1], [1, 0], [0, -1], [-1, 0], [0, 0]])  # up, right, down, left, stay


class NumpyGoalGrid:
    """B grids side by side, each with a goal of its own that is not the start."""

    def __init__(self, num_envs: int, seed: int, *, size: int = 3, episode_length: int = 6) -> None:
        self.size, self.episode_length = size, episode_length
        self.goals = np.random.default_rng(seed).integers(1, size**2, num_envs)

    def reset(self) -> np.ndarray:
        """Every agent stands in the lower left corner, cell 0."""
        self.place, self.steps = np.zeros((len(self.goals), 2), int), 0
        return self._observe()

    def step(self, action):
        """As gymnasium's vectors answer, without a reset; all episodes end together."""
        self.place = np.clip(self.place + MOVES[action], 0, self.size - 1)
        self.steps += 1
        reward = np.where(self._cell() == self.goals, 1.0, -0.1)
        ended = np.full(len(self.goals), self.steps == self.episode_length)
        return self._observe(), reward, np.zeros_like(ended), ended, {}

    def _cell(self):
        x, y = self.place.T
        return y * self.size + x

    def _observe(self):
        return np.eye(self.size**2)[self._cell()]
