"""`make reproduce WHAT=classical`: rows as measured, tables as written, agents as simulated."""

import pytest

from metarl_envs.bandit import bandit
from metarl_experiments.reproduce import classical
from metarl_experiments.reproduce.classical import (
    CLASSICAL,
    bandit_table,
    evaluate_agent,
    read_rows,
    tabular_table,
)

# Simulated elsewhere, by independent numpy loops, with their standard errors: of Thompson and of
# greedy those of Gittins on as many tasks, or half of the last digit.
SIMULATED = {
    (10, 5): {
        "gittins": (6.661, 0.002),
        "ucb": (6.648, 0.011),
        "thompson": (5.84, 0.005),
        "greedy": (6.57, 0.005),
    },
    (10, 10): {
        "gittins": (6.716, 0.002),
        "ucb": (6.715, 0.011),
        "thompson": (5.58, 0.005),
        "greedy": (6.61, 0.005),
    },
    (10, 50): {"gittins": (6.714, 0.002), "thompson": (5.15, 0.005), "greedy": (6.61, 0.005)},
    (100, 5): {
        "gittins": (78.65, 0.03),
        "ucb": (78.44, 0.11),
        "thompson": (75.04, 0.03),
        "greedy": (75.06, 0.03),
    },
    (100, 10): {
        "gittins": (83.75, 0.02),
        "ucb": (83.29, 0.08),
        "thompson": (77.07, 0.02),
        "greedy": (77.88, 0.02),
    },
    (100, 50): {
        "gittins": (85.54, 0.02),
        "ucb": (84.78, 0.06),
        "thompson": (64.47, 0.02),
        "greedy": (78.25, 0.02),
    },
    (500, 5): {
        "gittins": (408.6, 0.3),
        "ucb": (407.0, 0.5),
        "thompson": (403.7, 0.3),
        "greedy": (383.7, 0.3),
    },
    (500, 10): {
        "gittins": (442.2, 0.2),
        "ucb": (439.6, 0.3),
        "thompson": (431.1, 0.2),
        "greedy": (400.4, 0.2),
    },
    (500, 50): {"gittins": (465.1, 0.2), "thompson": (426.3, 0.2), "greedy": (403.0, 0.2)},
}


def test_a_row_is_the_evaluators_figure_and_is_read_as_written(tmp_path, monkeypatch):
    monkeypatch.setattr(classical, "PULLS", (10,))
    monkeypatch.setattr(classical, "ARMS", (5,))
    monkeypatch.setattr(classical, "BANDIT_AGENTS", ("gittins", "random"))
    monkeypatch.setattr(classical, "TABULAR_AGENTS", ("random",))
    monkeypatch.setattr(classical, "EPISODES", (10, 25))
    monkeypatch.setattr(classical, "BANDIT_TASKS", {10: 500})
    monkeypatch.setattr(classical, "TABULAR_TASKS", 50)
    path = tmp_path / "classical.csv"
    classical.reproduce_classical(path)
    rows = read_rows(path)
    assert [row[:4] for row in rows] == [
        ("bandit", 10, 5, "gittins"),
        ("bandit", 10, 5, "random"),
        ("tabular_mdp", 10, 0, "random"),
        ("tabular_mdp", 25, 0, "random"),
    ]
    evaluation = evaluate_agent(bandit(num_arms=5, num_pulls=10), "gittins", 500)
    assert rows[0].total == pytest.approx(evaluation.total_return_mean, abs=1e-4)
    assert rows[0].standard_error == pytest.approx(evaluation.total_return_ci95 / 1.96, abs=1e-4)
    assert (rows[0].published, rows[1].published, rows[2].published) == (6.6, None, 100.1)
    for row, expected in zip(rows[1:], (5.0, 100.0, 250.0), strict=True):
        assert abs(row.total - expected) < 4 * row.standard_error
    assert "| 10, 5 | 6.7 ± 0.1 [6.6] | 5.0 ± 0.1 |" in bandit_table(rows)
    assert "[100.1]" in tabular_table(rows) and "| 25 |" in tabular_table(rows)


def test_the_committed_rows_are_those_simulated_elsewhere():
    """Within four standard errors of the two."""
    rows = {(row.episodes, row.arms, row.agent): row for row in read_rows(CLASSICAL)}
    for (pulls, arms), agents in SIMULATED.items():
        for agent, (total, error) in agents.items():
            row = rows[pulls, arms, agent]
            assert abs(row.total - total) < 4 * (row.standard_error**2 + error**2) ** 0.5, row
    for (pulls, arms), agents in classical.PUBLISHED_BANDIT.items():
        assert {name: rows[pulls, arms, name].published for name in agents} == dict(agents)
