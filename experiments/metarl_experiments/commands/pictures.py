"""The pictures of a run: learning, adaptation, behaviour; and its report."""

import contextlib
import math
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from metarl_jax.evaluation.ablated import Ablated
from metarl_jax.evaluation.ablations import Ablation
from metarl_jax.evaluation.evaluate import meta_test_tasks
from metarl_jax.evaluation.record import EvaluationRecord, read_record
from metarl_jax.experiment.build import Setup
from metarl_jax.experiment.run_config import RunConfig, load_config
from metarl_jax.files import require_own
from metarl_jax.report.behaviour import (
    Behaviour,
    Recording,
    behaviour_of,
    record,
    spread_out,
)
from metarl_jax.report.figures import adaptation_figure, learning_figure
from metarl_jax.report.panels import behaviour_figure
from metarl_jax.report.replay import replay_data
from metarl_jax.report.run_report import write_report
from metarl_jax.report.style import save_figure
from metarl_jax.training.metrics_file import read_rows
from metarl_jax.types import ConfigurationError, Task

ABLATION_LABELS: dict[Ablation, str] = {
    "memory": "without_memory",
    "rewards": "without_rewards",
    "history": "history_of_another_task",
}
"""What the files of an ablation's evaluation are called, after `evaluation_`."""

ABLATION_WORDS: dict[Ablation, str] = {
    "memory": "fresh memory every episode",
    "rewards": "rewards withheld",
    "history": "history of another task",
}

RETURNS, HEADER_BYTES = "episode_returns.npy", 4096
"""The array in an evaluation's .npz, and what it may take beside its numbers."""
BEHAVIOUR_SEED = 2_147_483_587
RECORDED, PICTURED = 32, 6
"""Tasks that meta-episodes are recorded in, and those of them that behaviour.png shows."""


def draw_run(folder: Path, config: RunConfig, setup: Setup, params: Any) -> list[Path]:
    """Draws what a run's folder and its policy have to show.

    Args:
        folder: the run's, with metrics.jsonl and evaluation.json.
        config: of the run.
        setup: of the run.
        params: of the policy evaluated.

    Returns:
        The paths of the pictures and of the report.
    """
    references = setup.tasks.references()
    title = f"{config.title}, {config.settings.policy.name} policy"
    rows = read_rows(folder / "metrics.jsonl")
    evaluation = read_record(folder / "evaluation.json")
    baselines = find_baselines(folder, config, evaluation.task_set_hash)
    figures = {
        "learning.png": learning_figure(rows, title=title, references=references),
        "adaptation.png": adaptation_figure(evaluation, baselines=baselines, references=references),
    }
    behaviour, replay = _record(setup, params)
    if behaviour is not None and behaviour.scenes[0][0].is_still:
        figures["behaviour.png"] = behaviour_figure(behaviour, title=title)
    for name, figure in figures.items():
        save_figure(figure, folder / name)
    report = write_report(
        folder,
        evaluation,
        references,
        baselines=baselines,
        ablations=find_ablations(folder, evaluation),
        replay=replay,
    )
    return [*(folder / name for name in figures), report]


def _record(setup: Setup, params: Any) -> tuple[Behaviour | None, dict[str, Any] | None]:
    """The policy in a few meta-test tasks, to be drawn and to be replayed; where they have scenes.

    The picture's tasks are chosen by what they are, the replay's by how well it went.
    """
    tasks = setup.tasks
    if tasks.scene is None:
        return None, None
    candidates, recording = record_run(setup, params)
    shown = spread_out(tasks, candidates, PICTURED)
    return behaviour_of(tasks, recording, shown), replay_data(tasks, recording)


def record_run(setup: Setup, params: Any) -> tuple[Task, Recording]:
    """A few meta-test tasks, always the same ones of a family, and what a policy does in them.

    Args:
        setup: of the run.
        params: of the policy.
    """
    tasks_key, actors_key = jax.random.split(jax.random.key(BEHAVIOUR_SEED))
    candidates = meta_test_tasks(setup.tasks, tasks_key, RECORDED)
    return candidates, record(setup.tasks, setup.policy, params, candidates, actors_key)


def find_ablations(folder: Path, evaluation: EvaluationRecord) -> dict[str, Ablated]:
    """Evaluations of the same checkpoint on the same tasks, with one thing taken away each.

    Args:
        folder: the run's.
        evaluation: of its last checkpoint.

    Returns:
        Their records and what they change, by what was taken.
    """
    found = {}
    plain = _returns(folder / "evaluation.npz", evaluation)
    for ablation, label in ABLATION_LABELS.items():
        with contextlib.suppress(ConfigurationError):  # most often there is none
            other = read_record(folder / f"evaluation_{label}.json")
            same_tasks = other.task_set_hash == evaluation.task_set_hash
            if same_tasks and other.update == evaluation.update:
                returns = _returns(folder / f"evaluation_{label}.npz", other)
                ablated = Ablated.of(other, evaluation, returns, plain)
                found[ABLATION_WORDS[ablation]] = ablated
    return found


def _returns(place: Path, record: EvaluationRecord) -> np.ndarray:
    """[N, E] of an evaluation; [0, 0] where the file is missing or does not fit the record."""
    shape = record.num_tasks, len(record.episode_return_mean)
    broken = (OSError, ValueError, KeyError, zipfile.BadZipFile, ConfigurationError)
    with contextlib.suppress(*broken), zipfile.ZipFile(place) as archive:
        require_own(place)
        # Somebody else's file may unpack to anything: its size is looked at first.
        if archive.getinfo(RETURNS).file_size <= 8 * math.prod(shape) + HEADER_BYTES:
            with archive.open(RETURNS) as file:
                found = np.lib.format.read_array(file)  # no pickles
            return found.astype(np.float64).reshape(shape)
    return np.zeros((0, 0))


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
