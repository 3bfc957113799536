"""What was measured: rows of a table, and bench.json."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from benchmarks.flops import Peak
from benchmarks.timing import Variant, compare

PEAK = "peak"
"""The name under which the product is timed among the variants."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One variant of one benchmark.

    Attributes:
        benchmark: what is measured.
        variant: how it is done.
        num_tasks: in its batch.
        env_steps_per_s: median over the repetitions.
        fraction_of_peak: of the operations a second that the peak's product makes, the network's
            own products; None where there is no network.
        ratio_to_usual: its env_steps_per_s to those of `usual`.
        fraction_of_bare: the same to those of `bare_rollout`, where there is one.
        compile_s: seconds to trace and compile it; None where nothing is.
        peak_memory_bytes: of arguments, results and temporary memory together, None if not known.
    """

    benchmark: str
    variant: str
    num_tasks: int
    env_steps_per_s: float
    fraction_of_peak: float | None
    ratio_to_usual: float | None
    fraction_of_bare: float | None
    compile_s: float | None
    peak_memory_bytes: int | None


class Measured(NamedTuple):
    """A benchmark's rows, and the peak of the same minutes."""

    rows: list[Row]
    peak_flops_per_s: float


def measure(
    benchmark: str, variants: Mapping[str, Variant], peak: Peak, num_tasks: int, repetitions: int
) -> Measured:
    """Times the variants of a benchmark and the peak's product, all in turn.

    Args:
        benchmark: its name.
        variants: by name.
        peak: the product.
        num_tasks: in a batch.
        repetitions: how often.
    """
    runs = {name: variant.run for name, variant in variants.items()} | {PEAK: peak.run}
    seconds = compare(runs, repetitions)
    peak_speed = peak.flops / seconds[PEAK]
    speeds = {name: variant.env_steps / seconds[name] for name, variant in variants.items()}

    def row(name: str, variant: Variant) -> Row:
        return Row(
            benchmark=benchmark,
            variant=name,
            num_tasks=num_tasks,
            env_steps_per_s=speeds[name],
            fraction_of_peak=(variant.flops / seconds[name] / peak_speed) or None,
            ratio_to_usual=_ratio(speeds, name, "usual"),
            fraction_of_bare=_ratio(speeds, name, "bare_rollout"),
            compile_s=variant.compile_s,
            peak_memory_bytes=variant.peak_memory_bytes,
        )

    return Measured([row(*item) for item in variants.items()], peak_speed)


def _ratio(speeds: Mapping[str, float], name: str, reference: str) -> float | None:
    return speeds[name] / speeds[reference] if reference in speeds else None


def table(rows: Sequence[Row]) -> Table:
    """The rows, for people."""
    # As narrow as 80 columns ask for: steps are of the environment, seconds of compiling.
    drawn = Table(box=None, pad_edge=False, collapse_padding=True)
    for column in ("benchmark", "variant"):
        drawn.add_column(column, no_wrap=True)
    for column in ("tasks", "steps/s", "% peak", "× usual", "× bare", "compile", "MB"):
        drawn.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        drawn.add_row(
            row.benchmark,
            row.variant,
            f"{row.num_tasks:,}",
            f"{row.env_steps_per_s:,.0f}",
            _text(row.fraction_of_peak and 100 * row.fraction_of_peak, ".1f"),
            _text(row.ratio_to_usual, ".2f"),
            _text(row.fraction_of_bare, ".2f"),
            _text(row.compile_s, ".1f"),
            _text(row.peak_memory_bytes and row.peak_memory_bytes / 1e6, ",.0f"),
        )
    return drawn


def _text(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Writes bench.json; the folder is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
