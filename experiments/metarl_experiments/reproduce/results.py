"""`experiments/results/families.csv`, and the tables of docs/results.md made of it."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from metarl_experiments.runs import make_tasks
from metarl_jax.experiment.registry import load_experiment
from metarl_jax.files import write_whole

RESULTS = Path(__file__).parents[2] / "results" / "families.csv"


class ResultKey(NamedTuple):
    """What tells a row from all others.

    Attributes:
        experiment: the preset.
        policy: adaptive, memoryless or contextual.
        algorithm: it was trained by.
        memory: of the policy; empty where it has none.
        flags: further flags of the command line.
    """

    experiment: str
    policy: str
    algorithm: str
    memory: str
    flags: str


COLUMNS: tuple[str, ...] = (
    *ResultKey._fields,
    "total_return",
    "total_ci95",
    "ablated_return",
    "ablated_ci95",
    "first_episode",
    "last_episode",
    "more_episodes",
    "more_episodes_ci95",
    "num_tasks",
    "env_steps",
    "seconds",
    "seed",
    "measures",
)
POLICIES = ("adaptive", "memoryless", "contextual")
HEADINGS = ("task family", "algorithm", "optimum", *POLICIES, "adaptive, memory ablated")
MEMORY_HEADINGS = (
    "task family",
    "memory",
    "total",
    "first episode",
    "last episode",
    "M steps",
    "seconds",
)

Rows = Mapping[ResultKey, Mapping[str, Any]]


def read_results(path: Path = RESULTS) -> dict[ResultKey, Mapping[str, Any]]:
    """The rows by what tells them apart; empty where there is no file yet."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {ResultKey(*(row[name] for name in ResultKey._fields)): row for row in rows}


def write_results(rows: Rows, path: Path = RESULTS) -> None:
    """Writes the rows in the order of their keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert all(row.keys() <= set(COLUMNS) for row in rows.values())
    lines = ([rows[key].get(name, "") for name in COLUMNS] for key in sorted(rows))
    write_whole(path, csv_text(COLUMNS, lines))


def of_presets(rows: Rows) -> Rows:
    """Those of presets as they are: with their own memory, and no further flags."""
    own = {key.experiment: load_experiment(key.experiment).settings.memory_name for key in rows}
    return {
        k: row for k, row in rows.items() if not k.flags and k.memory in ("", own[k.experiment])
    }


def of_memories(rows: Rows) -> Rows:
    """Those of what was learned with several memories by one algorithm, and without any."""
    by_study: dict[tuple[str, str, str], list[ResultKey]] = {}
    for key in sorted(rows):
        by_study.setdefault((key.experiment, key.algorithm, key.flags), []).append(key)
    several = [keys for keys in by_study.values() if len({k.memory for k in keys} - {""}) > 1]
    return {key: rows[key] for keys in several for key in keys if key.policy != "contextual"}


def markdown_table(rows: Rows) -> str:
    """A line for every preset and algorithm: total return ± half its 95% interval."""
    rows = of_presets(rows)
    lines = []
    for experiment, algorithm in sorted({(key.experiment, key.algorithm) for key in rows}):
        of_policy = {
            key.policy: row
            for key, row in rows.items()
            if (key.experiment, key.algorithm) == (experiment, algorithm)
        }
        adaptive = of_policy.get("adaptive", {})
        lines.append(
            [
                f"`{experiment}`",
                algorithm.upper(),
                _optimum(experiment),
                *(_total(of_policy.get(p, {})) for p in POLICIES),
                _total(adaptive, "ablated"),
            ]
        )
    return markdown(HEADINGS, lines)


def measures_table(rows: Rows) -> str:
    """A line for every measure of a preset's adaptive policy that its family has, by episode."""
    lines = []
    for key, row in sorted(of_presets(rows).items()):
        measures = json.loads(row.get("measures") or "{}")
        for name, value in measures.items() if key.policy == "adaptive" else ():
            values = value if isinstance(value, list) else [value]
            figures = ", ".join(f"{x:.3g}" for x in values)
            words = name.replace("_", " ")
            lines.append([f"`{key.experiment}`", key.algorithm.upper(), words, figures])
    return markdown(("task family", "algorithm", "measure", "by episode"), lines)


def memories_table(rows: Rows) -> str:
    """A line for every memory that something was learned with, best first."""
    found = of_memories(rows).items()
    lines = [
        [
            f"`{key.experiment} {key.flags}`".replace(" `", "`"),
            key.memory or key.policy,
            _total(row),
            f"{float(row['first_episode']):.2f}",
            f"{float(row['last_episode']):.2f}",
            f"{int(row['env_steps']) / 1e6:.0f}",
            row["seconds"],
        ]
        for key, row in sorted(
            found,
            key=lambda item: (item[0].experiment, item[0].flags, -float(item[1]["total_return"])),
        )
    ]
    return markdown(MEMORY_HEADINGS, lines)


def markdown(headings: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A table: headings, and lines of as many cells."""
    headings = list(headings)
    cells = [headings, ["---"] * len(headings), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def csv_text(names: Iterable[str], lines: Iterable[Iterable[Any]]) -> str:
    """A CSV: a line of names, and lines of as many values."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(lines)
    return text.getvalue()


def _total(row: Mapping[str, Any], what: str = "total") -> str:
    figures = [row.get(f"{what}_{part}", "") for part in ("return", "ci95")]
    return "" if "" in figures else "{:.2f} ± {:.2f}".format(*map(float, figures))


def _optimum(name: str) -> str:
    experiment = load_experiment(name)
    optimum = make_tasks(experiment, experiment.arguments).references().optimal_total
    return "" if optimum is None else f"{optimum:.2f}"
