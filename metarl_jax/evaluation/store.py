"""The files of an evaluation: LABEL.json, its record, and LABEL.npz, every task's returns."""

import io
from pathlib import Path

import numpy as np

from metarl_jax.evaluation.record import EvaluationSubject, write_record
from metarl_jax.files import write_whole
from metarl_jax.parallel.processes import is_first, on_all_processes
from metarl_jax.types import UnwritableError


def write_evaluation(
    folder: Path, label: str, record: EvaluationSubject, episode_returns: np.ndarray
) -> None:
    """Writes LABEL.npz and, last and whole, LABEL.json: where it stands, the evaluation was done.

    Of several processes the first writes.

    Args:
        folder: the run's.
        label: the files' name, without its ending.
        record: of the evaluation.
        episode_returns: [N, E], or [S, N, E] for S agents.

    Raises:
        UnwritableError: the run's folder cannot be written.
    """
    place = folder / label
    on_all_processes(lambda: _write(place, record, episode_returns) if is_first() else None)


def _write(place: Path, record: EvaluationSubject, episode_returns: np.ndarray) -> None:
    try:
        arrays = io.BytesIO()
        np.savez_compressed(arrays, episode_returns=episode_returns)
        write_whole(place.with_name(f"{place.name}.npz"), arrays.getvalue())
        write_record(place.with_name(f"{place.name}.json"), record)
    except OSError as error:
        raise UnwritableError(
            f"expected a run's folder that can be written, got {place.parent}: {error.strerror}; "
            "make room, or give yourself the right to write there."
        ) from error
