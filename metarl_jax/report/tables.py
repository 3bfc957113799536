"""The numbers of a run as tables of a page, and what they mean where they stand."""

import html
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from metarl_jax.evaluation.ablated import Ablated
from metarl_jax.evaluation.population_record import PointRecord
from metarl_jax.evaluation.record import EvaluationRecord
from metarl_jax.report.population import name_of
from metarl_jax.report.units import MINUS, between, number, plain_name, with_interval

MOST_EPISODES = 12
"""Rows of episodes; of more, the first ones and the last, and those between at round numbers."""
ROUND_NUMBERS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
WORST_FIFTH = (
    "A fifth of the tasks get less than the 20th percentile of the return over the tasks: what the "
    "policy earns where it does badly. Its interval is a bootstrap over the tasks."
)
MIDDLE_HALF = (
    "The interquartile mean is the mean of the middle half of the agents: neither one agent that "
    "failed nor one that was lucky moves it. Its interval is a bootstrap over the agents."
)
REFERENCE_NAMES = {
    "random": "random actions",
    "memoryless": "best without memory",
    "optimal": "Bayes-optimal",
    "return_upper_bound": "upper bound of all policies",
    "oracle": "best where the task is told",
}


def total(record: EvaluationRecord | PointRecord) -> str:
    """The return of a whole meta-episode with its 95% interval, as in "16.161 ± 0.054"."""
    return with_interval(record.total_return_mean, record.total_return_ci95)


def episodes_table(
    evaluation: EvaluationRecord,
    baselines: Sequence[EvaluationRecord],
    optimal_episodes: Sequence[float],
) -> str:
    """Return of each episode, a column for each policy; HTML."""
    records = [evaluation, *baselines]
    num_episodes = len(evaluation.episode_return_mean)
    optimum = list(optimal_episodes[:num_episodes])
    columns = ["", *(record.policy for record in records), *["Bayes-optimal"] * bool(optimum)]
    lines = [
        [
            f"episode {n}",
            *(_episode(record, n - 1) for record in records),
            *([number(optimum[n - 1])] if n <= len(optimum) else []),
        ]
        for n in shown_episodes(num_episodes)
    ]
    whole = ["whole meta-episode", *map(total, records)]
    lines.append(whole + [number(sum(optimum))] * bool(optimum))
    for label, cell, known in (
        ("last episode less the first", _gain, evaluation.adaptation_gain),
        ("a fifth of the tasks get less than", _worst_fifth, evaluation.total_return_p20),
    ):
        if np.isfinite(known):  # older files do not say
            lines.append([label, *map(cell, records), *[""] * bool(optimum)])
    knows_fifth = np.isfinite(evaluation.total_return_p20)
    return table(columns, lines, note=WORST_FIFTH if knows_fifth else "")


def _gain(record: EvaluationRecord) -> str:
    if not np.isfinite(record.adaptation_gain):
        return ""
    return with_interval(record.adaptation_gain, record.adaptation_gain_ci95)


def _worst_fifth(record: EvaluationRecord) -> str:
    if not np.isfinite(record.total_return_p20):
        return ""
    return between(record.total_return_p20, record.total_return_p20_interval95)


def shown_episodes(num_episodes: int) -> list[int]:
    """Numbers of the episodes that get a row, from 1."""
    if num_episodes <= MOST_EPISODES:
        return list(range(1, num_episodes + 1))
    return sorted({*(n for n in ROUND_NUMBERS if n < num_episodes), num_episodes})


def references_table(evaluation: EvaluationRecord) -> str:
    """What other ways of acting earn in a whole meta-episode; HTML, empty where none is known."""
    known = evaluation.references.known()
    if not known:
        return ""
    own, width = evaluation.total_return_mean, evaluation.total_return_ci95
    lines = [(evaluation.policy, own)]
    lines += [(REFERENCE_NAMES.get(name, plain_name(name)), value) for name, value in known.items()]
    ordered = sorted(lines, key=lambda line: -line[1])
    return table(
        ["", "return of a meta-episode", "this policy less that"],
        [
            [name, number(value), "" if value is own else with_interval(own - value, width)]
            for name, value in ordered
        ],
    )


def ablations_table(evaluation: EvaluationRecord, ablations: Mapping[str, Ablated]) -> str:
    """The return with one thing at a time taken away, and the change; HTML."""
    lines = [["nothing", total(evaluation), ""]]
    for name, ablated in ablations.items():
        change = with_interval(ablated.change, ablated.change_ci95)
        lines.append([name, total(ablated.record), change])
    return table(["taken away", "return of a meta-episode", "change"], lines)


def measures_table(evaluation: EvaluationRecord) -> str:
    """The family's own measures, a column an episode; HTML, empty where there are none."""
    measures = {n: np.ravel(v).tolist() for n, v in (evaluation.measures or {}).items()}
    if not measures:
        return ""
    longest = max(map(len, measures.values()))
    shown = shown_episodes(longest)
    lines = [
        [plain_name(name), *(_cell(values, n) for n in shown)] for name, values in measures.items()
    ]
    return table(["", *(f"episode {n}" if longest > 1 else "" for n in shown)], lines)


def points_table(points: Sequence[PointRecord]) -> str:
    """A line for each point of a sweep; HTML."""
    last = len(points[0].episode_return_mean)
    several = any(point.total_return_iqm is not None for point in points)
    lines = [
        [
            name_of(point),
            str(len(point.agents)),
            _episode(point, 0),
            _episode(point, last - 1),
            total(point),
            *[_middle_half(point)] * several,
        ]
        for point in points
    ]
    columns = ["", "agents", "episode 1", f"episode {last}", "whole meta-episode"]
    columns += ["interquartile mean"] * several
    return table(columns, lines, note=MIDDLE_HALF if several else "")


def _middle_half(point: PointRecord) -> str:
    if point.total_return_iqm is None:
        return ""
    return between(point.total_return_iqm, point.total_return_iqm_interval95)


def table(columns: Sequence[str], lines: Iterable[Sequence[str]], *, note: str = "") -> str:
    """HTML of a table whose first column names the rows, with an explanation below it."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in lines
    )
    return (
        '<div class="scrolls card" tabindex="0" role="region" aria-label="table"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        + (f'<p class="note">{html.escape(note)}</p>' if note else "")
    )


def _episode(record: EvaluationRecord | PointRecord, index: int) -> str:
    return with_interval(record.episode_return_mean[index], record.episode_return_ci95[index])


def _cell(values: Sequence[float | None], episode: int) -> str:
    value = values[episode - 1] if episode <= len(values) else None
    return "" if value is None else f"{value:.3f}".replace("-", MINUS)
