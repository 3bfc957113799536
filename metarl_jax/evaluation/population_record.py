"""The record of `evaluation.json` for a run of several agents; its keys are the fields' names."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metarl_jax.evaluation.evaluation import Evaluation
from metarl_jax.evaluation.record import (
    MEND,
    SUBJECT,
    EvaluationSubject,
    interval,
    require_same_length,
    take_subject,
)
from metarl_jax.evaluation.statistics import (
    bootstrap_interval,
    interquartile_mean,
    seeds_half_width,
)
from metarl_jax.files import (
    JsonFields,
    many,
    mapping_of,
    number,
    optional,
    read_object,
    whole_number,
)

FEWEST_FOR_IQM = 4
"""Agents; of fewer, an interquartile mean has no middle half to speak of."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PointRecord:
    """What the agents that share their hyperparameters came to, as a mean over their seeds.

    Attributes:
        values: of the swept hyperparameters, by their names; empty where nothing is swept.
        seeds: the agents' seeds.
        agents: their indices, of all agents of the run, from 0.
        episode_return_mean: [E] mean return of each episode, in reward units.
        episode_return_ci95: [E] half-widths of 95% intervals over agents (Student's t); NaN for
            one agent.
        total_return_mean: mean return of a whole meta-episode.
        total_return_ci95: half-width of its 95% interval over agents.
        total_return_of_agents: each agent's mean return of a whole meta-episode.
        total_return_iqm: interquartile mean of these over the agents, where these are at least 4.
        total_return_iqm_interval95: lower and upper end of its 95% interval, by a bootstrap over
            agents.
    """

    values: Mapping[str, float]
    seeds: tuple[int, ...]
    agents: tuple[int, ...]
    episode_return_mean: tuple[float, ...]
    episode_return_ci95: tuple[float, ...]
    total_return_mean: float
    total_return_ci95: float
    total_return_of_agents: tuple[float, ...]
    total_return_iqm: float | None = None
    total_return_iqm_interval95: tuple[float, float] | None = None

    @classmethod
    def of(
        cls,
        values: Mapping[str, float],
        seeds: Sequence[int],
        agents: Sequence[int],
        evaluations: Sequence[Evaluation],
    ) -> "PointRecord":
        """The record of a point.

        Args:
            values: of the swept hyperparameters.
            seeds: of the point's agents.
            agents: their indices.
            evaluations: theirs, in the same order.
        """
        curves = np.stack([evaluation.episode_return_mean for evaluation in evaluations])  # [S, E]
        totals = np.array([evaluation.total_return_mean for evaluation in evaluations])  # [S]
        several = len(totals) >= FEWEST_FOR_IQM
        return cls(
            values=dict(values),
            seeds=tuple(seeds),
            agents=tuple(agents),
            episode_return_mean=tuple(curves.mean(axis=0).tolist()),
            episode_return_ci95=tuple(seeds_half_width(curves).tolist()),
            total_return_mean=float(totals.mean()),
            total_return_ci95=float(seeds_half_width(totals)),
            total_return_of_agents=tuple(totals.tolist()),
            total_return_iqm=interquartile_mean(totals) if several else None,
            total_return_iqm_interval95=(
                bootstrap_interval(totals, interquartile_mean) if several else None
            ),
        )

    @classmethod
    def from_json(cls, found: Any, where: str) -> "PointRecord":
        """A point as an item of `points` holds it.

        Raises:
            ConfigurationError: a field is missing, unknown or of another type.
        """
        fields = JsonFields(found, f"{where}: points", MEND)
        values: dict[str, Any] = {"values": fields.take("values", mapping_of(number))}
        for name in ("seeds", "agents"):
            values[name] = fields.take(name, many(whole_number))
        for name in ("episode_return_mean", "episode_return_ci95"):
            values[name] = fields.take(name, many(number, at_least=1))
        require_same_length(values, where)
        for name in ("total_return_mean", "total_return_ci95"):
            values[name] = fields.take(name, number)
        values["total_return_of_agents"] = fields.take("total_return_of_agents", many(number))
        values["total_return_iqm"] = fields.take("total_return_iqm", optional(number), None)
        name = "total_return_iqm_interval95"
        values[name] = fields.take(name, optional(interval), None)
        fields.end()
        return cls(**values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PopulationRecord(EvaluationSubject):
    """The evaluation of several agents on the same tasks.

    Attributes:
        points: one for each combination of swept values.
        diverged_agents: indices of the agents whose last updates were skipped.
    """

    points: tuple[PointRecord, ...]
    diverged_agents: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        subject: EvaluationSubject,
        points: Sequence[PointRecord],
        diverged_agents: Sequence[int] = (),
    ) -> "PopulationRecord":
        """The record of a population.

        Args:
            subject: what was evaluated, the same for all agents.
            points: one for each combination of swept values.
            diverged_agents: indices of the agents whose last updates were skipped.
        """
        shared = {name: getattr(subject, name) for name in SUBJECT}
        return cls(**shared, points=tuple(points), diverged_agents=tuple(diverged_agents))

    @classmethod
    def from_json(cls, found: Any, where: str = "evaluation.json") -> "PopulationRecord":
        """A record as the file holds it.

        Raises:
            ConfigurationError: a field is missing, unknown or of another type.
        """
        fields = JsonFields(found, where, MEND)
        subject = take_subject(fields)
        points = fields.take("points", many(lambda point: point, at_least=1))
        diverged = fields.take("diverged_agents", many(whole_number), ())
        fields.end()
        return cls(
            **subject,
            points=tuple(PointRecord.from_json(point, where) for point in points),
            diverged_agents=diverged,
        )


def read_population_record(path: Path) -> PopulationRecord:
    """Reads the record of a run of several agents.

    Raises:
        ConfigurationError: the file is missing, or is no such record: names the field and the mend.
    """
    return PopulationRecord.from_json(read_object(path), str(path))
