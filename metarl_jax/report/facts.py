"""What was trained, how and where, as names and texts of the page."""

import dataclasses
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metarl_jax.evaluation.record import EvaluationRecord, EvaluationSubject
from metarl_jax.experiment.run_config import RunConfig, settings_to_json
from metarl_jax.report.tables import total
from metarl_jax.report.units import count, duration, number, plain_name, with_interval
from metarl_jax.training.metrics_row import MetricsRow

ACRONYMS = ("gru", "lstm", "snail")


def trained(
    config: RunConfig | None,
    run: Mapping[str, Any],
    rows: Sequence[MetricsRow],
    evaluation: EvaluationSubject,
) -> dict[str, str]:
    """What was trained, how, and where, for a person.

    Args:
        config: of `config.json`; None for a run that was made from Python.
        run: of `run.json`.
        rows: of `metrics.jsonl`.
        evaluation: of `evaluation.json`.
    """
    actions = "sampled" if evaluation.sampled_actions else "the most probable"
    versions, arguments_given = _versions(run), _texts(run, "arguments")
    packages = [f"{name} {versions[name]}" for name in ("metarl-jax", "jax") if name in versions]
    python = [f"Python {run['python']}"] if "python" in run else []
    configured = {} if config is None else _configured(config, evaluation)
    facts = {
        "task family": evaluation.task_family,
        "policy": policy_words(evaluation),
        "algorithm": evaluation.algorithm.upper(),
        "trained for": _trained_for(run, rows),
        "evaluated on": f"{evaluation.num_tasks:,} meta-test tasks, actions {actions}",
        "seed": "",
        "versions": ", ".join([*packages, *python]),
        "commit": str(run.get("commit", "")),
        "command line": shlex.join(["metarl", *arguments_given]) if arguments_given else "",
        **configured,
    }
    return {name: text for name, text in facts.items() if text}


def _configured(config: RunConfig, evaluation: EvaluationSubject) -> dict[str, str]:
    """What config.json tells beyond the evaluation."""
    settings, budget = config.settings, config.settings.budget
    arguments = ", ".join(f"{plain_name(n)} {_value(v)}" for n, v in config.family.items())
    seeds = f" to {budget.seed + budget.num_seeds - 1}" if budget.num_seeds > 1 else ""
    units = getattr(settings.memory, "hidden_size", None)
    size = "" if units is None else f" of {units} units"
    policy = dataclasses.replace(evaluation, memory=settings.memory_name)
    return {
        "task family": f"{evaluation.task_family}: {arguments}".rstrip(": "),
        "policy": policy_words(policy) + size,
        "algorithm": f"{settings.algorithm.name.upper()}, {budget.num_tasks:,} tasks an update",
        "seed": f"{budget.seed}{seeds}",
    }


def _texts(run: Mapping[str, Any], name: str) -> list[str]:
    found = run.get(name)
    return [_printable(str(x)) for x in found] if isinstance(found, list) else []


def _printable(text: str) -> str:
    """The text as UTF-8 can hold it: arguments of another encoding have bytes that are none."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _versions(run: Mapping[str, Any]) -> dict[str, str]:
    found = run.get("versions")
    return (
        {name: str(version) for name, version in found.items()} if isinstance(found, dict) else {}
    )


def _trained_for(run: Mapping[str, Any], rows: Sequence[MetricsRow]) -> str:
    last = max(rows, key=lambda row: row.env_steps, default=None)
    if last is None:
        return ""
    steps = f"{count(last.env_steps)} environment steps, {last.update:,} updates"
    if last.seconds is None:
        return steps
    devices = _texts(run, "devices")
    on = f" on {len(devices)} × {devices[0]}" if devices else ""
    return f"{steps}, in {duration(last.seconds)}{on}"


def all_settings(config: RunConfig | None, run: Mapping[str, Any]) -> dict[str, str]:
    """Every setting of the run, and every argument of its family, by its dotted name."""
    if config is None:
        given = run.get("settings")
        return dict(_leaves(given)) if isinstance(given, Mapping) else {}
    tree = {"family": config.family, **settings_to_json(config.settings), "sweep": config.sweep}
    return {"experiment": config.experiment, **dict(_leaves(tree))}


def machine(run: Mapping[str, Any]) -> dict[str, str]:
    """The versions of all packages, and what the run was made on."""
    about = {name: run[name] for name in ("python", "platform", "backend", "cores") if name in run}
    if devices := _texts(run, "devices"):
        about["devices"] = ", ".join(devices)
    return {name: str(value) for name, value in about.items()} | _versions(run)


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _value(value)


def policy_words(subject: EvaluationSubject) -> str:
    """The policy and its memory, as in "adaptive, GRU"."""
    if not subject.memory:
        return subject.policy
    memory = subject.memory
    memory = memory.upper() if memory in ACRONYMS else memory.replace("-", " ")
    return f"{subject.policy}, {memory}"


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


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)
