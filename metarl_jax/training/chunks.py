"""Chunks: several updates in one call of a compiled program, and their metrics as one row."""

import functools
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from metarl_jax.learning.train_state import Algorithm, TrainState
from metarl_jax.types import Array

Chunk = Callable[[TrainState], tuple[TrainState, dict[str, Array]]]
"""state -> (state, metrics [updates]); the state given is consumed."""

InFlight = Future[tuple[TrainState, dict[str, Array]]]
"""What a chunk that was started will return."""

POLL_SECONDS = 0.002
MEMBERS = "_members"
"""Ends the name of a list with each agent's number."""


def compile_chunk(algorithm: Algorithm, num_updates: int, state: TrainState) -> Chunk:
    """Compiles `num_updates` updates ahead of the first call, which cannot compile again.

    A second run of the same algorithm in this process, a resumed one for instance, is given the
    program of the first.
    """
    forms = tuple((x.shape, x.dtype, x.sharding) for x in jax.tree.leaves(state))
    return _compile(algorithm.update, num_updates, jax.tree.structure(state), forms)


@functools.lru_cache(maxsize=4)
def _compile(
    update: Callable[..., Any], num_updates: int, structure: Any, forms: tuple[Any, ...]
) -> Chunk:
    def chunk(state: TrainState) -> tuple[TrainState, dict[str, Array]]:
        return jax.lax.scan(lambda state, _: update(state), state, None, num_updates)

    shapes = [
        jax.ShapeDtypeStruct(shape, dtype, sharding=sharding) for shape, dtype, sharding in forms
    ]
    state = jax.tree.unflatten(structure, shapes)
    return jax.jit(chunk, donate_argnums=0).lower(state).compile()


class ChunkRunner:
    """Runs chunks one after the other, in a thread of its own.

    Calling a program that holds a host callback blocks the thread on a CPU until it is through. The
    thread of the training loop has to stay free: for rows in time, and for signals.

    Args:
        chunk: the compiled program.
        state: where it begins; consumed.
        also: more metrics, asked for as a chunk begins; by default none.
    """

    def __init__(
        self, chunk: Chunk, state: TrainState, also: Callable[[], dict[str, Array]] = dict
    ) -> None:
        self._chunk, self._also = chunk, also
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chunks")
        self._last: InFlight = Future()
        self._last.set_result((state, {}))

    @property
    def state(self) -> TrainState:
        """The state after all chunks started so far; waits until the last of them was begun."""
        return self._last.result()[0]

    def start(self) -> InFlight:
        """Starts the next chunk as soon as the one before is through; does not wait."""
        before = self._last
        self._last = self._thread.submit(self._run, before)
        return self._last

    def _run(self, before: InFlight) -> tuple[TrainState, dict[str, Array]]:
        state, metrics = self._chunk(before.result()[0])
        return state, metrics | self._also()

    def close(self) -> None:
        """Ends the thread, once what was started is through."""
        self._thread.shutdown()


def fetch(in_flight: InFlight) -> dict[str, Any]:
    """Waits for a chunk and makes one number of each of its metrics.

    `skipped` is a count: its last value. `skipped_in_a_row` is the longest row met. Of every other
    metric the mean over the updates where it is finite, and NaN where it never is.

    Of a population these are lists, by the metric's name and `_members`; by the name alone there is
    the mean over agents, but of `skipped` the sum, and of `skipped_in_a_row` the least.
    """
    # Waiting inside the runtime would keep Python from handling a signal until the chunk is done.
    while not in_flight.done():
        time.sleep(POLL_SECONDS)
    metrics = in_flight.result()[1]
    while not all(values.is_ready() for values in metrics.values()):  # type: ignore[attr-defined]
        time.sleep(POLL_SECONDS)
    row: dict[str, Any] = {}
    for name in sorted(metrics):
        summary = _over_updates(name, np.asarray(metrics[name], np.float64))
        if summary.ndim:
            row[f"{name}{MEMBERS}"] = summary.tolist()
        row[name] = _over_agents(name, summary)
    return row


def _over_updates(name: str, values: np.ndarray) -> np.ndarray:
    """[U, ...] -> [...]."""
    if name == "skipped":
        return values[-1]
    if name == "skipped_in_a_row":
        return np.max(values, axis=0)
    return _finite_mean(values)


def _over_agents(name: str, values: np.ndarray) -> float:
    """[] or [S] -> one number."""
    if name == "skipped":
        return float(np.sum(values))
    if name == "skipped_in_a_row":
        return float(np.min(values))
    return float(_finite_mean(np.atleast_1d(values)))


def _finite_mean(values: np.ndarray) -> np.ndarray:
    """Over axis 0."""
    finite = np.isfinite(values)
    total, count = np.sum(np.where(finite, values, 0.0), axis=0), np.sum(finite, axis=0)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))
