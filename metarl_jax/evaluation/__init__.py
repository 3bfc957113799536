"""Evaluation on meta-test tasks: adaptation curves, ablations, scores and intervals."""

from metarl_jax.evaluation.ablations import Ablation
from metarl_jax.evaluation.evaluate import (
    evaluate,
    make_evaluator,
    make_task_evaluator,
    meta_test_tasks,
)
from metarl_jax.evaluation.evaluation import Evaluation, PopulationEvaluation
from metarl_jax.evaluation.measures import measure
from metarl_jax.evaluation.population_record import (
    PointRecord,
    PopulationRecord,
    read_population_record,
)
from metarl_jax.evaluation.record import (
    EvaluationRecord,
    EvaluationSubject,
    ReferenceTotals,
    read_record,
    write_record,
)
from metarl_jax.evaluation.scores import Scores, scores_of

__all__ = [
    "Ablation",
    "Evaluation",
    "EvaluationRecord",
    "EvaluationSubject",
    "PointRecord",
    "PopulationEvaluation",
    "PopulationRecord",
    "ReferenceTotals",
    "Scores",
    "evaluate",
    "make_evaluator",
    "make_task_evaluator",
    "measure",
    "meta_test_tasks",
    "read_population_record",
    "read_record",
    "scores_of",
    "write_record",
]
