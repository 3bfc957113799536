"""A row of `metrics.jsonl`: flat in the file, named in Python, refused where it is no row."""

import json
import math
from typing import Any

import numpy as np
import pytest

from metarl_jax.evaluation.evaluation import Evaluation, PopulationEvaluation
from metarl_jax.training.metrics_file import MetricsFile, read_rows
from metarl_jax.training.metrics_row import MetricsRow
from metarl_jax.types import ConfigurationError
from support.command_line import assert_well_put

NUMBERS = {"update": 2, "env_steps": 20, "seconds": 1.5, "env_steps_per_second": 10.0}
FLAT = NUMBERS | {
    "entropy": 0.7,
    "my_loss": 0.25,
    "return": 3.0,
    "return_members": [2.0, 4.0],
    "skipped": 0.0,
}


def chunk(**values: Any) -> MetricsRow:
    return MetricsRow.of_chunk(values, **NUMBERS)


def test_a_row_is_flat_in_the_file_and_read_as_it_was_written(tmp_path) -> None:
    values = {name: value for name, value in FLAT.items() if name not in NUMBERS}
    row = chunk(**values)
    assert row.total_return == 3.0 and row.entropy == 0.7 and row.value_error is None
    assert row.metrics == {"my_loss": 0.25}
    assert row.members == {"return": (2.0, 4.0)}
    assert row.to_json() == FLAT
    evaluated = row.with_evaluation(Evaluation(np.array([[1.0, 2.0]]), ""), 0.5)
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    for each in (row, evaluated):
        assert metrics.append(each) is None
    metrics.close()
    assert read_rows(tmp_path / "metrics.jsonl") == [row, evaluated]
    told = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[1])
    assert told == FLAT | {
        "meta_test_episode_returns": [1.0, 2.0],
        "meta_test_total_return": 3.0,
        "evaluation_seconds": 0.5,
    }


def test_an_evaluation_tells_its_intervals(tmp_path) -> None:
    """Over tasks that get 1, 2 and 3 in the first episode and always 1 in the second."""
    returns = np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]])
    row = chunk().with_evaluation(Evaluation(returns, ""), 0.5)
    half = 1.96 / math.sqrt(3)
    assert row.meta_test_total_return_ci95 == pytest.approx(half)
    assert row.meta_test_episode_returns_ci95 == pytest.approx((half, 0.0))
    assert MetricsRow.from_json(row.to_json()) == row
    several = PopulationEvaluation((Evaluation(returns, ""), Evaluation(returns, "")))
    of_several = chunk().with_evaluation(several, 0.5)
    assert of_several.meta_test_total_return_ci95 is None


def test_what_json_lacks_is_null_and_read_as_nan() -> None:
    row = chunk(entropy=float("nan"), my_loss=float("inf"), return_members=[1.0, float("nan")])
    told = row.to_json()
    assert told["entropy"] is told["my_loss"] is None and told["return_members"] == [1.0, None]
    found = MetricsRow.from_json(told)
    assert found.entropy is not None and math.isnan(found.entropy)
    assert math.isnan(found.metrics["my_loss"]) and math.isnan(found.members["return"][1])


def test_an_older_row_is_read() -> None:
    """With metrics that are not known any more, and without what came later."""
    row = MetricsRow.from_json({"update": 1, "env_steps": 10, "loss": 1.0, "x_members": [1, 2]})
    assert row.metrics == {"loss": 1.0} and row.members == {"x": (1, 2)}
    assert row.seconds is row.total_return is row.meta_test_episode_returns is None


def test_a_metric_of_ones_own_may_be_called_as_those_of_agents_are() -> None:
    row = chunk(active_members=3.0)
    assert row.metrics == {"active_members": 3.0} and row.members == {}
    assert MetricsRow.from_json(row.to_json()) == row


BAD = {
    "no object": ([1], "JSON object"),
    "no update": ({"env_steps": 10}, "'update', got none"),
    "no steps": ({"update": 1}, "'env_steps', got none"),
    "a fraction of an update": (FLAT | {"update": 1.5}, "'update' to be a whole number"),
    "a list for a metric": (FLAT | {"return": [1.0]}, "'return' to be a number"),
    "a number for a list": (
        FLAT | {"meta_test_episode_returns": 3.0},
        "'meta_test_episode_returns' to be a list",
    ),
    "a text under an unknown name": (FLAT | {"note": "x"}, "'note' to be a number"),
    "lists in a list of agents": (FLAT | {"x_members": [[1.0]]}, "'x_members' to be a list"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_row_is_refused_with_its_field_and_the_mend(name: str) -> None:
    found, told = BAD[name]
    with pytest.raises(ConfigurationError, match=told) as refusal:
        MetricsRow.from_json(found)
    assert_well_put(str(refusal.value))
    assert "take the line out" in str(refusal.value)
