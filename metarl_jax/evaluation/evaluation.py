"""Evaluation on meta-test tasks: the return of every episode of every task."""

import dataclasses
import functools
import hashlib

import numpy as np

from metarl_jax.evaluation.statistics import (
    bootstrap_interval,
    confidence_half_width,
    percentile_20,
    with_control,
)
from metarl_jax.trees import host_leaves
from metarl_jax.types import Task


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Returns per episode on meta-test tasks, and their means with 95% intervals.

    Attributes:
        episode_returns: [N, E] float32, undiscounted.
        task_set_hash: SHA-256 over the leaves of the N tasks.
        control: [N] a control variate of mean 0, such as what each task is worth to who knows it,
            less the mean of that over p(M): easy tasks among the N do not pass for skill then.
            Means and their intervals are with it; the percentile is not.
    """

    episode_returns: np.ndarray
    task_set_hash: str
    control: np.ndarray | None = None

    @property
    def num_tasks(self) -> int:
        """N."""
        return self.episode_returns.shape[0]

    @functools.cached_property
    def controlled_returns(self) -> np.ndarray:
        """[N, E] float64, of the same means as the returns over p(M)."""
        if self.control is None:
            return self.episode_returns.astype(np.float64)
        return with_control(self.episode_returns, self.control)

    @property
    def episode_return_mean(self) -> np.ndarray:
        """[E]: the adaptation curve."""
        return np.asarray(np.mean(self.controlled_returns, axis=0))

    @property
    def episode_return_ci95(self) -> np.ndarray:
        """[E]: half-widths of the 95% intervals of the means."""
        return confidence_half_width(self.controlled_returns)

    @property
    def total_return_mean(self) -> float:
        """Mean return of a whole meta-episode."""
        return float(np.mean(np.sum(self.controlled_returns, axis=1)))

    @property
    def total_return_ci95(self) -> float:
        """Half-width of its 95% interval."""
        return float(confidence_half_width(np.sum(self.controlled_returns, axis=1)[:, None])[0])

    @functools.cached_property
    def total_returns(self) -> np.ndarray:
        """[N] float64, of whole meta-episodes, as they were."""
        return self.episode_returns.sum(axis=1, dtype=np.float64)

    @property
    def total_return_p20(self) -> float:
        """What a fifth of the tasks fall short of: the 20th percentile of that return."""
        return percentile_20(self.total_returns)

    @property
    def total_return_p20_interval95(self) -> tuple[float, float]:
        """Its 95% interval, by a bootstrap over tasks."""
        return bootstrap_interval(self.total_returns, percentile_20)

    @property
    def adaptation_gain(self) -> float:
        """Mean return of the last episode less that of the first."""
        return float(self.episode_return_mean[-1] - self.episode_return_mean[0])

    @property
    def adaptation_gain_ci95(self) -> float:
        """Half-width of its 95% interval; the two are of the same tasks."""
        gains = self.controlled_returns[:, -1] - self.controlled_returns[:, 0]
        return float(confidence_half_width(gains[:, None])[0])


@dataclasses.dataclass(frozen=True)
class PopulationEvaluation:
    """The evaluations of several agents on the same meta-test tasks.

    Attributes:
        members: each agent's.
    """

    members: tuple[Evaluation, ...]


def task_set_hash(meta_test: Task) -> str:
    """SHA-256 over the leaves of a set of tasks, with their dtypes and shapes."""
    digest = hashlib.sha256()
    for leaf in host_leaves(meta_test).values():
        digest.update(f"{leaf.array.dtype.str}{leaf.array.shape}".encode())
        digest.update(leaf.array.tobytes())
    return digest.hexdigest()
