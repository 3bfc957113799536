"""report.html: what a run's folder tells, as one page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metarl_jax.evaluation.ablated import Ablated
from metarl_jax.evaluation.population_record import PointRecord, PopulationRecord
from metarl_jax.evaluation.record import EvaluationRecord, EvaluationSubject
from metarl_jax.experiment.run_config import RunConfig, is_configured, load_config
from metarl_jax.files import read_object, write_whole
from metarl_jax.report import facts, population, tables
from metarl_jax.report.charts import (
    ablations_chart,
    adaptation_chart,
    diagnostic_charts,
    learning_charts,
)
from metarl_jax.report.html import Report, Section, report_page
from metarl_jax.report.verdict import verdict
from metarl_jax.tasks.distribution import References
from metarl_jax.training.metrics_file import read_rows
from metarl_jax.training.metrics_row import MetricsRow

NAME = "report.html"
LEARNING = (
    "How the policy got better from update to update: on meta-test tasks with 95% intervals, and "
    "pale on the tasks it was trained on."
)
LEARNING_OF_SEVERAL = "Means over seeds with 95% intervals on meta-test tasks; pale: each agent."
ADAPTATION = (
    "No weight changes here: what is better in a later episode, the memory has found out about "
    "the task."
)


def write_report(
    folder: Path,
    evaluation: EvaluationRecord,
    references: References,
    *,
    baselines: Sequence[EvaluationRecord] = (),
    ablations: Mapping[str, Ablated] | None = None,
    replay: Mapping[str, Any] | None = None,
) -> Path:
    """Writes the report of a run of one agent into its folder.

    Args:
        folder: the run's, with metrics.jsonl, run.json and, unless it was made from Python,
            config.json.
        evaluation: of its last checkpoint.
        references: exact values of its tasks.
        baselines: evaluations of other policies on the same tasks.
        ablations: of the same checkpoint on the same tasks, by what was taken away.
        replay: of `metarl_jax.report.replay.replay_data`.

    Returns:
        Its path.
    """
    config, run, rows = _read(folder)
    lead = (
        f"{_sentence(verdict(evaluation))} "
        f"A policy ({facts.policy_words(evaluation)}) in tasks of "
        f"{evaluation.task_family} that it is not told, "
        f"{len(evaluation.episode_return_mean)} episodes in each."
    )
    report = Report(
        title=run_title(folder, evaluation),
        lead=lead,
        headline=facts.headline(evaluation),
        sections=[
            _trained(config, run, rows, evaluation),
            Section(
                name="adaptation",
                title="Adaptation",
                note=ADAPTATION,
                charts=[adaptation_chart(evaluation, baselines, references)],
            ),
            *([_ablations(evaluation, ablations)] if ablations else []),
            Section(
                name="learning",
                title="Learning",
                note=LEARNING,
                charts=learning_charts(rows, references),
                small_charts=diagnostic_charts(rows),
            ),
            _numbers(evaluation, baselines, references),
        ],
        replay=replay if replay and replay["tasks"] else None,
    )
    return _write(folder, report)


def write_points_report(folder: Path, record: PopulationRecord, references: References) -> Path:
    """Writes the report of a run of several agents into its folder.

    Args:
        folder: the run's, with metrics.jsonl, run.json and, unless it was made from Python,
            config.json.
        record: of its agents' evaluations.
        references: exact values of its tasks.

    Returns:
        Its path.
    """
    config, run, rows = _read(folder)
    points = record.points
    agents = sum(len(point.agents) for point in points)
    best = max(points, key=lambda point: point.total_return_mean)
    report = Report(
        title=run_title(folder, record),
        lead=f"{agents} agents of one program ({facts.policy_words(record)}) in tasks "
        f"of {record.task_family} that they are not told; means over seeds.",
        headline={"highest return of a meta-episode": tables.total(best)},
        sections=[
            _trained(config, run, rows, record),
            Section(
                name="adaptation",
                title="Adaptation",
                note=ADAPTATION,
                charts=[population.adaptation_chart(population.curves_of(points), references)],
            ),
            *([_sweep(points, references)] if points[0].values else []),
            Section(
                name="learning",
                title="Learning",
                note=LEARNING_OF_SEVERAL,
                charts=[population.learning_chart(rows, points, references)],
            ),
            Section(
                name="numbers", title="Numbers", tables={"Return": tables.points_table(points)}
            ),
        ],
    )
    return _write(folder, report)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _numbers(
    evaluation: EvaluationRecord,
    baselines: Sequence[EvaluationRecord],
    references: References,
) -> Section:
    optimal = references.optimal_episodes or ()
    return Section(
        name="numbers",
        title="Numbers",
        tables={
            "Return": tables.episodes_table(evaluation, baselines, optimal),
            "Beside other ways of acting": tables.references_table(evaluation),
            "Measures of the task family": tables.measures_table(evaluation),
        },
    )


def _sweep(points: Sequence[PointRecord], references: References) -> Section:
    return Section(
        name="sweep",
        title="Sweep",
        note="The return at the end against what was swept: means with their 95% intervals over "
        "seeds, and every agent as a small dot.",
        charts=[population.sweep_chart(points, references)],
    )


def _ablations(evaluation: EvaluationRecord, ablations: Mapping[str, Ablated]) -> Section:
    records = {name: ablated.record for name, ablated in ablations.items()}
    return Section(
        name="ablations",
        title="Ablations",
        note="The same weights on the same tasks, with one thing at a time taken away: what the "
        "return owes to it. The change is taken pair by pair, on each task for itself.",
        charts=[ablations_chart(evaluation, records)],
        tables={"": tables.ablations_table(evaluation, ablations)},
    )


def run_title(folder: Path, evaluation: EvaluationSubject) -> str:
    """The name of a run's preset; its task family's, where it was made from Python."""
    return load_config(folder).title if is_configured(folder) else evaluation.task_family


def _trained(
    config: RunConfig | None,
    run: Mapping[str, Any],
    rows: Sequence[MetricsRow],
    evaluation: EvaluationSubject,
) -> Section:
    return Section(
        name="trained",
        title="What was trained",
        facts=facts.trained(config, run, rows, evaluation),
        folded={
            "All settings": facts.all_settings(config, run),
            "Versions and machine": facts.machine(run),
        },
    )


def _read(folder: Path) -> tuple[RunConfig | None, dict[str, Any], list[MetricsRow]]:
    run = read_object(folder / "run.json") if (folder / "run.json").exists() else {}
    config = load_config(folder) if is_configured(folder) else None
    return config, run, read_rows(folder / "metrics.jsonl")


def _write(folder: Path, report: Report) -> Path:
    path = folder / NAME
    write_whole(path, report_page(report))
    return path
