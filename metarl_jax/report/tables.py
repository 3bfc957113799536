"""The numbers of a run as tables of a page: what was trained, what it earned, what it lives on."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from metarl_jax.report.population import name_of
from metarl_jax.report.units import count, duration, quantity

MOST_EPISODES = 12
"""Rows of episodes; of more, the first ones and the last, and those between at round numbers."""
ROUND_NUMBERS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
MINUS = "\N{MINUS SIGN}"
ACRONYMS = ("gru", "lstm", "snail")
REFERENCE_NAMES = {
    "random": "random actions",
    "memoryless": "best without memory",
    "optimal": "Bayes-optimal",
    "bound": "upper bound of all policies",
    "known_task": "best where the task is told",
}


def trained(
    config: Mapping[str, Any],
    run: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    evaluation: Mapping[str, Any],
) -> dict[str, str]:
    """What was trained, how, and where, for a person.

    Args:
        config: of `config.json`.
        run: of `run.json`.
        rows: of `metrics.jsonl`.
        evaluation: of `evaluation.json`.
    """
    settings = config["settings"]
    arguments = ", ".join(f"{_plain(n)} {_value(v)}" for n, v in config["family"].items())
    last = max((row for row in rows if "env_steps" in row), key=_steps, default={})
    facts = {"task family": f"{evaluation['task_family']}: {arguments}".rstrip(": ")}
    facts["policy"] = policy_words(settings)
    facts["algorithm"] = (
        f"{settings['algorithm'].upper()}, {settings['num_tasks']:,} tasks an update"
    )
    if last:
        facts["trained for"] = f"{count(last['env_steps'])} environment steps, " + (
            f"{last['update']:,} updates" if "update" in last else ""
        )
    if "seconds" in last:
        devices = run.get("devices", [])
        on = f" on {len(devices)} × {devices[0]}" if devices else ""
        facts["in"] = f"{duration(last['seconds'])}{on}"
    actions = "sampled" if evaluation["sampled_actions"] else "the most probable"
    facts["evaluated on"] = f"{evaluation['num_tasks']:,} meta-test tasks, actions {actions}"
    versions = run.get("versions", {})
    named = [f"{name} {versions[name]}" for name in ("metarl-jax", "jax") if name in versions]
    facts["versions"] = ", ".join(named)
    return {name: text for name, text in facts.items() if text}


def policy_words(settings: Mapping[str, Any]) -> str:
    """The policy and its memory, as in "adaptive, gru of 64 units"."""
    if settings["policy"] == "memoryless":
        return "memoryless"
    memory = settings["memory"]
    memory = memory.upper() if memory in ACRONYMS else memory.replace("-", " ")
    return f"{settings['policy']}, {memory} of {settings['hidden_size']} units"


def headline(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """The few numbers that a reader wants first."""
    means = evaluation["episode_return_mean"]
    numbers = {"return of a meta-episode": interval(evaluation, "total_return")}
    if len(means) > 1:
        gain = f"{number(means[0])} → {number(means[-1])}"
        numbers[f"episode 1 → episode {len(means)}"] = gain
    if evaluation.get("normalized_score") is not None:
        numbers["normalized score"] = interval(evaluation, "normalized_score")
    if evaluation.get("regret") is not None:
        # To a number that is known: as sure as the return itself.
        width = evaluation.get("total_return_ci95")
        numbers["regret"] = _with_interval(evaluation["regret"], width)
    return numbers


def interval(record: Mapping[str, Any], name: str) -> str:
    """A value with its 95% interval where there is one, as in "16.2 ± 0.054" or "7, 6.5 to 7"."""
    value, ends = record.get(f"{name}_mean", record.get(name)), record.get(f"{name}_interval95")
    if value is not None and ends and None not in ends:  # one task has no interval
        return f"{number(value)}, {number(ends[0])} to {number(ends[1])}"
    return _with_interval(value, record.get(f"{name}_ci95"))


def episodes_table(
    evaluation: Mapping[str, Any],
    baselines: Sequence[Mapping[str, Any]],
    optimal_episodes: Sequence[float],
) -> str:
    """Return of each episode, a column for each policy; HTML."""
    records = [evaluation, *baselines]
    num_episodes = len(evaluation["episode_return_mean"])
    optimum = list(optimal_episodes[:num_episodes])
    columns = ["", *(record["policy"] for record in records), *["Bayes-optimal"] * bool(optimum)]
    lines = [
        [
            f"episode {n}",
            *(_episode(record, n - 1) for record in records),
            *([number(optimum[n - 1])] if n <= len(optimum) else []),
        ]
        for n in shown_episodes(num_episodes)
    ]
    total = ["whole meta-episode", *(interval(record, "total_return") for record in records)]
    lines.append(total + [number(sum(optimum))] * bool(optimum))
    for label, name in (
        ("last episode less the first", "adaptation_gain"),
        ("a fifth of the tasks get less than", "total_return_p20"),
    ):
        if name in evaluation:
            cells = [interval(record, name) for record in records]
            lines.append([label, *cells, *[""] * bool(optimum)])
    return table(columns, lines)


def shown_episodes(num_episodes: int) -> list[int]:
    """Numbers of the episodes that get a row, from 1."""
    if num_episodes <= MOST_EPISODES:
        return list(range(1, num_episodes + 1))
    return sorted({*(n for n in ROUND_NUMBERS if n < num_episodes), num_episodes})


def references_table(evaluation: Mapping[str, Any]) -> str:
    """What other ways of acting earn in a whole meta-episode; HTML, empty where none is known."""
    known = {n: v for n, v in (evaluation.get("references") or {}).items() if v is not None}
    if not known:
        return ""
    own, width = evaluation["total_return_mean"], evaluation.get("total_return_ci95")
    lines = [(evaluation["policy"], own)]
    lines += [(REFERENCE_NAMES.get(name, _plain(name)), value) for name, value in known.items()]
    ordered = sorted(lines, key=lambda line: -line[1])
    return table(
        ["", "return of a meta-episode", "this policy less that"],
        [
            [name, number(value), "" if value is own else _with_interval(own - value, width)]
            for name, value in ordered
        ],
    )


def ablations_table(evaluation: Mapping[str, Any]) -> str:
    """The return with one thing at a time taken away; HTML."""
    own = evaluation["total_return_mean"]
    lines = [["nothing", interval(evaluation, "total_return"), ""]]
    for name, ablation in evaluation["ablations"].items():
        change = number(ablation["total_return_mean"] - own)
        lines.append([name, interval(ablation, "total_return"), change])
    return table(["taken away", "return of a meta-episode", "change"], lines)


def measures_table(evaluation: Mapping[str, Any]) -> str:
    """The family's own measures, a column an episode; HTML, empty where there are none."""
    measures = {n: np.ravel(v).tolist() for n, v in evaluation.get("measures", {}).items()}
    if not measures:
        return ""
    longest = max(map(len, measures.values()))
    shown = shown_episodes(longest)
    lines = [
        [_plain(name), *(_cell(values, n) for n in shown)] for name, values in measures.items()
    ]
    return table(["", *(f"episode {n}" if longest > 1 else "" for n in shown)], lines)


def points_table(points: Sequence[Mapping[str, Any]]) -> str:
    """A line for each point of a sweep; HTML."""
    last = len(points[0]["episode_return_mean"])
    lines = [
        [
            name_of(point).rstrip(": ") or "all",
            str(len(point["agents"])),
            _episode(point, 0),
            _episode(point, last - 1),
            interval(point, "total_return"),
        ]
        for point in points
    ]
    columns = ["", "agents", "episode 1", f"episode {last}", "whole meta-episode"]
    return table(columns, lines)


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


def _episode(record: Mapping[str, Any], index: int) -> str:
    widths = record["episode_return_ci95"]
    return _with_interval(record["episode_return_mean"][index], widths[index])


def _with_interval(mean: float | None, width: float | None) -> str:
    """The mean to the second digit of its uncertainty, as far as that is within four decimals."""
    if mean is None:
        return ""
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


def _steps(row: Mapping[str, Any]) -> float:
    return row["env_steps"]


def _plain(name: str) -> str:
    return name.removeprefix("num_").replace("_", " ")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
