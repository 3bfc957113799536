"""The kinds that a branch of the settings takes: by name, by place, or by entry point."""

import importlib.metadata
from pathlib import Path

import pytest

from metarl_jax import ConfigurationError, Settings
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
        name = found[group]
        return [importlib.metadata.EntryPoint(f"their_{name}", f"{EXAMPLE}:{name}", group)]

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
