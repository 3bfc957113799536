"""Chunks: several updates in one call of a compiled program, and their metrics as one row."""

import time
from collections.abc import Callable

import jax
import numpy as np

from metarl_jax.learner import Algorithm, TrainState
from metarl_jax.types import Array

Chunk = Callable[[TrainState], tuple[TrainState, dict[str, Array]]]
"""state -> (state, metrics [updates]); the state given is consumed."""

POLL_SECONDS = 0.002


def compile_chunk(algorithm: Algorithm, num_updates: int, state: TrainState) -> Chunk:
    """Compiles `num_updates` updates ahead of the first call, which cannot compile again."""

    def chunk(state: TrainState) -> tuple[TrainState, dict[str, Array]]:
        return jax.lax.scan(lambda state, _: algorithm.update(state), state, None, num_updates)

    return jax.jit(chunk, donate_argnums=0).lower(state).compile()


def fetch(metrics: dict[str, Array]) -> dict[str, float]:
    """Waits for a chunk and makes one number of each of its metrics.

    `skipped` is a count: its last value. `skipped_in_a_row` is the longest row met. Of every other
    metric the mean over the updates where it is finite, and NaN where it never is.
    """
    # Waiting inside the runtime would keep Python from handling a signal until the chunk is done.
    while not all(values.is_ready() for values in metrics.values()):  # type: ignore[attr-defined]
        time.sleep(POLL_SECONDS)
    return {name: _summary(name, np.asarray(metrics[name], np.float64)) for name in sorted(metrics)}


def _summary(name: str, values: np.ndarray) -> float:
    if name == "skipped":
        return float(values[-1])
    if name == "skipped_in_a_row":
        return float(np.max(values))
    finite = values[np.isfinite(values)]
    return float(np.mean(finite)) if finite.size else float("nan")
