"""`metarl list` and `metarl check FILE.py`: what is there, and what is told of it."""

import csv
import json
import pathlib
import statistics

import pytest

from metarl_experiments.commands.listing import presets_table
from metarl_experiments.reproduce.results import RESULTS
from metarl_experiments.runs import make_tasks
from metarl_jax.experiment.experiment import Experiment
from metarl_jax.experiment.registry import experiment_names, load_experiment
from support.command_line import BROKEN, assert_refused, metarl_here
from support.probes import counter

MEASURED = (RESULTS, RESULTS.with_name("rl2.csv"))


@pytest.fixture(scope="module")
def presets() -> list[Experiment]:
    return [load_experiment(name) for name in experiment_names()]


def test_every_preset_has_a_line_under_its_kind(tmp_path: pathlib.Path, presets) -> None:
    result = metarl_here("list", cwd=tmp_path)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    heading, shown = "", {}
    for line in lines:
        if line.startswith("  "):
            shown[line.split()[0]] = (heading, line)
        heading = heading if line.startswith("  ") else line.strip()
    for preset in presets:
        kind, line = shown[preset.name]
        assert kind == preset.kind
        assert "{} × {} ".format(*preset.meta_episode) in line
        assert f" {preset.settings.algorithm.name} " in line
        assert preset.summary in line


def test_numbers_in_names_are_in_order(tmp_path: pathlib.Path) -> None:
    lines = metarl_here("list", cwd=tmp_path).stdout.split()
    names = [word for word in lines if word.startswith("tabular_mdp_")]
    assert names == [f"tabular_mdp_{n}" for n in (10, 25, 50, 75, 100)]


def test_the_list_is_there_for_programs_too(tmp_path: pathlib.Path, presets) -> None:
    listed = json.loads(metarl_here("list", "--json", cwd=tmp_path).stdout)
    assert {each["name"]: each for each in listed}["goal_grid_3"] == {
        "name": "goal_grid_3",
        "kind": "grids and mazes",
        "summary": load_experiment("goal_grid_3").summary,
        "num_episodes": 4,
        "episode_length": 6,
        "algorithm": "a2c",
        "memory": "gru",
        "total_steps": 10_000_000,
        "minutes": 0.25,
    }
    assert [each["name"] for each in listed] == [preset.name for preset in presets]


def test_what_a_preset_does_not_state_is_left_out() -> None:
    bare = Experiment(name="bare", summary="", family=counter)
    cells = [list(column.cells) for column in presets_table([bare]).columns]
    assert cells == [["[bold]others[/bold]", "  bare"], ["", ""], ["", "a2c"], ["", ""], ["", ""]]


@pytest.mark.parametrize("name", experiment_names())
def test_a_preset_states_the_meta_episode_of_its_family(name: str) -> None:
    preset = load_experiment(name)
    tasks = make_tasks(preset, preset.arguments)
    assert preset.meta_episode == (tasks.num_episodes, tasks.episode_length)
    assert preset.kind


@pytest.mark.parametrize("name", experiment_names())
def test_minutes_are_those_of_the_committed_results(name: str) -> None:
    """Of runs with the preset's own settings; none are stated where there is no such run."""
    preset = load_experiment(name)
    own = {
        "policy": preset.settings.policy.name,
        "algorithm": preset.settings.algorithm.name,
        "memory": preset.settings.memory_name,
        "flags": "",
    }
    steps = preset.settings.budget.total_steps
    seconds = [
        float(row["seconds"])
        for path in MEASURED
        for row in csv.DictReader(path.open())
        if row["experiment"] == name
        and all(row.get(key, value) == value for key, value in own.items())
        and steps <= float(row["env_steps"]) < 1.05 * steps
    ]
    if not seconds:
        assert preset.minutes is None
    else:
        assert preset.minutes == pytest.approx(statistics.median(seconds) / 60, rel=0.05)


FILE = """
from metarl_jax import Experiment, TaskDistribution

def corridor(*, length: int = 3) -> TaskDistribution:
    \"\"\"A corridor with a hidden end.

    Args:
        length: of it.
    \"\"\"

def _hidden() -> TaskDistribution: ...
def helper(x): ...

long = Experiment(name="long", summary="a long corridor", family=corridor)
"""


def test_check_lists_what_a_file_holds(tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    result = metarl_here("check", "mine.py", cwd=tmp_path)
    assert result.returncode == 0
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines() if line.startswith(" ")]
    assert lines == [["long", "a long corridor"], ["corridor", "A corridor with a hidden end."]]


def test_a_misspelt_name_in_a_file_suggests_the_near_one(tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    for given, meant in (("corridoor", "corridor"), ("lnog", "long")):
        refused = metarl_here("check", f"mine.py:{given}", cwd=tmp_path)
        assert_refused(refused, f"did you mean {meant}?")
    far = metarl_here("check", "mine.py:zebra", cwd=tmp_path)
    assert_refused(far, "metarl check mine.py")
    assert "did you mean" not in far.stderr


def test_a_file_that_holds_nothing_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n")
    assert_refused(metarl_here("check", "empty.py", cwd=tmp_path), "got none", "TaskDistribution")
    assert_refused(metarl_here("check", "missing.py", cwd=tmp_path), "no file 'missing.py'")


def test_all_of_the_broken_families_are_listed(tmp_path: pathlib.Path) -> None:
    result = metarl_here("check", BROKEN, cwd=tmp_path)
    assert "  sound " in result.stdout and "  nan_at_once" in result.stdout
