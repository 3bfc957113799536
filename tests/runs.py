"""What the tests of the training loop share."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metarl_jax import training
from metarl_jax.metrics_file import read_rows


@contextlib.contextmanager
def chunks_compiled_once() -> Iterator[None]:
    """Runs of the same updates share one compiled chunk: compiling is most of their time here."""
    known = {}

    def compile_chunk(algorithm, num_updates, state):
        name = (algorithm.update, num_updates)
        known[name] = known.get(name) or real(algorithm, num_updates, state)
        return known[name]

    real = training.compile_chunk
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "compile_chunk", compile_chunk)
        yield


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run, without what the wall clock makes of them."""
    rows = read_rows(folder / "metrics.jsonl")
    return [{k: v for k, v in row.items() if k not in training.WALL_CLOCK_FIELDS} for row in rows]
