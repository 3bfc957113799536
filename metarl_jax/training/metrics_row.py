"""A row of `metrics.jsonl`, its fields named, documented and checked."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metarl_jax.evaluation.evaluation import Evaluation, PopulationEvaluation
from metarl_jax.files import JsonFields, Read, jsonable, many, number, whole_number

MEMBERS = "_members"
"""Ends the key of a list with a number for each agent of a population."""
MEND = "a row is written by `metarl train`: take the line out"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricsRow:
    """What a chunk of updates came to. The keys in the file are the names of the fields.

    Metrics of training are means over the chunk's updates, each over the valid steps or the tasks
    of its batch; NaN, null in the file, where no update had a finite value. Of a population they
    are means over the agents. None, not in the file, where the run has no such metric.

    Attributes:
        update: updates done at the end of the chunk.
        env_steps: environment steps done by then, of one agent.
        seconds: of wall-clock time since training began, without compilation and without the
            pauses between being stopped and resumed.
        env_steps_per_second: of one agent, in this chunk.
        total_return: key `return`: undiscounted return of a whole meta-episode on the tasks trained
            on, in reward units; larger is better.
        return_first_episode: the same, of the first episode.
        return_last_episode: the same, of the last episode.
        entropy: of the policy, in nats; for continuous actions it may be negative.
        value_error: ½ ((V - V̂) / σ)², without unit; at least 0.
        policy_gradient: the surrogate loss -A log π(a), without unit; either sign.
        clipped_policy_gradient: PPO's surrogate loss, without unit; either sign.
        clip_fraction: the part of the steps whose ratio PPO clips, 0 to 1.
        kl_divergence: an estimate of KL(π_old ‖ π), in nats; at least 0.
        gradient_norm: global L2 norm of the gradient, before clipping; at least 0.
        skipped: updates since the run began that were skipped because they were not finite; of a
            population the sum.
        skipped_in_a_row: the longest series of skipped updates that the chunk met; of a population
            the least of its agents.
        metrics: other metrics by their names, such as those of a loss of your own. In the file they
            stand beside the fields.
        members: of a population, each agent's number for a metric, by the metric's key; in the file
            under that key with `_members` at its end.
        meta_test_episode_returns: [E] mean return of each episode on the meta-test tasks, in reward
            units; None where the chunk does not end on an evaluation.
        meta_test_total_return: their sum, the mean return of a whole meta-episode.
        meta_test_episode_returns_ci95: [E] half-widths of the 95% intervals of these means; None of
            a population, of one task and in older files.
        meta_test_total_return_ci95: half-width of the 95% interval of that return, likewise.
        meta_test_episode_returns_members: [S, E] each agent's, of a population.
        meta_test_total_return_members: [S] each agent's, of a population.
        evaluation_seconds: of wall-clock time that the evaluation took.
    """

    update: int
    env_steps: int
    seconds: float | None = None
    env_steps_per_second: float | None = None
    total_return: float | None = None
    return_first_episode: float | None = None
    return_last_episode: float | None = None
    entropy: float | None = None
    value_error: float | None = None
    policy_gradient: float | None = None
    clipped_policy_gradient: float | None = None
    clip_fraction: float | None = None
    kl_divergence: float | None = None
    gradient_norm: float | None = None
    skipped: float | None = None
    skipped_in_a_row: float | None = None
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    members: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    meta_test_episode_returns: Sequence[float] | None = None
    meta_test_total_return: float | None = None
    meta_test_episode_returns_ci95: Sequence[float] | None = None
    meta_test_total_return_ci95: float | None = None
    meta_test_episode_returns_members: Sequence[Sequence[float]] | None = None
    meta_test_total_return_members: Sequence[float] | None = None
    evaluation_seconds: float | None = None

    @classmethod
    def of_chunk(
        cls,
        values: Mapping[str, Any],
        *,
        update: int,
        env_steps: int,
        seconds: float,
        env_steps_per_second: float,
    ) -> "MetricsRow":
        """The row of a chunk that was not evaluated.

        Args:
            values: the chunk's metrics by their keys, and under keys that end in `_members` a list
                with each agent's.
            update: updates done.
            env_steps: environment steps done.
            seconds: of wall-clock time since training began.
            env_steps_per_second: in this chunk.
        """
        known = {field: values[key] for field, key in METRICS.items() if key in values}
        others = {key: x for key, x in values.items() if key not in METRICS.values()}
        return cls(
            update=update,
            env_steps=env_steps,
            seconds=seconds,
            env_steps_per_second=env_steps_per_second,
            **_sorted_out(others),
            **known,
        )

    @classmethod
    def from_json(cls, found: Any, where: str = "metrics.jsonl") -> "MetricsRow":
        """A row as the file holds it.

        Args:
            found: what a line's JSON holds.
            where: the file, for messages.

        Raises:
            ConfigurationError: it is not a row: no object, without `update` or `env_steps`, or with
                a field of another type.
        """
        fields = JsonFields(found, where, MEND)
        row: dict[str, Any] = {name: fields.take(name, whole_number) for name in COUNTS}
        for name, read in EVALUATED.items():
            row[name] = fields.take(name, read, None)
        for name in TIMES:
            row[name] = fields.take(name, number, None)
        for name, key in METRICS.items():
            row[name] = fields.take(key, number, None)
        others = {key: fields.take(key, _reader(key)) for key in fields.names()}
        return cls(**row, **_sorted_out(others))

    def flat(self) -> dict[str, Any]:
        """The row by the keys of the file, without what is None."""
        found = {name: getattr(self, name) for name in (*COUNTS, *TIMES)}
        metrics = {key: getattr(self, field) for field, key in METRICS.items()}
        metrics |= self.metrics
        metrics |= {f"{key}{MEMBERS}": list(values) for key, values in self.members.items()}
        found |= {key: metrics[key] for key in sorted(metrics)}
        found |= {name: getattr(self, name) for name in EVALUATED}
        return {name: value for name, value in found.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """The row as the file holds it; NaN and infinities are null."""
        return jsonable(self.flat())

    def with_evaluation(
        self, evaluation: Evaluation | PopulationEvaluation, seconds: float
    ) -> "MetricsRow":
        """The row of a chunk that ends on an evaluation.

        Args:
            evaluation: of the policy after the chunk; of a population, of each agent.
            seconds: of wall-clock time that it took.
        """
        each = evaluation.members if isinstance(evaluation, PopulationEvaluation) else (evaluation,)
        curves = [member.episode_return_mean.tolist() for member in each]
        totals = [member.total_return_mean for member in each]
        row = dataclasses.replace(
            self,
            meta_test_episode_returns=tuple(np.mean(curves, axis=0).tolist()),
            meta_test_total_return=float(np.mean(totals)),
            evaluation_seconds=seconds,
        )
        if not isinstance(evaluation, PopulationEvaluation):
            return dataclasses.replace(row, **_intervals(evaluation))
        return dataclasses.replace(
            row,
            meta_test_episode_returns_members=tuple(map(tuple, curves)),
            meta_test_total_return_members=tuple(totals),
        )


COUNTS = ("update", "env_steps")
TIMES = ("seconds", "env_steps_per_second")
METRICS = {"total_return": "return"} | {
    name: name
    for name in (
        *("return_first_episode", "return_last_episode", "entropy", "value_error"),
        *("policy_gradient", "clipped_policy_gradient", "clip_fraction", "kl_divergence"),
        *("gradient_norm", "skipped", "skipped_in_a_row"),
    )
}
"""Fields that hold a metric of training, and their keys in the file."""
EVALUATED = {
    "meta_test_episode_returns": many(number, at_least=1),
    "meta_test_episode_returns_ci95": many(number, at_least=1),
    "meta_test_episode_returns_members": many(many(number)),
    "meta_test_total_return": number,
    "meta_test_total_return_ci95": number,
    "meta_test_total_return_members": many(number),
    "evaluation_seconds": number,
}
"""Fields of a row that ends on an evaluation, and how they are read."""


def _intervals(evaluation: Evaluation) -> dict[str, Any]:
    if evaluation.num_tasks == 1:  # one task has no interval
        return {}
    return {
        "meta_test_episode_returns_ci95": tuple(evaluation.episode_return_ci95.tolist()),
        "meta_test_total_return_ci95": evaluation.total_return_ci95,
    }


def _reader(key: str) -> Read[float | tuple[float, ...]]:
    """Of a metric that has no field: a number, or each agent's under a name for that."""
    of_agents = many(number)

    def read(value: Any) -> float | tuple[float, ...]:
        is_list = isinstance(value, list) and key.endswith(MEMBERS)
        return of_agents(value) if is_list else number(value)

    return read


def _sorted_out(others: Mapping[str, Any]) -> dict[str, Any]:
    """`metrics` and `members`: the metrics that have no field, and lists with each agent's."""
    lists = {key: tuple(x) for key, x in others.items() if isinstance(x, (list, tuple))}
    return {
        "metrics": {key: x for key, x in others.items() if key not in lists},
        "members": {key.removesuffix(MEMBERS): x for key, x in lists.items()},
    }
