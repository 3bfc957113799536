"""`experiments/results/families.csv`, and the README's table made of it."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metarl_experiments.runs import make_tasks
from metarl_jax.metrics_file import write_whole
from metarl_jax.registry import load_experiment

RESULTS = Path(__file__).parents[1] / "results" / "families.csv"
COLUMNS: tuple[str, ...] = (
    "experiment",
    "policy",
    "algorithm",
    "total_return",
    "total_ci95",
    "ablated_return",
    "ablated_ci95",
    "first_episode",
    "last_episode",
    "num_tasks",
    "env_steps",
    "seconds",
    "seed",
    "measures",
)
POLICIES = ("recurrent", "memoryless", "contextual")
HEADINGS = ("task family", "algorithm", "optimum", *POLICIES, "recurrent, memory ablated")

ResultKey = tuple[str, str, str]
"""Experiment, policy, algorithm."""


def read_results(path: Path = RESULTS) -> dict[ResultKey, Mapping[str, Any]]:
    """The rows by experiment, policy and algorithm; empty where there is no file yet."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {(row["experiment"], row["policy"], row["algorithm"]): row for row in rows}


def write_results(rows: Mapping[ResultKey, Mapping[str, Any]], path: Path = RESULTS) -> None:
    """Writes the rows in the order of their keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[key] for key in sorted(rows))
    write_whole(path, text.getvalue())


def markdown_table(rows: Mapping[ResultKey, Mapping[str, Any]]) -> str:
    """A line for every experiment and algorithm: total return ± half its 95% interval."""
    lines = [_line(HEADINGS), _line(["---"] * len(HEADINGS))]
    for experiment, algorithm in sorted({(key[0], key[2]) for key in rows}):
        of_policy = {
            key[1]: row for key, row in rows.items() if key[::2] == (experiment, algorithm)
        }
        recurrent = of_policy.get("recurrent", {})
        lines.append(
            _line(
                [
                    f"`{experiment}`",
                    algorithm.upper(),
                    _optimum(experiment),
                    *(_total(of_policy.get(p, {})) for p in POLICIES),
                    _total(recurrent, "ablated"),
                ]
            )
        )
    return "\n".join(lines)


def measures_table(rows: Mapping[ResultKey, Mapping[str, Any]]) -> str:
    """A line for every measure of a recurrent policy that its family has, by episode."""
    headings = ("task family", "algorithm", "measure", "by episode")
    lines = [_line(headings), _line(["---"] * len(headings))]
    for experiment, policy, algorithm in sorted(rows):
        measures = json.loads(rows[experiment, policy, algorithm].get("measures") or "{}")
        for name, value in measures.items() if policy == "recurrent" else ():
            values = value if isinstance(value, list) else [value]
            figures = ", ".join(f"{x:.3g}" for x in values)
            words = name.replace("_", " ")
            lines.append(_line([f"`{experiment}`", algorithm.upper(), words, figures]))
    return "\n".join(lines)


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _total(row: Mapping[str, Any], what: str = "total") -> str:
    figures = [row.get(f"{what}_{part}", "") for part in ("return", "ci95")]
    return "" if "" in figures else "{:.2f} ± {:.2f}".format(*map(float, figures))


def _optimum(name: str) -> str:
    experiment = load_experiment(name)
    optimum = make_tasks(experiment, experiment.arguments).references.optimal_total
    return "" if optimum is None else f"{optimum:.2f}"
