"""The table of results: read as written, one line for every experiment and algorithm."""

from metarl_experiments.results import (
    COLUMNS,
    markdown_table,
    measures_table,
    read_results,
    write_results,
)


def row(experiment: str, policy: str, algorithm: str, total: float, **more: float) -> dict:
    values = {"experiment": experiment, "policy": policy, "algorithm": algorithm}
    return values | {"total_return": total, "total_ci95": 0.014} | more


def keyed(*rows: dict) -> dict:
    return {(each["experiment"], each["policy"], each["algorithm"]): each for each in rows}


ROWS = keyed(
    row("mouse_lecture", "recurrent", "a2c", 4.9994, ablated_return=2.0007, ablated_ci95=0.055),
    row("mouse_lecture", "memoryless", "a2c", 0.0),
    row("bandit_10_5", "recurrent", "reinforce", 6.614),
    row("bandit_10_5", "recurrent", "a2c", 6.638),
)


def test_a_line_for_every_experiment_and_algorithm() -> None:
    assert markdown_table(ROWS).splitlines()[2:] == [
        "| `bandit_10_5` | A2C | 6.66 | 6.64 ± 0.01 |  |  |  |",
        "| `bandit_10_5` | REINFORCE | 6.66 | 6.61 ± 0.01 |  |  |  |",
        "| `mouse_lecture` | A2C | 5.00 | 5.00 ± 0.01 | 0.00 ± 0.01 |  | 2.00 ± 0.06 |",
    ]


def test_a_line_for_every_measure_of_a_recurrent_policy() -> None:
    measures = '{"mean_steps_to_cheese": [17.04, 9.5], "fruitless_repeat_rate": 0.0}'
    rows = keyed(
        row("mouse_cheese", "recurrent", "a2c", 2.4, measures=measures),
        row("mouse_cheese", "memoryless", "a2c", 0.4, measures=measures),
        row("bandit_10_5", "recurrent", "a2c", 6.6, measures="{}"),
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
