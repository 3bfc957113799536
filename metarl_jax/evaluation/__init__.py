"""Evaluation on meta-test tasks: adaptation curves, ablations, scores and intervals."""

from metarl_jax.evaluation.ablations import Ablation
from metarl_jax.evaluation.evaluate import evaluate, make_evaluator, make_meta_test, meta_test_tasks
from metarl_jax.evaluation.evaluation import Evaluation, PopulationEvaluation
from metarl_jax.evaluation.measures import measure
from metarl_jax.evaluation.scores import Standing, standing

__all__ = [
    "Ablation",
    "Evaluation",
    "PopulationEvaluation",
    "Standing",
    "evaluate",
    "make_evaluator",
    "make_meta_test",
    "measure",
    "meta_test_tasks",
    "standing",
]
