"""The pictures of a run: learning, adaptation, behaviour; and its report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from metarl_jax.evaluation.ablated import Ablated
from metarl_jax.evaluation.evaluate import meta_test_tasks
from metarl_jax.evaluation.record import EvaluationRecord, read_record
from metarl_jax.policy.policy import Policy
from metarl_jax.report.behaviour import Behaviour, Recording, behaviour_of, record, spread_out
from metarl_jax.report.figures import adaptation_figure, learning_figure
from metarl_jax.report.panels import behaviour_figure
from metarl_jax.report.replay import replay_data
from metarl_jax.report.run_report import run_title, write_report
from metarl_jax.report.style import save_figure
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.training.metrics_file import read_rows
from metarl_jax.types import Task

BEHAVIOUR_SEED = 2_147_483_587
RECORDED, PICTURED = 32, 6
"""Tasks that meta-episodes are recorded in, and those of them that behaviour.png shows."""


def draw_pictures(
    folder: Path,
    tasks: TaskDistribution,
    policy: Policy,
    params: Any,
    *,
    baselines: Sequence[EvaluationRecord] = (),
    ablations: Mapping[str, Ablated] | None = None,
) -> list[Path]:
    """Draws what a run's folder and its policy have to show.

    Args:
        folder: the run's, with run.json, metrics.jsonl and evaluation.json.
        tasks: p(M).
        policy: that was evaluated.
        params: the policy's.
        baselines: evaluations of other policies on the same tasks.
        ablations: of the same policy on the same tasks, by what was taken away.

    Returns:
        The paths of the pictures and, last, of the report.
    """
    references = tasks.references()
    rows = read_rows(folder / "metrics.jsonl")
    evaluation = read_record(folder / "evaluation.json")
    title = f"{run_title(folder, evaluation)}, {evaluation.policy} policy"
    figures = {
        "learning.png": learning_figure(rows, title=title, references=references),
        "adaptation.png": adaptation_figure(evaluation, baselines=baselines, references=references),
    }
    behaviour, replay = _behaviour(tasks, policy, params)
    if behaviour is not None and behaviour.scenes[0][0].is_still:
        figures["behaviour.png"] = behaviour_figure(behaviour, title=title)
    for name, figure in figures.items():
        save_figure(figure, folder / name)
    report = write_report(
        folder, evaluation, references, baselines=baselines, ablations=ablations, replay=replay
    )
    return [*(folder / name for name in figures), report]


def record_policy(tasks: TaskDistribution, policy: Policy, params: Any) -> tuple[Task, Recording]:
    """A few meta-test tasks, always the same ones of a family, and what a policy does in them.

    Args:
        tasks: p(M).
        policy: that acts.
        params: the policy's.
    """
    tasks_key, actors_key = jax.random.split(jax.random.key(BEHAVIOUR_SEED))
    candidates = meta_test_tasks(tasks, tasks_key, RECORDED)
    return candidates, record(tasks, policy, params, candidates, actors_key)


def _behaviour(
    tasks: TaskDistribution, policy: Policy, params: Any
) -> tuple[Behaviour | None, dict[str, Any] | None]:
    """What is drawn and what is replayed, where the tasks have scenes.

    The picture's tasks are chosen by what they are, the replay's by how well it went.
    """
    if tasks.scene is None:
        return None, None
    candidates, recording = record_policy(tasks, policy, params)
    shown = spread_out(tasks, candidates, PICTURED)
    return behaviour_of(tasks, recording, shown), replay_data(tasks, recording)
