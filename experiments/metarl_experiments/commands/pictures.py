"""The pictures of a run: learning, adaptation, behaviour; and its report."""

from pathlib import Path
from typing import Any

from metarl_jax.evaluation.ablated import find_ablations
from metarl_jax.evaluation.record import EvaluationRecord, read_record
from metarl_jax.experiment.build import Setup
from metarl_jax.experiment.run_config import RunConfig, load_config
from metarl_jax.report.pictures import draw_pictures
from metarl_jax.types import ConfigurationError


def draw_run(folder: Path, config: RunConfig, setup: Setup, params: Any) -> list[Path]:
    """Draws what a run's folder and its policy have to show, beside what lies around it.

    Args:
        folder: the run's, with metrics.jsonl and evaluation.json.
        config: of the run.
        setup: of the run.
        params: of the policy evaluated.

    Returns:
        The paths of the pictures and of the report.
    """
    evaluation = read_record(folder / "evaluation.json")
    return draw_pictures(
        folder,
        setup.tasks,
        setup.policy,
        params,
        baselines=find_baselines(folder, config, evaluation.task_set_hash),
        ablations=find_ablations(folder, evaluation),
    )


def find_baselines(folder: Path, config: RunConfig, task_set_hash: str) -> list[EvaluationRecord]:
    """Evaluations of the memoryless and the contextual policy on the same meta-test tasks.

    They are looked for among the folders beside this one; of several of a kind, the newest counts.

    Args:
        folder: the run's.
        config: the run's.
        task_set_hash: of its evaluation.

    Returns:
        Their records.
    """
    found: dict[str, tuple[float, EvaluationRecord]] = {}
    for path in folder.absolute().parent.glob("*/evaluation.json"):
        try:
            other = load_config(path.parent)
            evaluation = read_record(path)  # refused: of a population, for one
        except ConfigurationError:
            continue  # not ours to judge: whatever lies beside a run is not part of it
        policy = other.settings.policy.name
        same_tasks = (other.experiment, other.family) == (
            config.experiment,
            config.family,
        ) and evaluation.task_set_hash == task_set_hash
        if not same_tasks or policy in ("adaptive", config.settings.policy.name):
            continue
        age = path.stat().st_mtime
        if policy not in found or age > found[policy][0]:
            found[policy] = (age, evaluation)
    return [evaluation for _, evaluation in found.values()]
