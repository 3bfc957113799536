"""Evaluation on meta-test tasks: adaptation curves, ablations, scores and intervals."""

from metarl_jax.evaluation.ablations import Ablation
from metarl_jax.evaluation.evaluate import (
    evaluate,
    make_evaluator,
    make_task_evaluator,
    meta_test_tasks,
)
from metarl_jax.evaluation.evaluation import Evaluation, PopulationEvaluation
from metarl_jax.evaluation.scores import Scores, scores_of

__all__ = [
    "Ablation",
    "Evaluation",
    "PopulationEvaluation",
    "Scores",
    "evaluate",
    "make_evaluator",
    "make_task_evaluator",
    "meta_test_tasks",
    "scores_of",
]
