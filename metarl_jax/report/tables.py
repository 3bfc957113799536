"""The numbers of a run as tables of a page: what was trained, what it earned, what it lives on."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from metarl_jax.evaluation.population_record import PointRecord
from metarl_jax.evaluation.record import EvaluationRecord, EvaluationSubject
from metarl_jax.experiment.run_config import RunConfig
from metarl_jax.experiment.settings import Settings
from metarl_jax.report.population import name_of
from metarl_jax.report.units import count, duration, quantity
from metarl_jax.training.metrics_row import MetricsRow

MOST_EPISODES = 12
"""Rows of episodes; of more, the first ones and the last, and those between at round numbers."""
ROUND_NUMBERS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
MINUS = "\N{MINUS SIGN}"
ACRONYMS = ("gru", "lstm", "snail")
REFERENCE_NAMES = {
    "random": "random actions",
    "memoryless": "best without memory",
    "optimal": "Bayes-optimal",
    "return_upper_bound": "upper bound of all policies",
    "oracle": "best where the task is told",
}


def trained(
    config: RunConfig,
    run: Mapping[str, Any],
    rows: Sequence[MetricsRow],
    evaluation: EvaluationSubject,
) -> dict[str, str]:
    """What was trained, how, and where, for a person.

    Args:
        config: of `config.json`.
        run: of `run.json`.
        rows: of `metrics.jsonl`.
        evaluation: of `evaluation.json`.
    """
    settings = config.settings
    arguments = ", ".join(f"{_plain(n)} {_value(v)}" for n, v in config.family.items())
    last = max(rows, key=lambda row: row.env_steps, default=None)
    facts = {"task family": f"{evaluation.task_family}: {arguments}".rstrip(": ")}
    facts["policy"] = policy_words(settings)
    facts["algorithm"] = (
        f"{settings.algorithm.name.upper()}, {settings.budget.num_tasks:,} tasks an update"
    )
    if last is not None:
        steps = count(last.env_steps)
        facts["trained for"] = f"{steps} environment steps, {last.update:,} updates"
    if last is not None and last.seconds is not None:
        devices = run.get("devices", [])
        on = f" on {len(devices)} × {devices[0]}" if devices else ""
        facts["in"] = f"{duration(last.seconds)}{on}"
    actions = "sampled" if evaluation.sampled_actions else "the most probable"
    facts["evaluated on"] = f"{evaluation.num_tasks:,} meta-test tasks, actions {actions}"
    versions = run.get("versions", {})
    named = [f"{name} {versions[name]}" for name in ("metarl-jax", "jax") if name in versions]
    facts["versions"] = ", ".join(named)
    return {name: text for name, text in facts.items() if text}


def policy_words(settings: Settings) -> str:
    """The policy and its memory, as in "adaptive, GRU of 64 units"."""
    if settings.memory is None:
        return settings.policy.name
    memory = settings.memory_name
    memory = memory.upper() if memory in ACRONYMS else memory.replace("-", " ")
    return f"{settings.policy.name}, {memory} of {settings.memory.hidden_size} units"


def headline(evaluation: EvaluationRecord) -> dict[str, str]:
    """The few numbers that a reader wants first."""
    means, width = evaluation.episode_return_mean, evaluation.total_return_ci95
    numbers = {"return of a meta-episode": total(evaluation)}
    if len(means) > 1:
        gain = f"{number(means[0])} → {number(means[-1])}"
        numbers[f"episode 1 → episode {len(means)}"] = gain
    if evaluation.normalized_score is not None:
        score, half_width = evaluation.normalized_score, evaluation.normalized_score_ci95
        numbers["normalized score"] = with_interval(score, half_width)
    if evaluation.regret is not None:
        # To a number that is known: as sure as the return itself.
        numbers["regret"] = with_interval(evaluation.regret, width)
    return numbers


def total(record: EvaluationRecord | PointRecord) -> str:
    """The return of a whole meta-episode with its 95% interval, as in "16.161 ± 0.054"."""
    return with_interval(record.total_return_mean, record.total_return_ci95)


def between(value: float, ends: tuple[float, float] | None) -> str:
    """A value with its 95% interval where there is one, as in "7.00, 6.50 to 7.20"."""
    if ends is None or not np.isfinite(ends).all():  # one task has no interval
        return number(value)
    return f"{number(value)}, {number(ends[0])} to {number(ends[1])}"


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
    return table(columns, lines)


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
    lines += [(REFERENCE_NAMES.get(name, _plain(name)), value) for name, value in known.items()]
    ordered = sorted(lines, key=lambda line: -line[1])
    return table(
        ["", "return of a meta-episode", "this policy less that"],
        [
            [name, number(value), "" if value is own else with_interval(own - value, width)]
            for name, value in ordered
        ],
    )


def ablations_table(evaluation: EvaluationRecord, ablations: Mapping[str, EvaluationRecord]) -> str:
    """The return with one thing at a time taken away; HTML."""
    lines = [["nothing", total(evaluation), ""]]
    for name, ablated in ablations.items():
        change = number(ablated.total_return_mean - evaluation.total_return_mean)
        lines.append([name, total(ablated), change])
    return table(["taken away", "return of a meta-episode", "change"], lines)


def measures_table(evaluation: EvaluationRecord) -> str:
    """The family's own measures, a column an episode; HTML, empty where there are none."""
    measures = {n: np.ravel(v).tolist() for n, v in (evaluation.measures or {}).items()}
    if not measures:
        return ""
    longest = max(map(len, measures.values()))
    shown = shown_episodes(longest)
    lines = [
        [_plain(name), *(_cell(values, n) for n in shown)] for name, values in measures.items()
    ]
    return table(["", *(f"episode {n}" if longest > 1 else "" for n in shown)], lines)


def points_table(points: Sequence[PointRecord]) -> str:
    """A line for each point of a sweep; HTML."""
    last = len(points[0].episode_return_mean)
    several = any(point.total_return_iqm is not None for point in points)
    lines = [
        [
            name_of(point).rstrip(": ") or "all",
            str(len(point.agents)),
            _episode(point, 0),
            _episode(point, last - 1),
            total(point),
            *[_middle_half(point)] * several,
        ]
        for point in points
    ]
    columns = ["", "agents", "episode 1", f"episode {last}", "whole meta-episode"]
    return table(columns + ["interquartile mean"] * several, lines)


def _middle_half(point: PointRecord) -> str:
    if point.total_return_iqm is None:
        return ""
    return between(point.total_return_iqm, point.total_return_iqm_interval95)


def table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """HTML of a table whose first column names the rows."""
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
    )


def _episode(record: EvaluationRecord | PointRecord, index: int) -> str:
    return with_interval(record.episode_return_mean[index], record.episode_return_ci95[index])


def with_interval(mean: float, width: float | None) -> str:
    """The mean to the second digit of its uncertainty, as far as that is within four decimals."""
    if width is None or not np.isfinite(width) or width <= 0:
        return number(mean)
    decimals = min(4, max(0, 1 - int(np.floor(np.log10(width)))))
    mean = round(mean, decimals) + 0.0  # turns -0.0 into 0.0
    return f"{mean:,.{decimals}f} ± {width:,.{decimals}f}".replace("-", MINUS)


def number(value: float) -> str:
    """`quantity` without exponents, and with a minus sign as wide as the plus."""
    text = f"{value:.4f}" if 0 < abs(value) < 0.01 else quantity(value)
    return text.replace("-", MINUS)


def _cell(values: Sequence[float | None], episode: int) -> str:
    value = values[episode - 1] if episode <= len(values) else None
    return "" if value is None else f"{value:.3f}".replace("-", MINUS)


def _plain(name: str) -> str:
    return name.removeprefix("num_").replace("_", " ")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
