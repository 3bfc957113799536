"""The pictures of a run: learning, adaptation, behaviour; and its report."""

import contextlib
import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from metarl_jax.evaluation.ablated import Ablated
from metarl_jax.evaluation.ablations import Ablation
from metarl_jax.evaluation.record import EvaluationRecord, read_record
from metarl_jax.experiment.build import Setup
from metarl_jax.experiment.run_config import RunConfig, load_config
from metarl_jax.files import require_own
from metarl_jax.report.pictures import draw_pictures
from metarl_jax.types import ConfigurationError

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
            found = np.lib.format.read_array(io.BytesIO(archive.read(RETURNS)))  # no pickles
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
