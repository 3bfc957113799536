"""How long a start took is told once, and recorded."""

import json
from pathlib import Path

import pytest

from metarl_experiments.commands import first_row as start
from metarl_jax.parallel.host import process_seconds
from metarl_jax.training.metrics_row import MetricsRow
from metarl_jax.training.plan import TrainingPlan

PLAN = TrainingPlan(num_updates=50, updates_per_chunk=5, chunks_per_evaluation=2)


def row(speed: float, **more: float) -> MetricsRow:
    return MetricsRow(update=5, env_steps=1000, env_steps_per_second=speed, **more)


def test_the_first_update_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 5 updates that took 10 s, and an evaluation of 2 s, the first ended 10 s ago."""
    (tmp_path / "run.json").write_text('{"cores": 2}')
    monkeypatch.setattr(start, "process_seconds", lambda: 30.0)
    said: list[str] = []
    times = start.FirstRow(tmp_path, 3.0, PLAN, 200, said.append)
    for _ in range(2):
        times.log(row(100.0, evaluation_seconds=2.0))
    assert said == ["first update after 20.0 s, 3.0 s of them imports"]
    recorded = json.loads((tmp_path / "run.json").read_text())
    assert recorded == {"cores": 2, "imports_seconds": 3.0, "first_update_seconds": 20.0}
    start.FirstRow(tmp_path, 9.0, PLAN, 200, said.append).log(row(100.0))
    assert len(said) == 2
    assert json.loads((tmp_path / "run.json").read_text()) == recorded, "those of the first start"


def test_a_run_does_not_end_for_want_of_a_record(tmp_path: Path) -> None:
    said: list[str] = []
    start.FirstRow(tmp_path, 3.0, PLAN, 200, said.append).log(row(100.0))
    assert len(said) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_whose_chunks_are_long_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    start.FirstRow(tmp_path, 3.0, PLAN, 200, said.append).log(row(20.0))
    assert said[1:] == [
        "a signal may wait for two chunks of updates, 100 s; a checkpoint comes every 1.7 min: a "
        "run begun with more --num-evaluations has both sooner"
    ]
    one = TrainingPlan(num_updates=50, updates_per_chunk=1)
    start.FirstRow(tmp_path, 3.0, one, 200, said.append).log(row(10.0))
    assert (
        said[3]
        == "a signal may wait for two chunks of updates, 40 s; a checkpoint comes every 0.3 min"
    )


def test_a_process_knows_its_age() -> None:
    first, second = process_seconds(), process_seconds()
    assert 0 < first <= second < 24 * 3600
