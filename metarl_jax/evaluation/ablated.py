"""A policy with one thing taken away, beside the same policy with nothing taken away."""

import contextlib
import dataclasses
import io
import math
import zipfile
from pathlib import Path
from typing import get_args

import numpy as np

from metarl_jax.evaluation.ablations import Ablation
from metarl_jax.evaluation.record import EvaluationRecord, read_record
from metarl_jax.evaluation.statistics import confidence_half_width
from metarl_jax.files import require_own
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.types import ConfigurationError

ABLATION_LABELS: dict[Ablation, str] = {
    "memory": "without_memory",
    "rewards": "without_rewards",
    "history": "history_of_another_task",
}
"""What the files of an ablation's evaluation are called, after `evaluation_`."""

ABLATION_WORDS: dict[Ablation, str] = {
    "memory": "fresh memory every episode",
    "rewards": "rewards withheld",
    "history": "history of another task",
}

RETURNS, HEADER_BYTES = "episode_returns.npy", 4096
"""The array in an evaluation's .npz, and what it may take beside its numbers."""

SHORT_SECONDS = 300
"""Training that took less gets its ablations at once; after a longer one they can wait."""
FEWEST_TASKS = 100
"""On fewer tasks the interval of a change is too wide to tell what the policy lives on."""


@dataclasses.dataclass(frozen=True)
class Ablated:
    """An ablation, and what it changes on the same tasks.

    Attributes:
        record: of the evaluation with one thing taken away.
        change: its return of a meta-episode less that with nothing taken away.
        change_ci95: half-width of the 95% interval, pair by pair; NaN where no pairs are known.
    """

    record: EvaluationRecord
    change: float
    change_ci95: float = math.nan

    @classmethod
    def of(
        cls,
        record: EvaluationRecord,
        plain: EvaluationRecord,
        returns: np.ndarray,
        plain_returns: np.ndarray,
    ) -> "Ablated":
        """An ablation from the returns of both evaluations on each task.

        Easy and hard tasks are the same in both, so the interval of the mean difference is
        narrower than the intervals of the two means tell.

        Args:
            record: of the evaluation with one thing taken away.
            plain: of the evaluation with nothing taken away.
            returns: [N, E] of the first.
            plain_returns: [N, E] of the second, on the same tasks in the same order.
        """
        if returns.shape != plain_returns.shape or not len(returns):
            return cls(record, record.total_return_mean - plain.total_return_mean)
        differences = (returns - plain_returns).sum(axis=1, dtype=np.float64)
        width = float(confidence_half_width(differences[:, None])[0])
        return cls(record, float(differences.mean()), width)


def ablations_for(tasks: TaskDistribution) -> tuple[Ablation, ...]:
    """All that can be taken from a policy in these tasks.

    With one episode there is none before it, whose memory or history could be taken.
    """
    return get_args(Ablation) if tasks.num_episodes > 1 else ("rewards",)


def ablations_at_once(
    tasks: TaskDistribution, *, has_memory: bool, num_tasks: int, seconds: float
) -> tuple[Ablation, ...]:
    """The ablations that a run makes by itself at its end; none where they would take long.

    Args:
        tasks: p(M).
        has_memory: whether the policy has a memory.
        num_tasks: meta-test tasks of the evaluation at the end; of fewer than 100 none are made.
        seconds: that training took; after 300 or more none are made.
    """
    short = seconds < SHORT_SECONDS and num_tasks >= FEWEST_TASKS
    return ablations_for(tasks) if short and has_memory else ()


def find_ablations(folder: Path, evaluation: EvaluationRecord) -> dict[str, Ablated]:
    """Evaluations of the same checkpoint on the same tasks, with one thing taken away each.

    Args:
        folder: the run's.
        evaluation: of its last checkpoint.

    Returns:
        Their records and what they change, by what was taken.
    """
    found = {}
    plain = _returns(folder / "evaluation.npz", evaluation)
    for ablation, label in ABLATION_LABELS.items():
        with contextlib.suppress(ConfigurationError):  # most often there is none
            other = read_record(folder / f"evaluation_{label}.json")
            same_tasks = other.task_set_hash == evaluation.task_set_hash
            if same_tasks and other.update == evaluation.update:
                returns = _returns(folder / f"evaluation_{label}.npz", other)
                ablated = Ablated.of(other, evaluation, returns, plain)
                found[ABLATION_WORDS[ablation]] = ablated
    return found


def _returns(place: Path, record: EvaluationRecord) -> np.ndarray:
    """[N, E] of an evaluation; [0, 0] where the file is missing or does not fit the record."""
    shape = record.num_tasks, len(record.episode_return_mean)
    broken = (OSError, ValueError, KeyError, zipfile.BadZipFile, ConfigurationError)
    with contextlib.suppress(*broken), zipfile.ZipFile(place) as archive:
        require_own(place)
        # Somebody else's file may unpack to anything: its size is looked at first.
        if archive.getinfo(RETURNS).file_size <= 8 * math.prod(shape) + HEADER_BYTES:
            found = np.lib.format.read_array(io.BytesIO(archive.read(RETURNS)))  # no pickles
            return found.astype(np.float64).reshape(shape)
    return np.zeros((0, 0))
