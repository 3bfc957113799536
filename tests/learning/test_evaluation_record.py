"""The records of `evaluation.json`: written, read back, read from older files, refused."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metarl_jax.evaluation.evaluation import Evaluation
from metarl_jax.evaluation.population_record import (
    PointRecord,
    PopulationRecord,
    read_population_record,
)
from metarl_jax.evaluation.record import (
    EvaluationRecord,
    EvaluationSubject,
    ReferenceTotals,
    read_record,
    write_record,
)
from metarl_jax.tasks.distribution import References
from metarl_jax.types import ConfigurationError
from support.command_line import assert_well_put

SUBJECT = EvaluationSubject(
    task_family="bandit",
    policy="adaptive",
    update=40,
    num_tasks=3,
    task_set_hash="abc",
    sampled_actions=True,
    experiment="bandit_10_5",
    memory="gru",
    algorithm="a2c",
    ablation="rewards",
    seed=5,
)
EVALUATION = Evaluation(np.array([[1.0, 2.0], [2.0, 4.0], [0.0, 3.0]], np.float32), "abc")
KNOWN = References(optimal_total=5.0, random_total=1.0, oracle_total=6.0, return_upper_bound=7.0)
RECORD = EvaluationRecord.of(
    EVALUATION, SUBJECT, KNOWN, measures={"speed": 2.0, "success_rate": (0.5, 1.0)}
)
POPULATION = PopulationRecord.of(
    SUBJECT, [PointRecord.of({"learning_rate": 0.1}, range(4), range(4), [EVALUATION] * 4)], [2]
)


def written(record: EvaluationSubject, tmp_path: Path) -> Path:
    write_record(tmp_path / "evaluation.json", record)
    return tmp_path / "evaluation.json"


def changed(path: Path, **changes: Any) -> Path:
    """The file with other fields; None takes one away."""
    found = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in found.items() if v is not None}))
    return path


def test_a_record_holds_the_numbers_of_the_evaluation() -> None:
    assert RECORD.episode_return_mean == tuple(EVALUATION.episode_return_mean.tolist())
    assert RECORD.total_return_mean == EVALUATION.total_return_mean == 4.0
    assert RECORD.total_return_p20_interval95 == EVALUATION.total_return_p20_interval95
    assert (RECORD.regret, RECORD.normalized_score) == (1.0, 0.75)
    assert RECORD.references == ReferenceTotals(
        random=1.0, optimal=5.0, oracle=6.0, return_upper_bound=7.0
    )
    told = EvaluationRecord.of(EVALUATION, SUBJECT, KNOWN, contextual=True)
    assert told.regret == 2.0
    unknown = EvaluationRecord.of(EVALUATION, SUBJECT, References())
    assert unknown.regret is unknown.normalized_score is unknown.measures is None


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = written(RECORD, tmp_path)
    assert read_record(path) == RECORD
    references = json.loads(path.read_text())["references"]
    assert references.keys() == {"random", "memoryless", "optimal", "return_upper_bound", "oracle"}
    assert read_population_record(written(POPULATION, tmp_path)) == POPULATION


def test_what_json_lacks_is_null_and_read_as_nan(tmp_path: Path) -> None:
    one_task = Evaluation(np.array([[1.0, 2.0]], np.float32), "abc")
    record = EvaluationRecord.of(one_task, SUBJECT, References())
    path = written(record, tmp_path)
    assert json.loads(path.read_text())["episode_return_ci95"] == [None, None]
    assert "measures" not in json.loads(path.read_text())
    found = read_record(path)
    assert all(map(math.isnan, (*found.episode_return_ci95, found.total_return_ci95)))
    assert found.regret is None
    assert str(found) == str(record)  # NaN is not equal to itself


def test_an_older_file_is_read(tmp_path: Path) -> None:
    """It has the interquartile mean over tasks and other names of references, and lacks a few."""
    path = changed(
        written(dataclasses.replace(RECORD, measures=None), tmp_path),
        total_return_iqm=8.7,
        total_return_iqm_interval95=[8.6, 8.8],
        references={"random": 1.0, "optimal": 5.0, "bound": 7.0, "known_task": 6.0},
    )
    assert read_record(path) == dataclasses.replace(RECORD, measures=None)
    absent = ("adaptation_gain", "total_return_p20", "references", "regret", "experiment", "seed")
    found = read_record(changed(path, **dict.fromkeys(absent)))
    assert math.isnan(found.adaptation_gain) and math.isnan(found.total_return_p20)
    assert (found.references, found.regret, found.seed) == (ReferenceTotals(), None, 0)
    path = written(POPULATION, tmp_path)
    points = json.loads(path.read_text())["points"]
    for name in ("total_return_iqm", "total_return_iqm_interval95"):
        del points[0][name]
    assert read_population_record(changed(path, points=points)).points[0].total_return_iqm is None


BAD = {
    "unknown": ({"colour": 1}, "colour"),
    "missing": ({"total_return_mean": None}, "'total_return_mean', got none"),
    "a text for a number": ({"total_return_mean": "4"}, "'total_return_mean' to be a number"),
    "true for a number": ({"num_tasks": True}, "'num_tasks' to be a whole number"),
    "too large": ({"total_return_mean": 10**400}, "'total_return_mean' to be a number of at most"),
    "a number for a list": ({"episode_return_mean": 5}, "'episode_return_mean' to be a list"),
    "an empty list": ({"episode_return_mean": []}, "'episode_return_mean' to be a list of at"),
    "texts in a list": ({"episode_return_mean": ["a", "b"]}, "each item a number"),
    "of other lengths": ({"episode_return_ci95": [0.1]}, "as long as 'episode_return_mean'"),
    "three ends": ({"total_return_p20_interval95": [1, 2, 3]}, "a lower and an upper end"),
    "an unknown reference": ({"references": {"best": 1.0}}, "references: .* got best"),
    "a list of references": ({"references": [1.0]}, "'references' to be an object"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_record_is_refused_with_its_field_and_the_mend(
    name: str, tmp_path: Path
) -> None:
    changes, told = BAD[name]
    with pytest.raises(ConfigurationError, match=told) as refusal:
        read_record(changed(written(RECORD, tmp_path), **changes))
    assert_well_put(str(refusal.value))
    assert "evaluation.json" in str(refusal.value)
    assert "evaluate the run again: metarl evaluate RUN" in str(refusal.value)


def test_a_record_of_one_agent_is_none_of_several_nor_the_other_way(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'points', got none"):
        read_population_record(written(RECORD, tmp_path))
    with pytest.raises(ConfigurationError, match="'episode_return_mean', got none"):
        read_record(written(POPULATION, tmp_path))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"colour": 1}, "colour"),
        ({"agents": [0.5]}, "'agents' to be a list, each item a whole number"),
        ({"values": {"learning_rate": "x"}}, "'values' to be an object, each value a number"),
    ],
)
def test_a_bad_point_is_refused(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    path = written(POPULATION, tmp_path)
    point = json.loads(path.read_text())["points"][0]
    with pytest.raises(ConfigurationError, match=f"points: .*{told}"):
        read_population_record(changed(path, points=[point | change]))
