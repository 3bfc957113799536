"""`make reproduce WHAT=classical`: the classical agents of RL²'s two tables, by our evaluator.

Published are the totals of Duan et al. (2016), "RL²: Fast Reinforcement Learning via Slow
Reinforcement Learning", Tables 1 and 2, whose "UCB1" has a constant that was tuned: `ucb` here.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import jax

from metarl_envs.bandit import bandit
from metarl_envs.tabular_mdp import tabular_mdp
from metarl_experiments.reproduce.results import RESULTS, csv_text, markdown
from metarl_jax.evaluation.evaluate import make_evaluator
from metarl_jax.evaluation.evaluation import Evaluation
from metarl_jax.evaluation.statistics import NORMAL_QUANTILE
from metarl_jax.files import write_whole
from metarl_jax.tasks.distribution import TaskDistribution

CLASSICAL = RESULTS.with_name("classical.csv")
SEED = 2_147_483_423
"""Of the tasks and the agents' luck."""

BANDIT_AGENTS = (
    *("gittins", "ucb", "ucb1", "thompson", "optimistic-thompson"),
    *("greedy", "epsilon-greedy", "random"),
)
TABULAR_AGENTS = (
    *("known-mdp", "psrl", "opsrl", "ucrl2", "beb", "epsilon-greedy", "greedy", "random"),
)
ARMS, PULLS, EPISODES = (5, 10, 50), (10, 100, 500), (10, 25, 50, 75, 100)
BANDIT_TASKS = {10: 20_000, 100: 20_000, 500: 4_000}
"""By pulls. Known probabilities are a control variate, or 500 pulls would ask for many more."""
TABULAR_TASKS = 500

# By (pulls, arms), and by episodes.
PUBLISHED_BANDIT: Mapping[tuple[int, int], Mapping[str, float]] = {
    (10, 5): {"gittins": 6.6, "thompson": 5.7, "ucb": 6.7},
    (10, 10): {"gittins": 6.6, "thompson": 5.5, "ucb": 6.7},
    (10, 50): {"gittins": 6.5, "thompson": 5.2, "ucb": 6.6},
    (100, 5): {"gittins": 78.3, "thompson": 74.7, "ucb": 78.0},
    (100, 10): {"gittins": 82.8, "thompson": 76.7, "ucb": 82.4},
    (100, 50): {"gittins": 85.2, "thompson": 64.5, "ucb": 84.3},
    (500, 5): {"gittins": 405.8, "thompson": 402.0, "ucb": 405.8},
    (500, 10): {"gittins": 437.8, "thompson": 429.5, "ucb": 437.1},
    (500, 50): {"gittins": 463.7, "thompson": 427.2, "ucb": 457.6},
}
_TABULAR_COLUMNS = ("random", "psrl", "opsrl", "ucrl2", "beb", "epsilon-greedy", "greedy")
PUBLISHED_TABULAR: Mapping[int, Mapping[str, float]] = {
    episodes: dict(zip(_TABULAR_COLUMNS, totals, strict=True))
    for episodes, totals in {
        10: (100.1, 138.1, 144.1, 146.6, 150.2, 132.8, 134.8),
        25: (250.2, 408.8, 425.2, 424.1, 427.8, 377.3, 368.8),
        50: (499.7, 904.4, 930.7, 918.9, 917.8, 823.3, 769.3),
        75: (749.9, 1417.1, 1449.2, 1427.6, 1422.6, 1293.9, 1172.9),
        100: (999.4, 1939.5, 1973.9, 1942.1, 1935.1, 1778.2, 1578.5),
    }.items()
}


class Row(NamedTuple):
    """An agent's mean total.

    Attributes:
        family: bandit or tabular_mdp.
        episodes: n, pulls of a bandit.
        arms: k; 0 for an MDP.
        agent: of the family's references.
        total: mean return of a meta-episode.
        standard_error: of it.
        published: the same in the paper; None where it has none.
        num_tasks: evaluated on.
    """

    family: str
    episodes: int
    arms: int
    agent: str
    total: float
    standard_error: float
    published: float | None
    num_tasks: int


def reproduce_classical(path: Path = CLASSICAL) -> None:
    """Evaluates every agent, writes a row at a time, and prints the tables."""
    rows: list[Row] = []
    for row in classical_rows():
        rows.append(row)
        write_whole(path, csv_text(Row._fields, rows))
        print(
            f"{row.family} n={row.episodes} k={row.arms} {row.agent}: {row.total:.2f}", flush=True
        )
    print(f"{bandit_table(rows)}\n\n{tabular_table(rows)}")


def classical_rows() -> Iterator[Row]:
    """Every agent of every cell of the two tables."""
    for pulls in PULLS:
        for arms in ARMS:
            tasks = bandit(num_arms=arms, num_pulls=pulls)
            published = PUBLISHED_BANDIT[pulls, arms]
            for agent in BANDIT_AGENTS:
                evaluation = evaluate_agent(tasks, agent, BANDIT_TASKS[pulls])
                yield _row("bandit", pulls, arms, agent, evaluation, published)
    tasks = tabular_mdp(num_episodes=max(EPISODES))
    for agent in TABULAR_AGENTS:  # which play n episodes as the first n of more
        whole = evaluate_agent(tasks, agent, TABULAR_TASKS)
        for episodes in EPISODES:
            first = Evaluation(whole.episode_returns[:, :episodes], whole.task_set_hash)
            yield _row("tabular_mdp", episodes, 0, agent, first, PUBLISHED_TABULAR[episodes])


def evaluate_agent(tasks: TaskDistribution, agent: str, num_tasks: int) -> Evaluation:
    """Of one of the family's agents, on tasks that are the same for all of them."""
    tasks_key, actors_key = jax.random.split(jax.random.key(SEED))
    policy, devices = tasks.references().agents[agent](), jax.local_device_count()
    evaluator = make_evaluator(tasks, policy, tasks_key, num_tasks, num_devices=devices)
    return evaluator(policy.init(jax.random.key(0)), actors_key)


def _row(
    family: str,
    episodes: int,
    arms: int,
    agent: str,
    evaluation: Evaluation,
    published: Mapping[str, float],
) -> Row:
    error = evaluation.total_return_ci95 / NORMAL_QUANTILE
    total = round(evaluation.total_return_mean, 4)
    known = published.get(agent)
    return Row(family, episodes, arms, agent, total, round(error, 4), known, evaluation.num_tasks)


def read_rows(path: Path = CLASSICAL) -> list[Row]:
    """What was measured."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Row(
                line["family"],
                int(line["episodes"]),
                int(line["arms"]),
                line["agent"],
                float(line["total"]),
                float(line["standard_error"]),
                float(line["published"]) if line["published"] else None,
                int(line["num_tasks"]),
            )
            for line in csv.DictReader(file)
        ]


def bandit_table(rows: Iterable[Row]) -> str:
    """A line for every n and k; what was published in brackets."""
    return _table([row for row in rows if row.family == "bandit"], BANDIT_AGENTS)


def tabular_table(rows: Iterable[Row]) -> str:
    """A line for every n; what was published in brackets."""
    return _table([row for row in rows if row.family == "tabular_mdp"], TABULAR_AGENTS)


def _table(rows: list[Row], agents: tuple[str, ...]) -> str:
    cells = {(row.episodes, row.arms, row.agent): _cell(row) for row in rows}
    places = dict.fromkeys((row.episodes, row.arms) for row in rows)
    return markdown(
        ("n, k" if any(arms for _, arms in places) else "n", *agents),
        (
            [f"{n}, {k}" if k else f"{n}", *(cells.get((n, k, agent), "") for agent in agents)]
            for n, k in places
        ),
    )


def _cell(row: Row) -> str:
    digits = 2 if row.standard_error < 0.05 else 1
    said = "" if row.published is None else f" [{row.published:g}]"
    return f"{row.total:.{digits}f} ± {row.standard_error:.{digits}f}{said}"
