"""The tables of results: read as written, one line for every experiment and algorithm."""

from typing import Any

from metarl_experiments.reproduce.more_episodes import more_episodes_figure, with_more_episodes
from metarl_experiments.reproduce.results import (
    COLUMNS,
    ResultKey,
    markdown_table,
    measures_table,
    memories_table,
    read_results,
    write_results,
)


def row(experiment: str, policy: str, algorithm: str, total: float, **more: Any) -> dict:
    memory = "" if policy == "memoryless" else "gru"
    values = {"experiment": experiment, "policy": policy, "algorithm": algorithm}
    values |= {"memory": memory, "flags": "", "total_return": total, "total_ci95": 0.014}
    return values | more


def keyed(*rows: dict) -> dict:
    return {ResultKey(*(each[name] for name in ResultKey._fields)): each for each in rows}


TRAINING = {"first_episode": 0.5, "last_episode": 0.8, "env_steps": "2000000", "seconds": "61"}
ROWS = keyed(
    row("mouse_lecture", "adaptive", "a2c", 4.9994, ablated_return=2.0007, ablated_ci95=0.055),
    row("mouse_lecture", "memoryless", "a2c", 0.0),
    row("bandit_10_5", "adaptive", "reinforce", 6.614),
    row("bandit_10_5", "adaptive", "a2c", 6.638, **TRAINING),
    row("bandit_10_5", "adaptive", "a2c", 6.65, memory="lstm", **TRAINING),
    row("bandit_10_5", "memoryless", "a2c", 5.0, **TRAINING),
    row("bandit_10_5", "contextual", "a2c", 8.3, **TRAINING),
    row("bandit_10_5", "adaptive", "a2c", 6.0, flags="--seed 1", **TRAINING),
)


def test_a_line_for_every_experiment_and_algorithm() -> None:
    assert markdown_table(ROWS).splitlines()[2:] == [
        "| `bandit_10_5` | A2C | 6.66 | 6.64 ± 0.01 | 5.00 ± 0.01 | 8.30 ± 0.01 |  |",
        "| `bandit_10_5` | REINFORCE | 6.66 | 6.61 ± 0.01 |  |  |  |",
        "| `mouse_lecture` | A2C | 5.00 | 5.00 ± 0.01 | 0.00 ± 0.01 |  | 2.00 ± 0.06 |",
    ]


def test_a_line_for_every_memory_of_what_was_learned_with_several() -> None:
    """Best first; not what was learned with one alone, nor what was told the task."""
    shared = "0.50 | 0.80 | 2 | 61 |"
    assert memories_table(ROWS).splitlines()[2:] == [
        f"| `bandit_10_5` | lstm | 6.65 ± 0.01 | {shared}",
        f"| `bandit_10_5` | gru | 6.64 ± 0.01 | {shared}",
        f"| `bandit_10_5` | memoryless | 5.00 ± 0.01 | {shared}",
    ]
    flagged = {key: each for key, each in ROWS.items() if key.experiment == "bandit_10_5"}
    flagged = keyed(*(each | {"flags": "--seed 1"} for each in flagged.values()))
    assert memories_table(flagged).splitlines()[2].startswith("| `bandit_10_5 --seed 1` | lstm |")
    assert len(markdown_table(flagged).splitlines()) == 2, "a preset has no further flags"


def test_a_line_for_every_measure_of_a_recurrent_policy() -> None:
    measures = '{"mean_steps_to_cheese": [17.04, 9.5], "fruitless_repeat_rate": 0.0}'
    rows = keyed(
        row("mouse_cheese", "adaptive", "a2c", 2.4, measures=measures),
        row("mouse_cheese", "memoryless", "a2c", 0.4, measures=measures),
        row("bandit_10_5", "adaptive", "a2c", 6.6, measures="{}"),
    )
    assert measures_table(rows).splitlines()[2:] == [
        "| `mouse_cheese` | A2C | mean steps to cheese | 17, 9.5 |",
        "| `mouse_cheese` | A2C | fruitless repeat rate | 0 |",
    ]


def test_results_are_read_as_they_were_written(tmp_path) -> None:
    path = tmp_path / "results" / "families.csv"
    assert read_results(path) == {}
    write_results(ROWS, path)
    found = read_results(path)
    assert list(found) == sorted(ROWS)
    assert markdown_table(found) == markdown_table(ROWS)
    text = path.read_text()
    assert text.splitlines()[0] == ",".join(COLUMNS)
    write_results(dict(reversed(list(found.items()))), path)
    assert path.read_text() == text


def test_more_episodes_have_a_figure_of_their_own() -> None:
    more = {"more_episodes": "[1.0, 2.0, 2.5]", "more_episodes_ci95": "[0.1, 0.1, 0.2]"}
    rows = keyed(
        row("goal_grid_5", "adaptive", "a2c", 3.0, **more),
        row("goal_grid_5", "adaptive", "a2c", 3.0, memory="snail", **more),
        row("goal_grid_5", "adaptive", "ppo", 3.0, more_episodes=""),
    )
    drawn = with_more_episodes(rows)
    assert {key.memory for key in drawn} == {"gru", "snail"}
    [axes] = more_episodes_figure(drawn, trained_on=2).axes
    assert {text.get_text() for text in axes.texts} == {"gru", "snail"}
    assert list(axes.get_xticks()) == [1, 2, 3]
