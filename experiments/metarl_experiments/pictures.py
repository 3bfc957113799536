"""The pictures of a run: learning, adaptation, behaviour."""

import json
from pathlib import Path
from typing import Any

import jax

from metarl_experiments.runs import RunConfig, load_config
from metarl_jax.metrics_file import read_rows
from metarl_jax.program import Program
from metarl_jax.report.behaviour import collect_behaviour
from metarl_jax.report.figures import adaptation_figure, learning_figure
from metarl_jax.report.panels import behaviour_figure
from metarl_jax.report.style import save_figure
from metarl_jax.types import ConfigurationError

BEHAVIOUR_SEED = 2_147_483_587


def draw_run(folder: Path, config: RunConfig, program: Program, params: Any) -> list[Path]:
    """Draws what a run's folder and its policy have to show.

    Args:
        folder: the run's, with metrics.jsonl and evaluation.json.
        config: of the run.
        program: of the run.
        params: of the policy evaluated.

    Returns:
        The pictures' paths.
    """
    tasks = program.tasks
    title = f"{config.experiment.rpartition(':')[2]}, {config.settings.policy} policy"
    rows = read_rows(folder / "metrics.jsonl")
    evaluation = json.loads((folder / "evaluation.json").read_text())
    figures = {
        "learning.png": learning_figure(rows, title=title, references=tasks.references()),
        "adaptation.png": adaptation_figure(
            evaluation,
            baselines=find_baselines(folder, config, evaluation["task_set_hash"]),
            references=tasks.references(),
        ),
    }
    if tasks.scene is not None:
        key = jax.random.key(BEHAVIOUR_SEED)
        behaviour = collect_behaviour(tasks, program.policy, params, key)
        figures["behaviour.png"] = behaviour_figure(behaviour, title=title)
    for name, figure in figures.items():
        save_figure(figure, folder / name)
    return [folder / name for name in figures]


def find_baselines(folder: Path, config: RunConfig, task_set_hash: str) -> list[dict[str, Any]]:
    """Evaluations of the memoryless and the contextual policy on the same meta-test tasks.

    They are looked for among the folders beside this one; of several of a kind, the newest counts.

    Args:
        folder: the run's.
        config: the run's.
        task_set_hash: of its evaluation.

    Returns:
        What their evaluation.json holds.
    """
    found: dict[str, tuple[float, dict[str, Any]]] = {}
    for path in folder.absolute().parent.glob("*/evaluation.json"):
        try:
            other = load_config(path.parent)
            evaluation = json.loads(path.read_text())
        except (ConfigurationError, ValueError):
            continue  # not ours to judge: whatever lies beside a run is not part of it
        policy = other.settings.policy
        same_tasks = (other.experiment, other.family) == (
            config.experiment,
            config.family,
        ) and evaluation.get("task_set_hash") == task_set_hash
        if not same_tasks or policy in ("recurrent", config.settings.policy):
            continue
        age = path.stat().st_mtime
        if policy not in found or age > found[policy][0]:
            found[policy] = (age, evaluation)
    return [evaluation for _, evaluation in found.values()]
