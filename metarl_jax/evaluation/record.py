"""The record of `evaluation.json`: what was evaluated and what came out, named and checked.

The keys in the file are the names of the fields; NaN is null. The file is written and read here and
nowhere else. For the record of several agents see `metarl_jax.evaluation.population_record`.
"""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metarl_jax.evaluation.evaluation import Evaluation
from metarl_jax.evaluation.scores import scores_of
from metarl_jax.files import (
    JsonFields,
    boolean,
    json_text,
    many,
    mapping_of,
    number,
    optional,
    read_object,
    text,
    whole_number,
    write_whole,
)
from metarl_jax.tasks.distribution import References
from metarl_jax.types import ConfigurationError

MEND = "evaluate the run again: metarl evaluate RUN"
OLD_KEYS = {"return_upper_bound": "bound", "oracle": "known_task"}
"""Fields of the references, and what older files call them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReferenceTotals:
    """Exact returns of a whole meta-episode, in reward units; None where one is not known.

    Attributes:
        random: of actions that are all as probable.
        memoryless: the best where nothing crosses an episode's end.
        optimal: of the Bayes-optimal policy.
        return_upper_bound: what no policy exceeds, where the optimum is unknown.
        oracle: the best where the task is told.
    """

    random: float | None = None
    memoryless: float | None = None
    optimal: float | None = None
    return_upper_bound: float | None = None
    oracle: float | None = None

    @classmethod
    def of(cls, references: References) -> "ReferenceTotals":
        """The totals among a family's references."""
        return cls(
            random=references.random_total,
            memoryless=references.memoryless_total,
            optimal=references.optimal_total,
            return_upper_bound=references.return_upper_bound,
            oracle=references.oracle_total,
        )

    @classmethod
    def from_json(cls, found: Any, where: str) -> "ReferenceTotals":
        """As `references` in the file holds them; the keys of older files are known too.

        Raises:
            ConfigurationError: a field is unknown or not a number.
        """
        fields = JsonFields(found, f"{where}: references", MEND)
        totals = {}
        for name in REFERENCES:
            older = fields.take(OLD_KEYS.get(name, name), optional(number), None)
            totals[name] = fields.take(name, optional(number), older)
        fields.end()
        return cls(**totals)

    def known(self) -> dict[str, float]:
        """Those that are known, by the names of the fields."""
        values = {name: getattr(self, name) for name in REFERENCES}
        return {name: value for name, value in values.items() if value is not None}


REFERENCES = tuple(field.name for field in dataclasses.fields(ReferenceTotals))


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSubject:
    """What was evaluated, and how it was asked.

    Attributes:
        task_family: the family's name.
        policy: adaptive, memoryless or contextual.
        update: updates the policy was trained for.
        num_tasks: meta-test tasks, N.
        task_set_hash: SHA-256 of these tasks.
        sampled_actions: whether actions were sampled; else they were the most probable.
        experiment: the name it was trained under; "" where an older file does not say.
        memory: the memory's name, likewise.
        algorithm: it was trained by, likewise.
        split: the out-of-distribution split; None for p(M).
        ablation: what was taken from the policy: "memory", "rewards" or "history"; or None.
        seed: of the actions.
    """

    task_family: str
    policy: str
    update: int
    num_tasks: int
    task_set_hash: str
    sampled_actions: bool
    experiment: str = ""
    memory: str = ""
    algorithm: str = ""
    split: str | None = None
    ablation: str | None = None
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """The record by the keys of the file."""
        return dataclasses.asdict(self)


SUBJECT = tuple(field.name for field in dataclasses.fields(EvaluationSubject))


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationRecord(EvaluationSubject):
    """The evaluation of one agent. Returns are undiscounted, in reward units; larger is better.

    An interval `_ci95` is the half-width of a 95% interval, NaN for one task; an `_interval95` is
    its lower and upper end.

    Attributes:
        episode_return_mean: [E] mean return of each episode: the adaptation curve.
        episode_return_ci95: [E] of these means.
        total_return_mean: mean return of a whole meta-episode.
        total_return_ci95: of this mean.
        total_return_p20: what a fifth of the tasks fall short of; NaN where an older file does not
            say, like the next three.
        total_return_p20_interval95: of this percentile.
        adaptation_gain: mean return of the last episode less that of the first.
        adaptation_gain_ci95: of this gain.
        regret: the best known return less the mean, at least 0 but for chance; None where no best
            return is known. Its interval is that of the total.
        normalized_score: 0 at random and 1 at the best known return; None where one is unknown.
        normalized_score_ci95: of this score.
        references: exact returns of other ways of acting.
        measures: the family's own measures, a number or a number for each episode; None where they
            were not taken.
    """

    episode_return_mean: tuple[float, ...]
    episode_return_ci95: tuple[float, ...]
    total_return_mean: float
    total_return_ci95: float
    total_return_p20: float = math.nan
    total_return_p20_interval95: tuple[float, float] = (math.nan, math.nan)
    adaptation_gain: float = math.nan
    adaptation_gain_ci95: float = math.nan
    regret: float | None = None
    normalized_score: float | None = None
    normalized_score_ci95: float | None = None
    references: ReferenceTotals = ReferenceTotals()
    measures: Mapping[str, float | tuple[float, ...]] | None = None

    @classmethod
    def of(
        cls,
        evaluation: Evaluation,
        subject: EvaluationSubject,
        references: References,
        *,
        contextual: bool = False,
        measures: Mapping[str, float | tuple[float, ...]] | None = None,
    ) -> "EvaluationRecord":
        """The record of an evaluation.

        Args:
            evaluation: what came out.
            subject: what was evaluated.
            references: of the tasks evaluated on.
            contextual: the policy is told the task.
            measures: the family's own measures.
        """
        scores = scores_of(evaluation, references, contextual=contextual)
        return cls(
            **{name: getattr(subject, name) for name in SUBJECT},
            episode_return_mean=tuple(evaluation.episode_return_mean.tolist()),
            episode_return_ci95=tuple(evaluation.episode_return_ci95.tolist()),
            total_return_mean=evaluation.total_return_mean,
            total_return_ci95=evaluation.total_return_ci95,
            total_return_p20=evaluation.total_return_p20,
            total_return_p20_interval95=evaluation.total_return_p20_interval95,
            adaptation_gain=evaluation.adaptation_gain,
            adaptation_gain_ci95=evaluation.adaptation_gain_ci95,
            regret=scores.regret if scores else None,
            normalized_score=scores.normalized_score if scores else None,
            normalized_score_ci95=scores.normalized_score_ci95 if scores else None,
            references=ReferenceTotals.of(references),
            measures=measures,
        )

    @classmethod
    def from_json(cls, found: Any, where: str = "evaluation.json") -> "EvaluationRecord":
        """A record as the file holds it, of this version or an older one.

        Args:
            found: what the file's JSON holds.
            where: the file, for messages.

        Raises:
            ConfigurationError: a field is missing, unknown or of another type.
        """
        fields = JsonFields(found, where, MEND)
        fields.drop("total_return_iqm", "total_return_iqm_interval95")  # over tasks, in older files
        values: dict[str, Any] = take_subject(fields)
        for name in ("episode_return_mean", "episode_return_ci95"):
            values[name] = fields.take(name, many(number, at_least=1))
        require_same_length(values, where)
        for name in ("total_return_mean", "total_return_ci95"):
            values[name] = fields.take(name, number)
        for name in ("total_return_p20", "adaptation_gain", "adaptation_gain_ci95"):
            values[name] = fields.take(name, number, math.nan)
        for name in ("regret", "normalized_score", "normalized_score_ci95"):
            values[name] = fields.take(name, optional(number), None)
        name = "total_return_p20_interval95"
        values[name] = fields.take(name, interval, (math.nan, math.nan))
        references = fields.take("references", mapping_of(optional(number)), {})
        values["references"] = ReferenceTotals.from_json(references, where)
        values["measures"] = fields.take("measures", optional(mapping_of(measure)), None)
        fields.end()
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """The record by the keys of the file; measures that were not taken are left out."""
        found = dataclasses.asdict(self)
        return {k: v for k, v in found.items() if k != "measures" or v is not None}


def write_record(path: Path, record: EvaluationSubject) -> None:
    """Writes a record, in one step.

    Raises:
        OSError: the file cannot be written.
    """
    write_whole(path, json_text(record.to_json()))


def read_record(path: Path) -> EvaluationRecord:
    """Reads the record of a run of one agent.

    Raises:
        ConfigurationError: the file is missing, or is no such record: names the field and the mend.
    """
    return EvaluationRecord.from_json(read_object(path), str(path))


def interval(value: Any) -> tuple[float, float]:
    """A lower and an upper end; null is NaN.

    Raises:
        ValueError: it is not two numbers.
    """
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("a lower and an upper end")
    low, high = map(number, value)
    return low, high


def measure(value: Any) -> float | tuple[float, ...]:
    """A number, or a list of a number for each episode.

    Raises:
        ValueError: it is neither.
    """
    return many(number)(value) if isinstance(value, list) else number(value)


def take_subject(fields: JsonFields) -> dict[str, Any]:
    """The fields of `EvaluationSubject`.

    Raises:
        ConfigurationError: one is missing or of another type.
    """
    values: dict[str, Any] = {
        name: fields.take(name, text) for name in ("task_family", "policy", "task_set_hash")
    }
    values |= {name: fields.take(name, whole_number) for name in ("update", "num_tasks")}
    values["sampled_actions"] = fields.take("sampled_actions", boolean)
    values |= {name: fields.take(name, text, "") for name in ("experiment", "memory", "algorithm")}
    values |= {name: fields.take(name, optional(text), None) for name in ("split", "ablation")}
    values["seed"] = fields.take("seed", whole_number, 0)
    return values


def require_same_length(values: Mapping[str, Any], where: str) -> None:
    """Refuses a mean and an interval of different numbers of episodes.

    Raises:
        ConfigurationError: `episode_return_mean` and `episode_return_ci95` differ in length.
    """
    mean, width = (len(values[f"episode_return_{name}"]) for name in ("mean", "ci95"))
    if mean != width:
        raise ConfigurationError(
            f"{where}: expected 'episode_return_ci95' to be as long as 'episode_return_mean', got "
            f"{width} and {mean}; {MEND}."
        )
