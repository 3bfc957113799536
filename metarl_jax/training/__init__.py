"""Training: the loop around the updates, its plan, its rows of metrics and its loggers."""

from metarl_jax.training.loggers import TensorBoardLogger, WandbLogger
from metarl_jax.training.metrics_file import read_rows
from metarl_jax.training.metrics_row import MetricsRow
from metarl_jax.training.plan import ExitCode, Outcome, TrainingPlan
from metarl_jax.training.result import TrainingError, TrainResult
from metarl_jax.training.tags import schedule_values, tagged
from metarl_jax.training.train import run_training

__all__ = [
    "ExitCode",
    "MetricsRow",
    "Outcome",
    "TensorBoardLogger",
    "TrainResult",
    "TrainingError",
    "TrainingPlan",
    "WandbLogger",
    "read_rows",
    "run_training",
    "schedule_values",
    "tagged",
]
