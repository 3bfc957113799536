"""What the tests of the training loop share."""

from pathlib import Path
from typing import Any

from metarl_jax import training
from metarl_jax.metrics_file import read_rows


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run, without what the wall clock makes of them."""
    rows = read_rows(folder / "metrics.jsonl")
    return [{k: v for k, v in row.items() if k not in training.WALL_CLOCK_FIELDS} for row in rows]
