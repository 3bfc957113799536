"""The kinds that a branch of the settings takes: by name, by place, or by entry point."""

import contextlib
import dataclasses
import importlib.metadata
import io
import sys
from pathlib import Path
from typing import Any

import optax
import pytest

from metarl_jax import Adam, ConfigurationError, Settings
from metarl_jax.experiment.code import load_object
from metarl_jax.experiment.kinds import CHOICES, GROUPS, kind_names, kind_of
from metarl_jax.experiment.run_config import settings_from_json, settings_to_json

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "corridor.py"


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package offers the example's parts by short names."""

    def entry_points(*, group: str) -> list[importlib.metadata.EntryPoint]:
        found = {
            "metarl_jax.memories": "min_gru",
            "metarl_jax.objectives": "objective",
            "metarl_jax.optimizers": "lion",
        }
        names = [found[group]] if group in found else []  # jax asks for its plug-ins
        return [importlib.metadata.EntryPoint(f"their_{n}", f"{EXAMPLE}:{n}", group) for n in names]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)


def test_an_entry_point_offers_a_kind_by_its_name(offered: None) -> None:
    assert kind_names("memory") == (*CHOICES["memory"], "their_min_gru")
    settings = Settings().choose("memory", "their_min_gru").choose("objective", "their_objective")
    settings = settings.choose("optimizer", "their_lion")
    assert settings.change({"memory.hidden_size": 5}).memory.build(9).name == "min_gru"
    assert settings.memory_name == "their_min_gru"
    again = settings_from_json(settings_to_json(settings), Path("config.json"))
    assert again == settings


def test_a_choice_carries_over_what_both_have() -> None:
    settings = Settings().change({"optimizer.learning_rate": (1e-2,), "memory.hidden_size": 7})
    chosen = settings.choose("optimizer", "muon").choose("memory", f"{EXAMPLE}:min_gru")
    assert chosen.optimizer.learning_rate == (1e-2,)
    assert chosen.memory.hidden_size == 7
    assert not chosen.has("memory.num_layers")


def test_a_function_of_optax_is_no_setting() -> None:
    schedule: Any = optax.constant_schedule(0.1)
    with pytest.raises(ConfigurationError, match="learning_rate must be numbers"):
        Settings(optimizer=Adam(learning_rate=schedule))
    with pytest.raises(ConfigurationError, match="expected numbers for weight"):
        Settings(own_hyperparameters={"weight": schedule})


LATE = """
from __future__ import annotations
import functools
import optax
from metarl_jax import Memory, adam, gru

def late(hidden_size: int = 4) -> Memory:
    return gru(hidden_size)

def mutable(sizes: list = [4]) -> Memory:
    return gru(sizes[0])

partial = functools.partial(lambda scale, h: optax.sgd(scale * h["learning_rate"]), 2.0)
"""


def test_own_code_may_defer_its_annotations_and_be_a_partial(tmp_path: Path) -> None:
    file = tmp_path / "late.py"
    file.write_text(LATE)
    memory = kind_of("memory", f"{file}:late")(hidden_size=5)
    assert dataclasses.fields(memory)[0].type is int and memory.build(3).name == "gru"
    assert kind_of("optimizer", f"{file}:partial").optimizer({"learning_rate": 0.1})
    with pytest.raises(ConfigurationError, match="write a tuple"):
        kind_of("memory", f"{file}:mutable")


def test_a_file_is_executed_once_and_each_of_two_with_one_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "own.py").write_text(f"print('run', {name!r})\nNAME = {name!r}\n")
    places = [f"{tmp_path / name / 'own.py'}:NAME" for name in ("one", "two")]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert [load_object(place) for place in 2 * places] == ["one", "two"] * 2
    assert printed.getvalue() == "run one\nrun two\n"
    assert sum("metarl_experiment_own_" in name for name in sys.modules) == 2


def test_own_hyperparameters_are_schedules_like_ours() -> None:
    settings = Settings(own_hyperparameters={"weight": (1.0, 0.0)})
    assert settings.schedules()["weight"] == (1.0, 0.0)
    assert settings.with_schedules({"weight": 0.5}).own_hyperparameters == {"weight": (0.5,)}
    assert hash(settings) is not None
    with pytest.raises(ConfigurationError, match="discount"):
        Settings(own_hyperparameters={"discount": (0.9,)})


@pytest.mark.parametrize("branch", ["policy", "algorithm", *GROUPS])
def test_a_kind_that_there_is_not_is_refused_by_name(branch: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{branch} must be one of .*, got 'none'"):
        kind_of(branch, "none")
